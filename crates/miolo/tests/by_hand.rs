//! Turning the loop in three parts: the state is free while the poll sleeps.
#![cfg(unix)]

mod util;

use std::io::{ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use miolo::{Dispatched, Error, EventLoop, EventSet, PollOpt, Poller, Room, Token};
use util::{Call, Script, pair, within_patience};

const READABLE: EventSet = EventSet::readable();
const ROOM: Room = Room {
    messages: 256,
    timeouts: usize::MAX,
};
const ZERO: Option<Duration> = Some(Duration::ZERO);

fn taken_apart() -> (EventLoop<Script>, Poller, Script) {
    let mut event_loop = EventLoop::new().unwrap();
    let poller = event_loop.take_poller().unwrap();
    (event_loop, poller, Script::idle())
}

/// Whether the poll would end at once.
fn is_readable(poller: &Poller) -> bool {
    let mut pollfd = libc::pollfd {
        fd: poller.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: the pointer is to a local, and the count is one.
    unsafe { libc::poll(&mut pollfd, 1, 0) == 1 }
}

#[test]
fn the_default_room_is_that_of_the_default_config() {
    assert_eq!(Room::default(), ROOM);
}

#[test]
fn a_loop_without_its_poller_does_not_run() {
    within_patience(|| {
        let (mut event_loop, poller, mut script) = taken_apart();
        assert!(event_loop.take_poller().is_none());
        let error = event_loop.run(&mut script).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
        assert_eq!(cause, Some(&Error::PollerTaken));
        event_loop.run_once(&mut script, Some(0)).unwrap_err();
        assert_eq!(script.calls, []);
        event_loop.restore_poller(poller);
        event_loop.run_once(&mut script, Some(0)).unwrap();
        assert_eq!(script.calls, [Call::Tick]);
    });
}

#[test]
#[should_panic(expected = "another event loop's")]
fn another_loops_poller_is_refused() {
    let (mut event_loop, _poller, _) = taken_apart();
    let (_, other, _) = taken_apart();
    event_loop.restore_poller(other);
}

#[test]
fn a_turn_by_hand_delivers_what_run_once_does_and_counts_it() {
    within_patience(|| {
        let (mut event_loop, mut poller, mut script) = taken_apart();
        let (ours, mut theirs) = pair();
        event_loop
            .register(&ours, Token(1), READABLE, PollOpt::edge())
            .unwrap();
        theirs.write_all(b"x").unwrap();
        while ours.peek(&mut [0]).is_err() {
            thread::yield_now();
        }
        event_loop.channel().send(2).unwrap();
        event_loop.post(3).unwrap();
        event_loop.timeout_at(4, Instant::now()).unwrap();
        event_loop.wakeup().interrupt();
        thread::sleep(Duration::from_millis(2));
        let sleep = event_loop.prepare(None, ROOM);
        assert_eq!(sleep, ZERO);
        assert!(poller.is_empty());
        poller.wait(sleep).unwrap();
        assert!(!poller.is_empty());
        let done = event_loop.dispatch(Some(&mut poller), &mut script, ROOM);
        assert!(poller.is_empty());
        let expected = Dispatched {
            readies: 1,
            messages: 2,
            timeouts: 1,
            interrupted: true,
        };
        assert_eq!(done, expected);
        assert_eq!(
            script.calls,
            [
                Call::Interrupted,
                Call::Ready(Token(1), READABLE),
                Call::Notify(2),
                Call::Notify(3),
                Call::Timeout(4),
                Call::Tick
            ]
        );
    });
}

#[test]
fn an_interrupt_keeps_the_loop_up_until_it_is_delivered() {
    let (mut event_loop, mut poller, mut script) = taken_apart();
    event_loop.wakeup().interrupt();
    // Who prepares may find something else to do, and prepare again.
    assert_eq!(event_loop.prepare(None, ROOM), ZERO);
    assert_eq!(event_loop.prepare(None, ROOM), ZERO);
    poller.wait(ZERO).unwrap();
    assert!(
        event_loop
            .dispatch(Some(&mut poller), &mut script, ROOM)
            .interrupted
    );
    assert_eq!(event_loop.prepare(None, ROOM), None);
}

#[test]
fn prepare_says_how_long_to_sleep() {
    let (mut event_loop, _poller, _) = taken_apart();
    let second = Some(Duration::from_secs(1));
    assert_eq!(event_loop.prepare(None, ROOM), None);
    assert_eq!(event_loop.prepare(second, ROOM), second);
    assert_eq!(event_loop.prepare(ZERO, ROOM), ZERO);

    let now = Instant::now();
    event_loop
        .timeout_at(0, now + Duration::from_secs(60))
        .unwrap();
    let sleep = event_loop.prepare(None, ROOM).unwrap();
    let deadline = event_loop.next_deadline().unwrap();
    assert!(deadline >= now + Duration::from_secs(60));
    let since = deadline - event_loop.epoch();
    assert_eq!(since.subsec_nanos() % 500_000, 0, "a whole step");
    assert!(deadline < now + Duration::from_secs(60) + Duration::from_millis(2));
    assert!(sleep <= Duration::from_secs(61) && sleep > Duration::from_secs(1));
    assert_eq!(event_loop.prepare(second, ROOM), second);
    assert_eq!(
        event_loop.prepare(
            None,
            Room {
                timeouts: 0,
                ..ROOM
            }
        ),
        None
    );

    event_loop.post(1).unwrap();
    assert_eq!(event_loop.prepare(None, ROOM), ZERO);
    assert_eq!(
        event_loop.prepare(
            second,
            Room {
                messages: 0,
                ..ROOM
            }
        ),
        second
    );
}

#[test]
fn there_is_never_more_than_there_is_room_for_and_the_rest_comes_later() {
    within_patience(|| {
        let (mut event_loop, mut poller, mut script) = taken_apart();
        let past = Instant::now();
        for i in 0..5 {
            event_loop.post(i).unwrap();
            event_loop.timeout_at(i, past).unwrap();
        }
        thread::sleep(Duration::from_millis(3));
        let mut turn = |messages, timeouts| {
            let room = Room { messages, timeouts };
            let sleep = event_loop.prepare(ZERO, room);
            poller.wait(sleep).unwrap();
            event_loop.dispatch(Some(&mut poller), &mut script, room);
            script.take()
        };
        assert_eq!(turn(0, 0), []);
        assert_eq!(turn(2, 0), [Call::Notify(0), Call::Notify(1)]);
        assert_eq!(
            turn(0, 3),
            [Call::Timeout(0), Call::Timeout(1), Call::Timeout(2)]
        );
        assert_eq!(turn(1, 1), [Call::Notify(2), Call::Timeout(3)]);
        assert_eq!(
            turn(9, 9),
            [Call::Notify(3), Call::Notify(4), Call::Timeout(4)]
        );
        assert_eq!(turn(9, 9), []);
    });
}

#[test]
fn a_timer_that_is_due_but_had_no_room_can_be_cleared() {
    within_patience(|| {
        let (mut event_loop, _poller, mut script) = taken_apart();
        let past = Instant::now();
        let timers: Vec<_> = (0..3)
            .map(|i| event_loop.timeout_at(i, past).unwrap())
            .collect();
        thread::sleep(Duration::from_millis(3));
        let one = Room {
            messages: 0,
            timeouts: 1,
        };
        event_loop.dispatch(None, &mut script, one);
        assert_eq!(script.take(), [Call::Timeout(0)]);
        assert!(event_loop.next_deadline().unwrap() <= Instant::now());
        assert!(event_loop.clear_timeout(timers[1]));
        event_loop.dispatch(None, &mut script, one);
        assert_eq!(script.take(), [Call::Timeout(2)]);
    });
}

#[test]
fn a_dispatch_without_a_poller_delivers_messages_and_timers_only() {
    within_patience(|| {
        let (mut event_loop, mut poller, mut script) = taken_apart();
        let (ours, mut theirs) = pair();
        event_loop
            .register(&ours, Token(0), READABLE, PollOpt::edge())
            .unwrap();
        theirs.write_all(b"x").unwrap();
        poller.wait(None).unwrap();
        event_loop.post(1).unwrap();
        event_loop.dispatch(None, &mut script, ROOM);
        assert_eq!(script.calls, [Call::Notify(1), Call::Tick]);
        script.calls.clear();
        // What the poll has brought stays with it, and another wait does not lose it.
        poller.wait(None).unwrap();
        event_loop.dispatch(Some(&mut poller), &mut script, ROOM);
        assert_eq!(script.calls, [Call::Ready(Token(0), READABLE), Call::Tick]);
    });
}

#[test]
fn a_message_wakes_a_prepared_poll_and_a_posted_one_does_not() {
    within_patience(|| {
        let (mut event_loop, mut poller, mut script) = taken_apart();
        let sender = event_loop.channel();
        sender.send(0).unwrap();
        assert!(!is_readable(&poller), "nobody sleeps, so nobody is woken");
        event_loop.dispatch(Some(&mut poller), &mut script, ROOM);
        assert_eq!(event_loop.prepare(None, ROOM), None);
        event_loop.post(1).unwrap();
        assert!(!is_readable(&poller));
        // An iteration without the poller leaves the sleeper asleep, and to be woken.
        event_loop.dispatch(None, &mut script, ROOM);
        assert_eq!(script.take(), [Call::Notify(0), Call::Notify(1)]);
        sender.send(2).unwrap();
        assert!(is_readable(&poller));
        poller.wait(None).unwrap();
        event_loop.dispatch(Some(&mut poller), &mut script, ROOM);
        assert_eq!(script.take(), [Call::Notify(2)]);
    });
}

#[test]
fn a_message_does_not_wake_a_poll_that_has_no_room_for_it() {
    within_patience(|| {
        let (mut event_loop, mut poller, mut script) = taken_apart();
        let no_messages = Room {
            messages: 0,
            ..ROOM
        };
        assert_eq!(event_loop.prepare(None, no_messages), None);
        event_loop.channel().send(1).unwrap();
        assert!(!is_readable(&poller));
        event_loop.wakeup().wake();
        poller.wait(None).unwrap();
        event_loop.dispatch(Some(&mut poller), &mut script, no_messages);
        assert_eq!(script.take(), []);
        assert_eq!(event_loop.prepare(None, ROOM), ZERO);
    });
}

#[test]
fn wake_ends_a_prepared_sleep_even_before_it_begins() {
    within_patience(|| {
        let (mut event_loop, mut poller, mut script) = taken_apart();
        assert_eq!(event_loop.prepare(None, ROOM), None);
        event_loop.wakeup().wake();
        poller.wait(None).unwrap();
        event_loop.dispatch(Some(&mut poller), &mut script, ROOM);
        assert_eq!(event_loop.prepare(None, ROOM), None, "one wake, one poll");
        event_loop.wakeup().wake();
        assert_eq!(event_loop.prepare(None, ROOM), ZERO);
    });
}

#[test]
fn the_poll_ends_at_the_deadline_to_well_below_a_millisecond_at_best() {
    within_patience(|| {
        let (_event_loop, mut poller, _) = taken_apart();
        for micros in [0, 1, 300, 999, 1000, 1500, 2999, 12_345] {
            let timeout = Duration::from_micros(micros);
            // The quickest of some: how late a loaded machine can make it says nothing.
            let quickest = (0..50)
                .map(|_| {
                    let start = Instant::now();
                    poller.wait(Some(timeout)).unwrap();
                    start.elapsed()
                })
                .min()
                .unwrap();
            assert!(quickest >= timeout, "{timeout:?}: {quickest:?}");
        }
    });
}

#[test]
fn the_state_is_free_while_the_poll_sleeps() {
    within_patience(|| {
        let event_loop = Arc::new(Mutex::new(EventLoop::new().unwrap()));
        let mut poller = event_loop.lock().unwrap().take_poller().unwrap();
        let (asleep, is_asleep) = channel();
        let turner = thread::spawn({
            let event_loop = Arc::clone(&event_loop);
            move || {
                let mut script = Script::idle();
                loop {
                    let sleep = event_loop.lock().unwrap().prepare(None, ROOM);
                    let _ = asleep.send(());
                    poller.wait(sleep).unwrap();
                    let mut event_loop = event_loop.lock().unwrap();
                    event_loop.dispatch(Some(&mut poller), &mut script, ROOM);
                    if script.calls.contains(&Call::Timeout(2)) {
                        return script.take();
                    }
                }
            }
        });
        is_asleep.recv().unwrap();
        // The lock would not be had, did the sleeper hold it.
        let (ours, mut theirs) = pair();
        let wakeup = event_loop.lock().unwrap().wakeup();
        event_loop
            .lock()
            .unwrap()
            .register(&ours, Token(1), READABLE, PollOpt::edge())
            .unwrap();
        theirs.write_all(b"x").unwrap();
        is_asleep.recv().unwrap();
        event_loop.lock().unwrap().timeout_ms(2, 1).unwrap();
        wakeup.wake();
        assert_eq!(
            turner.join().unwrap(),
            [Call::Ready(Token(1), READABLE), Call::Timeout(2)]
        );
    });
}

#[test]
fn a_loop_moves_between_threads_between_turns() {
    within_patience(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let mut script = Script::idle();
        event_loop.channel().send(1).unwrap();
        for i in 0..10 {
            (event_loop, script) = thread::spawn(move || {
                event_loop.run_once(&mut script, None).unwrap();
                event_loop.channel().send(i).unwrap();
                (event_loop, script)
            })
            .join()
            .unwrap();
        }
        assert_eq!(script.take().len(), 10);
    });
}

#[test]
fn a_sleeper_and_flushers_lose_no_message() {
    const EACH: u32 = 2000;
    within_patience(|| {
        let event_loop = Arc::new(Mutex::new(EventLoop::<Script>::new().unwrap()));
        let script = Arc::new(Mutex::new(Script::idle()));
        let mut poller = event_loop.lock().unwrap().take_poller().unwrap();
        let wakeup = event_loop.lock().unwrap().wakeup();
        let sender = event_loop.lock().unwrap().channel();
        let done = Arc::new(AtomicBool::new(false));
        let turner = thread::spawn({
            let (event_loop, script, done) = (event_loop.clone(), script.clone(), done.clone());
            move || {
                while !done.load(Ordering::SeqCst) {
                    let sleep = event_loop.lock().unwrap().prepare(None, ROOM);
                    poller.wait(sleep).unwrap();
                    let mut event_loop = event_loop.lock().unwrap();
                    event_loop.dispatch(Some(&mut poller), &mut script.lock().unwrap(), ROOM);
                }
            }
        });
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let (sender, event_loop, script) =
                    (sender.clone(), event_loop.clone(), script.clone());
                thread::spawn(move || {
                    for i in 0..EACH {
                        while sender.send(i).is_err() {
                            thread::yield_now();
                        }
                        if i % 7 == 0 {
                            let mut event_loop = event_loop.lock().unwrap();
                            event_loop.dispatch(None, &mut script.lock().unwrap(), ROOM);
                        }
                    }
                })
            })
            .collect();
        senders
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        let mut delivered = 0;
        while delivered < 2 * EACH as usize {
            // Nobody wakes the sleeper but the senders.
            delivered += script.lock().unwrap().take().len();
            thread::yield_now();
        }
        done.store(true, Ordering::SeqCst);
        wakeup.wake();
        turner.join().unwrap();
    });
}
