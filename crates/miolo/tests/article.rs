//! The four programs of the article that introduced mio's EventLoop, word for word but for
//! `use miolo`.

mod util;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;

use util::within_patience;

mod base {
    use miolo::{EventLoop, Handler};
    struct BaseHandler;

    impl Handler for BaseHandler {
        type Timeout = ();
        type Message = ();
    }

    pub fn main() {
        let mut event_loop = EventLoop::<BaseHandler>::new().unwrap();
        event_loop.shutdown();
    }
}

mod timeout {
    use miolo::{EventLoop, Handler};
    struct TimeoutHandler;

    impl Handler for TimeoutHandler {
        type Timeout = u32;
        type Message = ();

        fn timeout(&mut self, event_loop: &mut EventLoop<Self>, _: Self::Timeout) {
            event_loop.shutdown();
        }
    }

    pub fn main() {
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.timeout_ms(100, 0).unwrap();
        event_loop.run(&mut TimeoutHandler).unwrap();
    }
}

mod notify {
    use miolo::{EventLoop, Handler};
    use std::thread;
    struct NotifyHandler;

    impl Handler for NotifyHandler {
        type Timeout = ();
        type Message = u32;

        fn notify(&mut self, event_loop: &mut EventLoop<Self>, _: Self::Message) {
            event_loop.shutdown();
        }
    }

    pub fn main() {
        let mut event_loop = EventLoop::new().unwrap();
        let sender = event_loop.channel();
        let child = thread::spawn(move || {
            sender.send(0).unwrap();
        });
        event_loop.run(&mut NotifyHandler).unwrap();
        child.join().unwrap();
    }
}

#[allow(clippy::needless_return)]
mod tick {
    use miolo::{EventLoop, Handler};
    pub struct TickHandler;

    impl Handler for TickHandler {
        type Timeout = ();
        type Message = ();

        fn tick(&mut self, event_loop: &mut EventLoop<Self>) {
            if !event_loop.is_running() {
                // Handle quit here.
                return;
            }
        }

        fn notify(&mut self, event_loop: &mut EventLoop<Self>, _: Self::Message) {
            event_loop.shutdown();
        }
    }

    pub fn main() {
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.run(&mut TickHandler).unwrap();
    }
}

#[test]
fn base_ends() {
    within_patience(base::main);
}

#[test]
fn timeout_ends() {
    within_patience(timeout::main);
}

#[test]
fn notify_ends() {
    within_patience(notify::main);
}

/// As written nobody has a sender, so it runs until it is killed: here, in a process of its own.
#[test]
fn tick_runs_until_it_is_killed() {
    const CHILD: &str = "MIOLO_TEST_TICK";
    if std::env::var_os(CHILD).is_some() {
        println!("\nabout to run");
        tick::main();
        println!("\nhas ended");
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tick_runs_until_it_is_killed", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(lines.any(|line| line == "about to run"));

    thread::sleep(std::time::Duration::from_millis(util::SILENCE_MS as u64));
    assert_eq!(child.try_wait().unwrap(), None);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!lines.any(|line| line == "has ended"));
}

#[test]
fn tick_ends_when_it_is_notified() {
    within_patience(|| {
        let (send_sender, senders) = channel();
        let thread = thread::spawn(move || {
            let mut event_loop = miolo::EventLoop::new().unwrap();
            send_sender.send(event_loop.channel()).unwrap();
            event_loop.run(&mut tick::TickHandler).unwrap();
        });
        senders.recv().unwrap().send(()).unwrap();
        thread.join().unwrap();
    });
}
