//! Timers, on the loop. The wheel itself is tested with simulated time, beside its source.

mod util;

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use miolo::tcp::TcpStream;
use miolo::{
    EventLoop, EventLoopConfig, EventSet, Handler, PollOpt, Timeout, TimerError, Token, TryRead,
};
use util::{Call, Script, listen, within_patience};

/// Lets every timer become due that has a delay of so many milliseconds at most.
fn let_pass(ms: u64) {
    thread::sleep(Duration::from_millis(ms + 2));
}

#[test]
fn a_timer_is_never_early() {
    within_patience(|| {
        for (tick_ms, delay) in [
            (1, 0),
            (1, 1),
            (1, 7),
            (1, 50),
            (10, 1),
            (10, 25),
            (100, 30),
        ] {
            let mut config = EventLoopConfig::new();
            config.timer_tick_ms(tick_ms);
            let mut event_loop = EventLoop::configured(config).unwrap();
            let mut script = Script::new(|event_loop: &mut EventLoop<_>, call| {
                if let Call::Timeout(_) = call {
                    event_loop.shutdown();
                }
            });
            let start = Instant::now();
            event_loop.timeout_ms(0, delay).unwrap();
            event_loop.run(&mut script).unwrap();
            assert!(
                start.elapsed() >= Duration::from_millis(delay),
                "{tick_ms} {delay}"
            );
        }
    });
}

#[test]
fn the_loop_sleeps_until_the_next_deadline_and_is_not_woken_before() {
    within_patience(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let mut script = Script::new(|event_loop: &mut EventLoop<_>, call| {
            if call == Call::Timeout(3) {
                event_loop.shutdown();
            }
        });
        // In buckets of several levels, and one that is cleared, whose deadline wakes nobody.
        let cleared = event_loop.timeout_ms(9, 20).unwrap();
        event_loop.timeout_ms(1, 90).unwrap();
        event_loop.timeout_ms(2, 150).unwrap();
        event_loop.timeout_ms(3, 230).unwrap();
        event_loop.timeout_ms(4, 1_000_000).unwrap();
        assert!(event_loop.clear_timeout(cleared));
        event_loop.run(&mut script).unwrap();
        let timeouts = [1, 2, 3].map(|i| [Call::Timeout(i), Call::Tick]).concat();
        // On a loaded machine two may have come due in one iteration; but none without a timer.
        let without_ticks: Vec<_> = timeouts
            .iter()
            .filter(|call| **call != Call::Tick)
            .collect();
        let ticks = script
            .calls
            .iter()
            .filter(|call| **call == Call::Tick)
            .count();
        assert!(ticks <= 3, "{:?}", script.calls);
        assert_eq!(script.take().iter().collect::<Vec<_>>(), without_ticks);
    });
}

#[test]
fn timers_of_one_iteration_come_by_deadline_and_in_the_order_set() {
    within_patience(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        for (payload, ms) in [(5, 9), (0, 3), (6, 9), (1, 3), (3, 5), (2, 3), (4, 5)] {
            event_loop.timeout_at(payload, at(ms)).unwrap();
        }
        let_pass(10);
        let mut script = Script::idle();
        event_loop.run_once(&mut script, None).unwrap();
        assert_eq!(script.take(), [0, 1, 2, 3, 4, 5, 6].map(Call::Timeout));
    });
}

#[test]
fn a_deadline_in_the_past_is_due_now() {
    within_patience(|| {
        let before = Instant::now();
        let mut event_loop = EventLoop::new().unwrap();
        let_pass(5);
        event_loop.timeout_at(1, before).unwrap();
        assert!(event_loop.next_deadline().unwrap() <= Instant::now());
        let mut script = Script::idle();
        event_loop.run_once(&mut script, None).unwrap();
        assert_eq!(script.take(), [Call::Timeout(1)]);
        assert_eq!(event_loop.next_deadline(), None);
    });
}

