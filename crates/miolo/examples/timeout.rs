//! A timer, and what it carries.

use std::error::Error;
use std::time::Instant;

use miolo::{EventLoop, Handler};

struct TimeoutHandler {
    start: Instant,
}

impl Handler for TimeoutHandler {
    type Timeout = u32;
    type Message = ();

    fn timeout(&mut self, event_loop: &mut EventLoop<Self>, timeout: u32) {
        println!(
            "timeout {timeout} after {} ms",
            self.start.elapsed().as_millis()
        );
        event_loop.shutdown();
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut event_loop = EventLoop::new()?;
    let start = Instant::now();

    // The payload comes first, then the delay in milliseconds.
    event_loop.timeout_ms(123, 100)?;
    let cleared = event_loop.timeout_ms(456, 50)?;
    event_loop.clear_timeout(cleared);

    event_loop.run(&mut TimeoutHandler { start })?;
    Ok(())
}
