//! Messages from another thread.

use std::io;
use std::thread;

use miolo::{EventLoop, Handler, NotifyError};

struct NotifyHandler;

impl Handler for NotifyHandler {
    type Timeout = ();
    type Message = Option<u32>;

    fn notify(&mut self, event_loop: &mut EventLoop<Self>, message: Option<u32>) {
        match message {
            Some(number) => println!("notified of {number}"),
            None => event_loop.shutdown(),
        }
    }
}

fn main() -> io::Result<()> {
    let mut event_loop = EventLoop::new()?;
    let sender = event_loop.channel();

    let child = thread::spawn(move || {
        for message in [Some(1), Some(2), Some(3), None] {
            // It never blocks. If the channel is full, the message comes back.
            match sender.send(message) {
                Ok(()) => {}
                Err(NotifyError::Full(message)) => eprintln!("no room for {message:?}"),
                Err(error) => return eprintln!("{error}"),
            }
        }
    });

    event_loop.run(&mut NotifyHandler)?;
    child.join().expect("the sending thread does not panic");
    println!("shut down");
    Ok(())
}