#[test]
fn deadlines_in_the_past_are_kept_in_order() {
    within_patience(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let_pass(20);
        let mut script = Script::idle();
        // The loop has seen the present: all of these are before it.
        event_loop.timeout_ms(0, 0).unwrap();
        let_pass(0);
        event_loop.run_once(&mut script, None).unwrap();
        assert_eq!(script.take(), [Call::Timeout(0)]);
        for (payload, ms) in [(5, 15), (1, 5), (3, 10), (0, 1), (4, 10), (2, 5)] {
            event_loop.timeout_at(payload, at(ms)).unwrap();
        }
        let cleared = event_loop.timeout_at(9, at(7)).unwrap();
        assert!(event_loop.next_deadline().unwrap() < at(2));
        assert!(event_loop.clear_timeout(cleared));
        event_loop.run_once(&mut script, None).unwrap();
        assert_eq!(script.take(), [0, 1, 2, 3, 4, 5].map(Call::Timeout));
        assert_eq!(event_loop.next_deadline(), None);
    });
}

#[test]
fn a_timer_set_by_a_timer_waits_for_the_next_iteration() {
    within_patience(|| {
        let past = Instant::now();
        let mut event_loop = EventLoop::new().unwrap();
        let mut script = Script::new(move |event_loop: &mut EventLoop<_>, call| {
            if let Call::Timeout(n) = call {
                event_loop.timeout_at(n + 1, past).unwrap();
            }
        });
        event_loop.timeout_at(0, past).unwrap();
        for n in 0..5 {
            event_loop.run_once(&mut script, None).unwrap();
            assert_eq!(script.take(), [Call::Timeout(n)]);
        }
    });
}

#[test]
fn a_cleared_timer_is_not_delivered() {
    within_patience(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let timer = event_loop.timeout_ms(1, 0).unwrap();
        event_loop.timeout_ms(2, 0).unwrap();
        let_pass(0);
        assert!(event_loop.clear_timeout(timer), "due, but not delivered");
        assert!(!event_loop.clear_timeout(timer));
        let mut script = Script::idle();
        event_loop.run_once(&mut script, None).unwrap();
        assert_eq!(script.take(), [Call::Timeout(2)]);
    });
}

#[test]
fn a_timer_clears_its_sibling_of_the_same_iteration() {
    within_patience(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let timers: Vec<Timeout> = (0..4)
            .map(|i| event_loop.timeout_ms(i, 0).unwrap())
            .collect();
        let mut script = Script::new(move |event_loop: &mut EventLoop<_>, call| {
            if call == Call::Timeout(1) {
                assert!(!event_loop.clear_timeout(timers[0]), "delivered");
                assert!(!event_loop.clear_timeout(timers[1]), "being delivered");
                assert!(event_loop.clear_timeout(timers[2]), "yet to be delivered");
                assert!(!event_loop.clear_timeout(timers[2]), "cleared");
            }
        });
        let_pass(0);
        event_loop.run_once(&mut script, None).unwrap();
        assert_eq!(script.take(), [0, 1, 3].map(Call::Timeout));
    });
}

#[test]
fn an_old_handle_never_clears_another_timer() {
    within_patience(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let mut script = Script::idle();
        let mut old = vec![];
        for i in 0..100 {
            let timer = event_loop.timeout_ms(i, 0).unwrap();
            assert!(
                old.iter()
                    .all(|&old| old != timer && !event_loop.clear_timeout(old))
            );
            old.push(timer);
            if i % 2 == 0 {
                assert!(event_loop.clear_timeout(timer));
            } else {
                let_pass(0);
                event_loop.run_once(&mut script, None).unwrap();
                assert_eq!(script.take(), [Call::Timeout(i)]);
            }
        }
    });
}

