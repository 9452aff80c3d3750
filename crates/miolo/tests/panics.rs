//! A callback that panics leaves a loop that can be run again, with nothing lost.

mod util;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use miolo::{EventLoop, EventSet, PollOpt, Token};
use util::{Call, Script, expect_calls, pair, within_patience};

const READABLE: EventSet = EventSet::readable();

/// Panics once, at the first call for which `when` is true.
fn panicking(when: impl Fn(Call) -> bool + Send + 'static) -> Script {
    let mut panicked = false;
    Script::new(move |_: &mut EventLoop<_>, call| {
        if when(call) && !std::mem::replace(&mut panicked, true) {
            panic!("on purpose");
        }
    })
}

fn run_into_panic(event_loop: &mut EventLoop<Script>, script: &mut Script) {
    let panic = catch_unwind(AssertUnwindSafe(|| event_loop.run(script))).unwrap_err();
    assert_eq!(*panic.downcast_ref::<&str>().unwrap(), "on purpose");
}

#[test]
fn readiness_that_was_not_delivered_comes_with_the_next_iteration() {
    within_patience(|| {
        let pairs = [pair(), pair(), pair()];
        let mut event_loop = EventLoop::new().unwrap();
        let mut script = panicking(|call| matches!(call, Call::Ready(..)));
        for (i, (ours, theirs)) in pairs.iter().enumerate() {
            (&mut &*theirs).write_all(b"x").unwrap();
            while ours.peek(&mut [0]).is_err() {
                thread::yield_now();
            }
            event_loop
                .register(ours, Token(i), READABLE, PollOpt::edge())
                .unwrap();
        }
        run_into_panic(&mut event_loop, &mut script);
        let mut calls = script.take();
        assert_eq!(calls.len(), 1);
        // No edge is told twice by the system, so these were held by the loop; and it does not sleep.
        event_loop.run_once(&mut script, None).unwrap();
        calls.extend(script.take());
        calls.sort_by_key(|call| match call {
            Call::Ready(token, READABLE) => token.0,
            other => panic!("{other:?}"),
        });
        assert_eq!(calls, [0, 1, 2].map(|i| Call::Ready(Token(i), READABLE)));
    });
}

#[test]
fn what_is_held_is_not_delivered_once_deregistered() {
    within_patience(|| {
        let pairs = [pair(), pair(), pair()];
        let mut event_loop = EventLoop::new().unwrap();
        let mut script = panicking(|call| matches!(call, Call::Ready(..)));
        for (i, (ours, theirs)) in pairs.iter().enumerate() {
            (&mut &*theirs).write_all(b"x").unwrap();
            while ours.peek(&mut [0]).is_err() {
                thread::yield_now();
            }
            event_loop
                .register(ours, Token(i), READABLE, PollOpt::edge())
                .unwrap();
        }
        run_into_panic(&mut event_loop, &mut script);
        let [Call::Ready(Token(first), _)] = script.take()[..] else {
            panic!("one call")
        };
        event_loop.deregister(&pairs[(first + 1) % 3].0).unwrap();
        let last = (first + 2) % 3;
        event_loop
            .reregister(&pairs[last].0, Token(9), READABLE, PollOpt::oneshot())
            .unwrap();
        assert_eq!(
            expect_calls(&mut event_loop, &mut script),
            [Call::Ready(Token(9), READABLE)]
        );
        util::expect_silence(&mut event_loop, &mut script);
    });
}

#[test]
fn a_level_whose_callback_panicked_is_told_again() {
    within_patience(|| {
        let (ours, mut theirs) = pair();
        let mut event_loop = EventLoop::new().unwrap();
        let mut script = panicking(|call| matches!(call, Call::Ready(..)));
        event_loop
            .register(&ours, Token(0), READABLE, PollOpt::level())
            .unwrap();
        theirs.write_all(b"x").unwrap();
        run_into_panic(&mut event_loop, &mut script);
        script.take();
        for _ in 0..3 {
            assert_eq!(
                expect_calls(&mut event_loop, &mut script),
                [Call::Ready(Token(0), READABLE)]
            );
        }
    });
}

