//! Closing in `tick`, the last callback of an iteration.
//!
//! A message that says "quit" may have others behind it in the same iteration. Whoever releases in
//! `notify` what those need is in trouble; in `tick` nothing more comes.

use std::error::Error;

use miolo::{EventLoop, Handler};

enum Message {
    Line(&'static str),
    Quit,
}

#[derive(Default)]
struct TickHandler {
    /// Stands for a file, a connection: something that must be closed, and not be used afterwards.
    log: Option<Vec<&'static str>>,
}

impl Handler for TickHandler {
    type Timeout = ();
    type Message = Message;

    fn notify(&mut self, event_loop: &mut EventLoop<Self>, message: Message) {
        match message {
            Message::Line(line) => {
                let log = self.log.as_mut().expect("it is closed only in tick");
                log.push(line);
                println!("wrote: {line}");
            }
            Message::Quit => event_loop.shutdown(),
        }
    }

    fn tick(&mut self, event_loop: &mut EventLoop<Self>) {
        if !event_loop.is_running()
            && let Some(log) = self.log.take()
        {
            println!("closed after {} lines", log.len());
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut event_loop = EventLoop::new()?;
    let sender = event_loop.channel();
    sender.send(Message::Line("one"))?;
    sender.send(Message::Quit)?;
    sender.send(Message::Line("two, behind the message that quits"))?;

    event_loop.run(&mut TickHandler {
        log: Some(Vec::new()),
    })?;
    Ok(())
}
