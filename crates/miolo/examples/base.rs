//! The smallest handler: it handles nothing.

use std::io;

use miolo::{EventLoop, Handler};

struct BaseHandler;

impl Handler for BaseHandler {
    type Timeout = ();
    type Message = ();
}

fn main() -> io::Result<()> {
    let mut event_loop = EventLoop::new()?;

    // A shutdown before the run is not lost: the run returns at once.
    event_loop.shutdown();
    event_loop.run(&mut BaseHandler)?;

    println!("the loop has run, and has stopped");
    Ok(())
}
