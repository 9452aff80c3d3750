//! Level-triggered and oneshot registrations.

mod util;

use std::io::{Read, Write};
use std::thread;

use miolo::tcp::TcpStream;
use miolo::{EventLoop, EventSet, PollOpt, Token, TryRead};
use util::{
    Call, Random, Script, expect_calls, expect_ready, expect_silence, listen, pair, within_patience,
};

const READABLE: EventSet = EventSet::readable();
const WRITABLE: EventSet = EventSet::writable();

fn new() -> (EventLoop<Script>, Script) {
    (EventLoop::new().unwrap(), Script::idle())
}

#[test]
fn a_level_listener_repeats_until_accepted() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (listener, address) = listen();
        event_loop
            .register(&listener, Token(0), READABLE, PollOpt::level())
            .unwrap();
        expect_silence(&mut event_loop, &mut script);
        let first = TcpStream::connect(&address).unwrap();
        for _ in 0..3 {
            expect_ready(&mut event_loop, &mut script, Token(0), READABLE);
        }
        assert!(listener.accept().unwrap().is_some());
        expect_silence(&mut event_loop, &mut script);
        let second = TcpStream::connect(&address).unwrap();
        for _ in 0..3 {
            expect_ready(&mut event_loop, &mut script, Token(0), READABLE);
        }
        drop(listener);
        expect_silence(&mut event_loop, &mut script);
        drop((first, second));
    });
}

#[test]
fn a_level_stream_repeats_until_read() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (ours, mut theirs) = pair();
        event_loop
            .register(&ours, Token(1), READABLE, PollOpt::level())
            .unwrap();
        expect_silence(&mut event_loop, &mut script);
        theirs.write_all(b"hello").unwrap();
        for byte in b"hello" {
            for _ in 0..5 {
                expect_ready(&mut event_loop, &mut script, Token(1), READABLE);
            }
            let mut one = [0];
            assert_eq!((&ours).try_read(&mut one).unwrap(), Some(1));
            assert_eq!(one[0], *byte);
        }
        expect_silence(&mut event_loop, &mut script);
        theirs.write_all(b"again").unwrap();
        expect_ready(&mut event_loop, &mut script, Token(1), READABLE);
        util::read_all(&ours);
        expect_silence(&mut event_loop, &mut script);
    });
}

#[test]
fn a_level_writable_repeats_until_full() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (mut ours, mut theirs) = pair();
        event_loop
            .register(&ours, Token(1), WRITABLE, PollOpt::level())
            .unwrap();
        for _ in 0..5 {
            expect_ready(&mut event_loop, &mut script, Token(1), WRITABLE);
        }
        // While the peer's kernel takes it in, there may be room again; it fills up in the end.
        let mut written = 0;
        for full in 0.. {
            while let Ok(n) = ours.write(&[7; 65_536]) {
                written += n;
            }
            event_loop.run_once(&mut script, Some(50)).unwrap();
            if script.take().is_empty() {
                break;
            }
            assert!(full < 1000);
        }
        let mut read = vec![0; written];
        theirs.read_exact(&mut read).unwrap();
        expect_ready(&mut event_loop, &mut script, Token(1), WRITABLE);
    });
}

#[test]
fn a_level_hang_up_repeats_until_deregistered() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (ours, theirs) = pair();
        event_loop
            .register(&ours, Token(1), READABLE, PollOpt::level())
            .unwrap();
        drop(theirs);
        for _ in 0..3 {
            expect_ready(&mut event_loop, &mut script, Token(1), EventSet::hup());
        }
        event_loop.deregister(&ours).unwrap();
        expect_silence(&mut event_loop, &mut script);
    });
}

#[test]
fn empty_options_and_all_options_mean_level_and_oneshot() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (ours, _theirs) = pair();
        event_loop
            .register(&ours, Token(0), WRITABLE, PollOpt::empty())
            .unwrap();
        for _ in 0..3 {
            expect_ready(&mut event_loop, &mut script, Token(0), WRITABLE);
        }
        let both = PollOpt::edge() | PollOpt::level();
        event_loop
            .reregister(&ours, Token(0), WRITABLE, both)
            .unwrap();
        for _ in 0..3 {
            expect_ready(&mut event_loop, &mut script, Token(0), WRITABLE);
        }
        event_loop
            .reregister(&ours, Token(0), WRITABLE, PollOpt::all())
            .unwrap();
        expect_ready(&mut event_loop, &mut script, Token(0), WRITABLE);
        expect_silence(&mut event_loop, &mut script);
    });
}

#[test]
fn a_level_turned_edge_or_oneshot_in_its_ready_is_what_it_was_turned_to() {
    within_patience(|| {
        for opt in [PollOpt::edge(), PollOpt::oneshot()] {
            let (ours, mut theirs) = pair();
            let mut event_loop = EventLoop::new().unwrap();
            event_loop
                .register(&ours, Token(0), READABLE, PollOpt::level())
                .unwrap();
            let mut script = Script::new(move |event_loop: &mut EventLoop<_>, call| {
                if call == Call::Ready(Token(0), READABLE) {
                    event_loop
                        .reregister(&ours, Token(1), READABLE, opt)
                        .unwrap();
                }
            });
            theirs.write_all(b"x").unwrap();
            expect_ready(&mut event_loop, &mut script, Token(0), READABLE);
            expect_ready(&mut event_loop, &mut script, Token(1), READABLE);
            expect_silence(&mut event_loop, &mut script);
        }
    });
}

