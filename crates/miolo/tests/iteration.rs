//! The order of an iteration, and how much comes in one.

mod util;

use std::io::Write;
use std::thread;
use std::time::Duration;

use miolo::{EventLoop, EventLoopConfig, EventSet, PollOpt, Token};
use util::{Call, Script, expect_ready, listen, pair, within_patience};

const READABLE: EventSet = EventSet::readable();

/// Rounding up, a timer with delay 0 may be due a tick later.
fn let_timers_become_due() {
    thread::sleep(Duration::from_millis(3));
}

/// Waits until the kernel has everything that was written to the other end.
fn let_arrive(stream: &miolo::tcp::TcpStream) {
    let mut byte = [0];
    while stream.peek(&mut byte).is_err() {
        thread::yield_now();
    }
}

#[test]
fn callbacks_come_in_order_with_tick_last() {
    within_patience(|| {
        let (ours, mut theirs) = pair();
        let mut event_loop = EventLoop::new().unwrap();
        let mut script = Script::idle();
        event_loop
            .register(&ours, Token(1), READABLE, PollOpt::edge())
            .unwrap();
        event_loop.timeout_ms(3, 0).unwrap();
        event_loop.channel().send(2).unwrap();
        event_loop.wakeup().interrupt();
        theirs.write_all(b"x").unwrap();
        let_arrive(&ours);
        let_timers_become_due();
        event_loop.run_once(&mut script, None).unwrap();
        assert_eq!(
            script.calls,
            [
                Call::Interrupted,
                Call::Ready(Token(1), READABLE),
                Call::Notify(2),
                Call::Timeout(3),
                Call::Tick
            ]
        );
    });
}

#[test]
fn messages_sent_in_callbacks_wait_for_the_next_iteration() {
    within_patience(|| {
        let (ours, mut theirs) = pair();
        let mut event_loop = EventLoop::new().unwrap();
        let sender = event_loop.channel();
        let mut script = Script::new({
            let sender = sender.clone();
            move |_: &mut EventLoop<_>, call| match call {
                Call::Ready(..) => sender.send(10).unwrap(),
                Call::Notify(1) => sender.send(11).unwrap(),
                Call::Timeout(_) => sender.send(12).unwrap(),
                _ => {}
            }
        });
        event_loop
            .register(&ours, Token(0), READABLE, PollOpt::edge())
            .unwrap();
        event_loop.timeout_ms(0, 0).unwrap();
        sender.send(1).unwrap();
        sender.send(2).unwrap();
        theirs.write_all(b"x").unwrap();
        let_arrive(&ours);
        let_timers_become_due();
        event_loop.run_once(&mut script, None).unwrap();
        assert_eq!(
            script.take(),
            [
                Call::Ready(Token(0), READABLE),
                Call::Notify(1),
                Call::Notify(2),
                Call::Timeout(0)
            ]
        );
        event_loop.run_once(&mut script, None).unwrap();
        assert_eq!(
            script.take(),
            [Call::Notify(10), Call::Notify(11), Call::Notify(12)]
        );
    });
}

#[test]
fn an_iteration_delivers_messages_per_tick_and_no_more() {
    within_patience(|| {
        let mut config = EventLoopConfig::new();
        config.messages_per_tick(3);
        let mut event_loop = EventLoop::configured(config).unwrap();
        let sender = event_loop.channel();
        (0..7).for_each(|i| sender.send(i).unwrap());
        let mut script = Script::idle();
        let mut iterations = vec![];
        while iterations.iter().sum::<usize>() < 7 {
            event_loop.run_once(&mut script, None).unwrap();
            iterations.push(script.take().len());
        }
        assert_eq!(iterations, [3, 3, 1]);
    });
}

#[test]
fn a_registration_gets_one_ready_with_its_events_merged() {
    within_patience(|| {
        let (ours, mut theirs) = pair();
        let mut event_loop = EventLoop::new().unwrap();
        let mut script = Script::idle();
        event_loop
            .register(&ours, Token(5), EventSet::all(), PollOpt::edge())
            .unwrap();
        theirs.write_all(b"bytes").unwrap();
        drop(theirs);
        // Registered anew, so that the kernel tells everything at once.
        while event_loop.registrar().registration(&ours).is_some() {
            event_loop
                .reregister(&ours, Token(5), EventSet::all(), PollOpt::edge())
                .unwrap();
            event_loop.run_once(&mut script, None).unwrap();
            let calls = script.take();
            assert_eq!(calls.len(), 1);
            let Call::Ready(Token(5), events) = calls[0] else {
                panic!("{calls:?}")
            };
            if events == EventSet::readable() | EventSet::writable() | EventSet::hup() {
                event_loop.deregister(&ours).unwrap();
            }
        }
    });
}

#[test]
fn each_level_readable_comes_before_its_tick() {
    within_patience(|| {
        let (listener, address) = listen();
        let client = miolo::tcp::TcpStream::connect(&address).unwrap();
        let mut event_loop = EventLoop::new().unwrap();
        let mut script = Script::idle();
        event_loop
            .register(&listener, Token(0), READABLE, PollOpt::level())
            .unwrap();
        expect_ready(&mut event_loop, &mut script, Token(0), READABLE);
        for _ in 0..2 {
            event_loop.run_once(&mut script, None).unwrap();
        }
        let both = [Call::Ready(Token(0), READABLE), Call::Tick];
        assert_eq!(script.calls, [both, both].concat());
        drop(client);
    });
}

#[test]
fn a_handler_with_more_work_than_an_iteration_still_gets_its_io() {
    within_patience(|| {
        let (ours, mut theirs) = pair();
        let mut event_loop = EventLoop::new().unwrap();
        let sender = event_loop.channel();
        let mut script = Script::new({
            let sender = sender.clone();
            move |event_loop: &mut EventLoop<_>, call| match call {
                // Each message sends the next, and each timer sets the next: there is always one.
                Call::Notify(n) => sender.send(n + 1).unwrap(),
                Call::Timeout(n) => drop(event_loop.timeout_ms(n + 1, 0).unwrap()),
                Call::Ready(..) => event_loop.shutdown(),
                _ => {}
            }
        });
        sender.send(0).unwrap();
        event_loop.timeout_ms(0, 0).unwrap();
        event_loop
            .register(&ours, Token(0), READABLE, PollOpt::edge())
            .unwrap();
        let writer = thread::spawn(move || {
            theirs.write_all(b"x").unwrap();
            theirs
        });
        event_loop.run(&mut script).unwrap();
        assert!(script.calls.contains(&Call::Ready(Token(0), READABLE)));
        writer.join().unwrap();
    });
}