#[test]
fn more_timers_than_the_capacity_are_refused() {
    let mut config = EventLoopConfig::new();
    config.timer_capacity(2);
    let mut event_loop = EventLoop::<Script>::configured(config).unwrap();
    let first = event_loop.timeout_ms(1, 1000).unwrap();
    event_loop.timeout_ms(2, 1000).unwrap();
    assert_eq!(event_loop.timeout_ms(3, 1000), Err(TimerError::Overflow));
    assert_eq!(
        event_loop.timeout_at(3, Instant::now()),
        Err(TimerError::Overflow)
    );
    event_loop.clear_timeout(first);
    event_loop.timeout_ms(3, 1000).unwrap();
}

#[test]
fn far_deadlines_hold() {
    within_patience(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let mut script = Script::idle();
        for delay in [1 << 53, u64::MAX, u64::MAX - 1, (1 << 53) - 1, 1 << 32] {
            event_loop.timeout_ms(0, delay).unwrap();
        }
        let start = Instant::now();
        event_loop.run_once(&mut script, Some(20)).unwrap();
        assert_eq!(script.calls, [Call::Tick]);
        assert!(start.elapsed() >= Duration::from_millis(20));
        let next = event_loop.next_deadline().unwrap();
        assert!(next > Instant::now() + Duration::from_millis((1 << 32) - 60_000));
    });
}

#[test]
fn catching_up_delivers_everything_once() {
    within_patience(|| {
        let mut event_loop = EventLoop::new().unwrap();
        for i in 0..200 {
            event_loop.timeout_ms(i, u64::from(i) / 4).unwrap();
        }
        let_pass(50);
        let mut script = Script::idle();
        event_loop.run_once(&mut script, None).unwrap();
        assert_eq!(
            script.take(),
            (0..200).map(Call::Timeout).collect::<Vec<_>>()
        );
    });
}

#[test]
fn a_socket_can_be_the_payload() {
    const CLIENT: Token = Token(1);

    struct Sockets {
        client: TcpStream,
        seen: EventSet,
    }

    impl Handler for Sockets {
        type Timeout = TcpStream;
        type Message = ();

        fn ready(&mut self, event_loop: &mut EventLoop<Self>, token: Token, events: EventSet) {
            assert_eq!(token, CLIENT);
            self.seen |= events;
            if events.is_hup() {
                let mut buffer = [0; 16];
                assert_eq!(self.client.try_read(&mut buffer).unwrap(), Some(4));
                assert_eq!(&buffer[..4], b"zomg");
                assert_eq!(self.client.try_read(&mut buffer).unwrap(), Some(0));
                event_loop.shutdown();
            }
        }

        fn timeout(&mut self, _: &mut EventLoop<Self>, mut stream: TcpStream) {
            stream.write_all(b"zomg").unwrap();
            // Dropped here: the peer hangs up.
        }
    }

    within_patience(|| {
        let (listener, address) = listen();
        let client = TcpStream::connect(&address).unwrap();
        let server = loop {
            match listener.accept().unwrap() {
                Some((stream, _)) => break stream,
                None => thread::yield_now(),
            }
        };
        let mut event_loop = EventLoop::new().unwrap();
        event_loop
            .register(&client, CLIENT, EventSet::readable(), PollOpt::edge())
            .unwrap();
        event_loop.timeout_ms(server, 50).unwrap();
        let mut handler = Sockets {
            client,
            seen: EventSet::none(),
        };
        event_loop.run(&mut handler).unwrap();
        assert!(
            handler
                .seen
                .contains(EventSet::readable() | EventSet::hup())
        );
    });
}

#[test]
fn payloads_are_dropped_with_the_loop() {
    struct Streams;

    impl Handler for Streams {
        type Timeout = TcpStream;
        type Message = ();
    }

    within_patience(|| {
        let (ours, mut theirs) = util::pair();
        let mut event_loop = EventLoop::<Streams>::new().unwrap();
        event_loop
            .register(&ours, Token(0), EventSet::readable(), PollOpt::edge())
            .unwrap();
        event_loop.timeout_ms(ours, 1_000_000).unwrap();
        drop(event_loop);
        assert_eq!(theirs.read(&mut [0; 1]).unwrap(), 0);
    });
}