#[test]
fn a_oneshot_is_delivered_once_for_each_arming() {
    within_patience(|| {
        for opt in [
            PollOpt::oneshot(),
            PollOpt::oneshot() | PollOpt::edge(),
            PollOpt::oneshot() | PollOpt::level(),
        ] {
            let (mut event_loop, mut script) = new();
            let (ours, mut theirs) = pair();
            event_loop.register(&ours, Token(0), READABLE, opt).unwrap();
            theirs.write_all(b"x").unwrap();
            expect_ready(&mut event_loop, &mut script, Token(0), READABLE);
            theirs.write_all(b"y").unwrap();
            expect_silence(&mut event_loop, &mut script);
            // It was not read, so each arming finds it again.
            for token in 1..=3 {
                event_loop
                    .reregister(&ours, Token(token), READABLE, opt)
                    .unwrap();
                expect_ready(&mut event_loop, &mut script, Token(token), READABLE);
                expect_silence(&mut event_loop, &mut script);
            }
            util::read_all(&ours);
            event_loop
                .reregister(&ours, Token(4), READABLE, opt)
                .unwrap();
            expect_silence(&mut event_loop, &mut script);
            theirs.write_all(b"z").unwrap();
            expect_ready(&mut event_loop, &mut script, Token(4), READABLE);
        }
    });
}

#[test]
fn a_delivered_oneshot_says_nothing_of_the_hang_up_until_armed_again() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (ours, theirs) = pair();
        event_loop
            .register(&ours, Token(0), WRITABLE, PollOpt::oneshot())
            .unwrap();
        expect_ready(&mut event_loop, &mut script, Token(0), WRITABLE);
        drop(theirs);
        expect_silence(&mut event_loop, &mut script);
        event_loop
            .reregister(&ours, Token(0), READABLE, PollOpt::oneshot())
            .unwrap();
        expect_ready(&mut event_loop, &mut script, Token(0), EventSet::hup());
    });
}

#[test]
fn a_oneshot_can_be_armed_by_rearm() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (ours, mut theirs) = pair();
        event_loop
            .register(&ours, Token(0), READABLE, PollOpt::oneshot())
            .unwrap();
        let registrar = event_loop.registrar();
        let id = registrar.registration(&ours).unwrap();
        theirs.write_all(b"x").unwrap();
        for _ in 0..3 {
            expect_ready(&mut event_loop, &mut script, Token(0), READABLE);
            expect_silence(&mut event_loop, &mut script);
            assert!(registrar.rearm(id).unwrap());
        }
    });
}

/// Sends `total` bytes in writes of all sizes.
fn write_at_random(mut stream: std::net::TcpStream, total: usize, seed: u64) {
    let mut random = Random(seed);
    let mut sent = 0;
    while sent < total {
        let n = (random.below(5000) as usize + 1).min(total - sent);
        let bytes: Vec<u8> = (sent..sent + n).map(|i| i as u8).collect();
        stream.write_all(&bytes).unwrap();
        sent += n;
        if random.below(4) == 0 {
            thread::yield_now();
        }
    }
}

/// One read for each `ready`, of any size: what level and oneshot promise is that the rest is not lost.
fn read_at_random(opt: PollOpt, seed: u64) {
    const TOTAL: usize = 200_000;
    let (ours, theirs) = pair();
    let mut event_loop = EventLoop::new().unwrap();
    event_loop.register(&ours, Token(0), READABLE, opt).unwrap();
    let writer = thread::spawn(move || write_at_random(theirs, TOTAL, seed));
    let mut random = Random(seed + 1);
    let mut received = 0;
    let mut armed = true;
    let mut script = Script::new(move |event_loop: &mut EventLoop<_>, call| {
        let Call::Ready(..) = call else { return };
        assert!(armed, "a oneshot was delivered twice");
        let mut buffer = vec![0; random.below(3000) as usize + 1];
        match (&ours).try_read(&mut buffer).unwrap() {
            Some(0) => {
                assert_eq!(received, TOTAL);
                return event_loop.shutdown();
            }
            Some(n) => {
                let expected = (received..received + n).map(|i| i as u8);
                assert!(buffer[..n].iter().copied().eq(expected));
                received += n;
            }
            None => {}
        }
        armed = !opt.is_oneshot();
        if opt.is_oneshot() {
            event_loop
                .reregister(&ours, Token(0), READABLE, opt)
                .unwrap();
            armed = true;
        }
    });
    event_loop.run(&mut script).unwrap();
    writer.join().unwrap();
}

#[test]
fn level_loses_nothing_with_reads_of_any_size() {
    within_patience(|| (1..=5).for_each(|seed| read_at_random(PollOpt::level(), seed)));
}

#[test]
fn oneshot_loses_nothing_with_reads_of_any_size() {
    within_patience(|| (1..=5).for_each(|seed| read_at_random(PollOpt::oneshot(), seed)));
}

#[test]
fn many_levels_at_once_are_served_alike() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let pairs: Vec<_> = (0..50).map(|_| pair()).collect();
        for (i, (ours, theirs)) in pairs.iter().enumerate() {
            (&mut &*theirs).write_all(b"x").unwrap();
            while ours.peek(&mut [0]).is_err() {
                thread::yield_now();
            }
            event_loop
                .register(ours, Token(i), READABLE, PollOpt::level())
                .unwrap();
        }
        for _ in 0..5 {
            let mut tokens: Vec<usize> = expect_calls(&mut event_loop, &mut script)
                .into_iter()
                .map(|call| match call {
                    Call::Ready(Token(token), READABLE) => token,
                    other => panic!("{other:?}"),
                })
                .collect();
            tokens.sort_unstable();
            assert_eq!(tokens, (0..50).collect::<Vec<_>>());
        }
    });
}