#[test]
fn messages_and_timers_behind_the_panic_are_delivered_later() {
    within_patience(|| {
        for panicking_call in [
            Call::Notify(1),
            Call::Timeout(1),
            Call::Interrupted,
            Call::Tick,
        ] {
            let mut event_loop = EventLoop::new().unwrap();
            let mut script = panicking(move |call| call == panicking_call);
            let sender = event_loop.channel();
            event_loop.wakeup().interrupt();
            for i in 0..3 {
                sender.send(i).unwrap();
                event_loop.timeout_ms(i, 1).unwrap();
            }
            thread::sleep(std::time::Duration::from_millis(4));
            run_into_panic(&mut event_loop, &mut script);
            event_loop.run_once(&mut script, Some(0)).unwrap();
            let expected: Vec<_> = [Call::Interrupted]
                .into_iter()
                .chain((0..3).map(Call::Notify))
                .chain((0..3).map(Call::Timeout))
                .collect();
            let mut calls = script.take();
            // By kind: an iteration was cut short, so messages may follow timers.
            calls.sort_by_key(|call| expected.iter().position(|other| other == call));
            assert_eq!(calls, expected, "{panicking_call:?}");
            assert!(event_loop.is_running());
        }
    });
}

#[test]
fn a_shutdown_before_the_panic_is_used_up_by_the_run_that_panicked() {
    within_patience(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let mut script = Script::new(|event_loop: &mut EventLoop<_>, call| match call {
            Call::Notify(_) => event_loop.shutdown(),
            Call::Timeout(_) => panic!("on purpose"),
            _ => {}
        });
        let sender = event_loop.channel();
        sender.send(1).unwrap();
        event_loop.timeout_ms(2, 0).unwrap();
        thread::sleep(std::time::Duration::from_millis(3));
        run_into_panic(&mut event_loop, &mut script);
        assert_eq!(script.take(), [Call::Notify(1), Call::Timeout(2)]);
        sender.send(3).unwrap();
        event_loop.run(&mut script).unwrap();
        assert_eq!(script.take(), [Call::Notify(3)]);
        event_loop.shutdown();
        sender.send(4).unwrap();
        event_loop.run(&mut script).unwrap();
        assert_eq!(script.take(), [], "one after the panic is for the next run");
    });
}

#[test]
fn the_loop_can_be_run_again_after_a_panic() {
    within_patience(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let mut script = panicking(|call| call == Call::Notify(1));
        let sender = event_loop.channel();
        sender.send(1).unwrap();
        run_into_panic(&mut event_loop, &mut script);
        let mut script = Script::new(|event_loop: &mut EventLoop<_>, call| {
            if call == Call::Notify(2) {
                event_loop.shutdown();
            }
        });
        sender.send(2).unwrap();
        event_loop.run(&mut script).unwrap();
    });
}

#[test]
fn a_payload_that_panics_when_dropped_with_the_loop_leaves_the_rest_dropped() {
    use miolo::Handler;
    use std::sync::Arc;

    struct Bomb(#[allow(dead_code)] Arc<()>, bool);

    impl Drop for Bomb {
        fn drop(&mut self) {
            if self.1 && !thread::panicking() {
                panic!("on purpose");
            }
        }
    }

    struct Bombs;

    impl Handler for Bombs {
        type Timeout = Bomb;
        type Message = Bomb;
    }

    within_patience(|| {
        let alive = Arc::new(());
        let (ours, _theirs) = pair();
        let mut event_loop = EventLoop::<Bombs>::new().unwrap();
        let registrar = event_loop.registrar();
        event_loop
            .register(&ours, Token(0), READABLE, PollOpt::edge())
            .unwrap();
        event_loop
            .timeout_ms(Bomb(alive.clone(), false), 1000)
            .unwrap();
        event_loop
            .timeout_ms(Bomb(alive.clone(), true), 1000)
            .unwrap();
        event_loop
            .timeout_ms(Bomb(alive.clone(), false), 1000)
            .unwrap();
        catch_unwind(AssertUnwindSafe(|| drop(event_loop))).unwrap_err();
        assert_eq!(Arc::strong_count(&alive), 1);
        assert_eq!(registrar.registration(&ours), None);
    });
}
