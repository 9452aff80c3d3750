//! Registering, reregistering, deregistering, and what is never delivered.

mod util;

use std::io::{ErrorKind, Write};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;

use miolo::tcp::TcpStream;
use miolo::{Error, EventLoop, EventSet, Evented, PollOpt, Registrar, Shared, Token};
use util::{
    Call, Script, expect_calls, expect_ready, expect_silence, listen, pair, within_patience,
};

const READABLE: EventSet = EventSet::readable();
const WRITABLE: EventSet = EventSet::writable();

fn new() -> (EventLoop<Script>, Script) {
    (EventLoop::new().unwrap(), Script::idle())
}

fn cause(error: &std::io::Error) -> &Error {
    error
        .get_ref()
        .and_then(|cause| cause.downcast_ref())
        .expect("an error of the loop's own")
}

#[test]
fn registering_twice_says_already_exists() {
    let (event_loop, _) = new();
    let (listener, _) = listen();
    event_loop
        .register(&listener, Token(0), READABLE, PollOpt::edge())
        .unwrap();
    for listener in [&listener, &listener.try_clone().unwrap()] {
        let error = event_loop
            .register(listener, Token(1), READABLE, PollOpt::edge())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(*cause(&error), Error::AlreadyRegistered);
    }
}

#[test]
fn what_is_not_registered_is_not_found() {
    let (event_loop, _) = new();
    let (listener, _) = listen();
    let check = || {
        let error = event_loop
            .reregister(&listener, Token(0), READABLE, PollOpt::edge())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = event_loop.deregister(&listener).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(*cause(&error), Error::NotRegistered);
        assert_eq!(event_loop.registrar().registration(&listener), None);
    };
    check();
    event_loop
        .register(&listener, Token(0), READABLE, PollOpt::edge())
        .unwrap();
    event_loop.deregister(&listener).unwrap();
    check();
}

#[test]
fn a_second_loop_refuses_a_registered_source_and_its_clones() {
    let (first, _) = new();
    let (second, _) = new();
    let (listener, _) = listen();
    first
        .register(&listener, Token(0), READABLE, PollOpt::edge())
        .unwrap();
    for listener in [&listener, &listener.try_clone().unwrap()] {
        let refused = [
            second.register(listener, Token(0), READABLE, PollOpt::edge()),
            second.reregister(listener, Token(0), READABLE, PollOpt::edge()),
            second.deregister(listener),
        ];
        for error in refused.map(Result::unwrap_err) {
            assert_eq!(error.kind(), ErrorKind::Other);
            assert_eq!(*cause(&error), Error::RegisteredElsewhere);
            assert!(error.to_string().contains("already registered"));
        }
    }
    first.deregister(&listener).unwrap();
    second
        .register(&listener, Token(0), READABLE, PollOpt::edge())
        .unwrap();
}

#[test]
fn a_source_outlives_its_loop_and_can_be_registered_with_another() {
    within_patience(|| {
        let (ours, mut theirs) = pair();
        let (first, _) = new();
        let registrar = first.registrar();
        first
            .register(&ours, Token(1), READABLE, PollOpt::edge())
            .unwrap();
        drop(first);
        assert_eq!(registrar.registration(&ours), None);
        let (mut second, mut script) = new();
        second
            .register(&ours, Token(2), READABLE, PollOpt::edge())
            .unwrap();
        theirs.write_all(b"x").unwrap();
        expect_ready(&mut second, &mut script, Token(2), READABLE);
    });
}

#[test]
fn a_closed_loop_registers_nothing() {
    let (event_loop, _) = new();
    let (ours, _theirs) = pair();
    let registrar = event_loop.registrar();
    event_loop
        .register(&ours, Token(0), READABLE, PollOpt::edge())
        .unwrap();
    let id = registrar.registration(&ours).unwrap();
    drop(event_loop);
    let error = registrar
        .register(&ours, Token(0), READABLE, PollOpt::edge())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    assert_eq!(*cause(&error), Error::Closed);
    let error = registrar
        .reregister(&ours, Token(0), READABLE, PollOpt::edge())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!registrar.rearm(id).unwrap());
}

#[test]
fn nothing_comes_after_deregister() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (ours, mut theirs) = pair();
        event_loop
            .register(&ours, Token(0), READABLE, PollOpt::edge())
            .unwrap();
        theirs.write_all(b"x").unwrap();
        expect_ready(&mut event_loop, &mut script, Token(0), READABLE);
        event_loop
            .reregister(&ours, Token(0), WRITABLE, PollOpt::level())
            .unwrap();
        expect_ready(&mut event_loop, &mut script, Token(0), WRITABLE);
        event_loop.deregister(&ours).unwrap();
        theirs.write_all(b"x").unwrap();
        expect_silence(&mut event_loop, &mut script);
    });
}

#[test]
fn an_event_of_the_same_iteration_is_not_delivered_to_what_was_deregistered() {
    within_patience(|| {
        let pairs = [pair(), pair(), pair()];
        let ours: Vec<TcpStream> = pairs
            .iter()
            .map(|(ours, _)| ours.try_clone().unwrap())
            .collect();
        let mut event_loop = EventLoop::new().unwrap();
        // Whoever comes first ends the others.
        let mut script = Script::new({
            move |event_loop: &mut EventLoop<_>, call| {
                if let Call::Ready(Token(first), _) = call {
                    for (i, stream) in ours.iter().enumerate().filter(|&(i, _)| i != first) {
                        event_loop.deregister(stream).unwrap();
                        // The token, and most likely the slot, are used again at once.
                        event_loop
                            .register(stream, Token(i), EventSet::none(), PollOpt::edge())
                            .unwrap();
                    }
                }
            }
        });
        for (i, (ours, theirs)) in pairs.iter().enumerate() {
            (&mut &*theirs).write_all(b"x").unwrap();
            event_loop
                .register(ours, Token(i), READABLE, PollOpt::edge())
                .unwrap();
            while ours.peek(&mut [0]).is_err() {
                thread::yield_now();
            }
        }
        let calls = expect_calls(&mut event_loop, &mut script);
        assert_eq!(calls.len(), 1, "{calls:?}");
        expect_silence(&mut event_loop, &mut script);
    });
}

#[test]
fn an_event_of_the_same_iteration_is_not_delivered_to_what_was_dropped() {
    within_patience(|| {
        let (first, first_peer) = pair();
        let (second, second_peer) = pair();
        for (ours, mut theirs) in [(&first, &first_peer), (&second, &second_peer)] {
            theirs.write_all(b"x").unwrap();
            while ours.peek(&mut [0]).is_err() {
                thread::yield_now();
            }
        }
        let mut event_loop = EventLoop::new().unwrap();
        event_loop
            .register(&first, Token(0), READABLE, PollOpt::edge())
            .unwrap();
        event_loop
            .register(&second, Token(0), READABLE, PollOpt::edge())
            .unwrap();
        let mut streams = vec![first, second];
        let mut script = Script::new(move |_: &mut EventLoop<_>, call| {
            if let Call::Ready(..) = call {
                streams.clear();
            }
        });
        assert_eq!(
            expect_calls(&mut event_loop, &mut script),
            [Call::Ready(Token(0), READABLE)]
        );
        expect_silence(&mut event_loop, &mut script);
    });
}

#[test]
fn dropping_the_last_clone_deregisters() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (listener, address) = listen();
        let clone = listener.try_clone().unwrap();
        event_loop
            .register(&listener, Token(0), READABLE, PollOpt::level())
            .unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        drop(listener);
        expect_ready(&mut event_loop, &mut script, Token(0), READABLE);
        drop(clone);
        expect_silence(&mut event_loop, &mut script);
    });
}

#[test]
fn a_descriptor_shared_outside_does_not_keep_a_registration_alive() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let listener = std::net::TcpListener::bind(util::localhost()).unwrap();
        let mut theirs = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, _) = listener.accept().unwrap();
        let outside = ours.try_clone().unwrap();
        let ours = TcpStream::from_std(ours).unwrap();
        event_loop
            .register(&ours, Token(0), READABLE, PollOpt::edge())
            .unwrap();
        drop(ours);
        theirs.write_all(b"x").unwrap();
        expect_silence(&mut event_loop, &mut script);
        drop(outside);
    });
}

#[test]
fn two_sources_may_share_a_token() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (first, mut first_peer) = pair();
        let (second, mut second_peer) = pair();
        event_loop
            .register(&first, Token(7), READABLE, PollOpt::edge())
            .unwrap();
        event_loop
            .register(&second, Token(7), READABLE, PollOpt::edge())
            .unwrap();
        first_peer.write_all(b"x").unwrap();
        expect_ready(&mut event_loop, &mut script, Token(7), READABLE);
        second_peer.write_all(b"x").unwrap();
        expect_ready(&mut event_loop, &mut script, Token(7), READABLE);
        event_loop.deregister(&first).unwrap();
        second_peer.write_all(b"x").unwrap();
        expect_ready(&mut event_loop, &mut script, Token(7), READABLE);
    });
}

#[test]
fn any_token_comes_back_as_it_is() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (ours, _theirs) = pair();
        for token in [0, 1, 1 << 32, (1 << 53) - 1, usize::MAX - 1, usize::MAX] {
            event_loop
                .register(&ours, Token(token), WRITABLE, PollOpt::edge())
                .unwrap();
            expect_ready(&mut event_loop, &mut script, Token(token), WRITABLE);
            event_loop.deregister(&ours).unwrap();
        }
    });
}

#[test]
fn reregister_changes_token_and_interest_without_a_poll_in_between() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (ours, mut theirs) = pair();
        theirs.write_all(b"x").unwrap();
        event_loop
            .register(&ours, Token(0), READABLE, PollOpt::edge())
            .unwrap();
        event_loop
            .reregister(&ours, Token(1), WRITABLE, PollOpt::edge())
            .unwrap();
        assert_eq!(
            expect_calls(&mut event_loop, &mut script),
            [Call::Ready(Token(1), WRITABLE)]
        );
        expect_silence(&mut event_loop, &mut script);
        event_loop
            .reregister(&ours, Token(2), READABLE, PollOpt::edge())
            .unwrap();
        assert_eq!(
            expect_calls(&mut event_loop, &mut script),
            [Call::Ready(Token(2), READABLE)]
        );
    });
}

#[test]
fn reregister_drops_what_was_held_and_the_system_tells_it_again() {
    within_patience(|| {
        let (first, first_peer) = pair();
        let (second, second_peer) = pair();
        for (ours, mut theirs) in [(&first, &first_peer), (&second, &second_peer)] {
            theirs.write_all(b"x").unwrap();
            while ours.peek(&mut [0]).is_err() {
                thread::yield_now();
            }
        }
        let streams = [first, second];
        let mut event_loop = EventLoop::new().unwrap();
        for (i, stream) in streams.iter().enumerate() {
            event_loop
                .register(stream, Token(i), READABLE, PollOpt::edge())
                .unwrap();
        }
        let mut done = false;
        let mut script = Script::new(move |event_loop: &mut EventLoop<_>, call| {
            if let Call::Ready(Token(first), _) = call
                && !std::mem::replace(&mut done, true)
            {
                let other = &streams[1 - first];
                event_loop
                    .reregister(other, Token(10), READABLE, PollOpt::edge())
                    .unwrap();
            }
        });
        assert_eq!(expect_calls(&mut event_loop, &mut script).len(), 1);
        assert_eq!(
            expect_calls(&mut event_loop, &mut script),
            [Call::Ready(Token(10), READABLE)]
        );
        expect_silence(&mut event_loop, &mut script);
    });
}

#[test]
fn an_empty_interest_is_silent_until_reregistered() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (ours, mut theirs) = pair();
        event_loop
            .register(&ours, Token(0), EventSet::none(), PollOpt::level())
            .unwrap();
        theirs.write_all(b"x").unwrap();
        expect_silence(&mut event_loop, &mut script);
        event_loop
            .reregister(&ours, Token(0), READABLE, PollOpt::edge())
            .unwrap();
        expect_ready(&mut event_loop, &mut script, Token(0), READABLE);
        event_loop
            .reregister(&ours, Token(0), EventSet::none(), PollOpt::edge())
            .unwrap();
        event_loop
            .reregister(&ours, Token(0), EventSet::none(), PollOpt::edge())
            .unwrap();
        let id = event_loop.registrar().registration(&ours).unwrap();
        assert!(event_loop.registrar().rearm(id).unwrap());
        drop(theirs);
        expect_silence(&mut event_loop, &mut script);
        event_loop.deregister(&ours).unwrap();
    });
}

#[test]
fn a_hang_up_reaches_whoever_asked_for_anything() {
    within_patience(|| {
        for interest in [READABLE, WRITABLE, EventSet::hup(), EventSet::error()] {
            let (mut event_loop, mut script) = new();
            let (ours, theirs) = pair();
            event_loop
                .register(&ours, Token(0), interest, PollOpt::edge())
                .unwrap();
            theirs.shutdown(std::net::Shutdown::Write).unwrap();
            let seen = expect_ready(&mut event_loop, &mut script, Token(0), EventSet::hup());
            assert_eq!(
                seen - interest,
                EventSet::hup() - interest,
                "{interest:?}: {seen:?}"
            );
        }
    });
}

#[test]
fn what_is_not_asked_for_is_not_delivered() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (ours, mut theirs) = pair();
        event_loop
            .register(&ours, Token(0), WRITABLE, PollOpt::edge())
            .unwrap();
        assert_eq!(
            expect_calls(&mut event_loop, &mut script),
            [Call::Ready(Token(0), WRITABLE)]
        );
        theirs.write_all(b"x").unwrap();
        let end = std::time::Instant::now() + std::time::Duration::from_millis(50);
        while std::time::Instant::now() < end {
            event_loop.run_once(&mut script, Some(10)).unwrap();
            for call in script.take() {
                // An edge may come again with what it was; but not with what was not wanted.
                assert_eq!(call, Call::Ready(Token(0), WRITABLE));
            }
        }
    });
}

#[test]
fn a_registration_keeps_its_id_until_it_ends() {
    let (event_loop, _) = new();
    let (ours, _theirs) = pair();
    let registrar = event_loop.registrar();
    event_loop
        .register(&ours, Token(0), READABLE, PollOpt::edge())
        .unwrap();
    let id = registrar.registration(&ours).unwrap();
    event_loop
        .reregister(&ours, Token(1), WRITABLE, PollOpt::level())
        .unwrap();
    assert_eq!(registrar.registration(&ours), Some(id));
    assert!(registrar.rearm(id).unwrap());
    event_loop.deregister(&ours).unwrap();
    event_loop
        .register(&ours, Token(0), READABLE, PollOpt::edge())
        .unwrap();
    assert_ne!(registrar.registration(&ours), Some(id));
    assert!(
        !registrar.rearm(id).unwrap(),
        "of a registration that has ended"
    );
}

#[test]
fn rearm_makes_an_edge_tell_again() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (ours, mut theirs) = pair();
        event_loop
            .register(&ours, Token(0), READABLE, PollOpt::edge())
            .unwrap();
        let registrar = event_loop.registrar();
        let id = registrar.registration(&ours).unwrap();
        theirs.write_all(b"x").unwrap();
        expect_ready(&mut event_loop, &mut script, Token(0), READABLE);
        expect_silence(&mut event_loop, &mut script);
        assert!(registrar.rearm(id).unwrap());
        expect_ready(&mut event_loop, &mut script, Token(0), READABLE);
        util::read_all(&ours);
        assert!(registrar.rearm(id).unwrap());
        expect_silence(&mut event_loop, &mut script);
    });
}

#[test]
fn a_registrar_registers_while_the_loop_sleeps_in_its_poll() {
    within_patience(|| {
        let (send_registrar, registrars) = channel::<Registrar>();
        let thread = thread::spawn(move || {
            let mut event_loop = EventLoop::new().unwrap();
            let mut script = Script::new(|event_loop: &mut EventLoop<_>, call| {
                if let Call::Ready(Token(3), _) = call {
                    event_loop.shutdown();
                }
            });
            send_registrar.send(event_loop.registrar()).unwrap();
            event_loop.run(&mut script).unwrap();
            script.take()
        });
        let registrar = registrars.recv().unwrap();
        let (ours, mut theirs) = pair();
        registrar
            .register(&ours, Token(1), EventSet::none(), PollOpt::edge())
            .unwrap();
        registrar
            .reregister(&ours, Token(2), READABLE, PollOpt::edge())
            .unwrap();
        registrar.deregister(&ours).unwrap();
        registrar
            .register(&ours, Token(3), READABLE, PollOpt::edge())
            .unwrap();
        theirs.write_all(b"x").unwrap();
        assert_eq!(thread.join().unwrap(), [Call::Ready(Token(3), READABLE)]);
    });
}

#[test]
fn threads_may_register_and_drop_under_a_running_loop() {
    within_patience(|| {
        let (send, handles) = channel();
        let thread = thread::spawn(move || {
            let mut event_loop = EventLoop::new().unwrap();
            let mut script = Script::new(|event_loop: &mut EventLoop<_>, call| match call {
                Call::Notify(_) => event_loop.shutdown(),
                Call::Ready(token, _) => assert!(token.0 < 4),
                _ => {}
            });
            send.send((event_loop.registrar(), event_loop.channel()))
                .unwrap();
            event_loop.run(&mut script).unwrap();
        });
        let (registrar, sender) = handles.recv().unwrap();
        let threads: Vec<_> = (0..4)
            .map(|i| {
                let registrar = registrar.clone();
                thread::spawn(move || {
                    for round in 0..200 {
                        let (ours, mut theirs) = pair();
                        let opt = [PollOpt::edge(), PollOpt::level(), PollOpt::oneshot()];
                        registrar
                            .register(&ours, Token(i), READABLE, opt[round % 3])
                            .unwrap();
                        theirs.write_all(b"x").unwrap();
                        if round % 2 == 0 {
                            registrar
                                .reregister(&ours, Token(i), WRITABLE, opt[(round + 1) % 3])
                                .unwrap();
                        }
                        if round % 5 == 0 {
                            registrar.deregister(&ours).unwrap();
                        }
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        sender.send(0).unwrap();
        thread.join().unwrap();
    });
}

#[test]
fn a_loop_may_be_dropped_while_threads_register_with_it() {
    within_patience(|| {
        for _ in 0..50 {
            let (event_loop, _) = new();
            let streams: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let (registrar, streams) = (event_loop.registrar(), Arc::clone(&streams));
                    thread::spawn(move || {
                        loop {
                            let (ours, _theirs) = pair();
                            match registrar.register(&ours, Token(0), READABLE, PollOpt::level()) {
                                Ok(()) => streams.lock().unwrap().push(ours),
                                Err(error) => return assert_eq!(*cause(&error), Error::Closed),
                            }
                        }
                    })
                })
                .collect();
            while streams.lock().unwrap().len() < 4 {
                thread::yield_now();
            }
            drop(event_loop);
            threads
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
            // None of them has kept anything of the loop that is gone.
            let (other, _) = new();
            for stream in streams.lock().unwrap().iter() {
                other
                    .register(stream, Token(0), READABLE, PollOpt::edge())
                    .unwrap();
            }
        }
    });
}

#[test]
fn any_source_of_mio_can_be_shared_and_registered() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let socket = Shared::new(mio::net::UdpSocket::bind(util::localhost()).unwrap());
        let address = socket.with(|socket| socket.local_addr()).unwrap();
        event_loop
            .register(&socket, Token(0), READABLE, PollOpt::edge())
            .unwrap();
        let peer = std::net::UdpSocket::bind(util::localhost()).unwrap();
        peer.send_to(b"datagram", address).unwrap();
        expect_ready(&mut event_loop, &mut script, Token(0), READABLE);
        let mut buffer = [0; 16];
        assert_eq!(
            socket
                .clone()
                .with(|socket| socket.recv(&mut buffer))
                .unwrap(),
            8
        );
        // A handle of the source is as good as the source.
        event_loop.deregister(socket.source()).unwrap();
    });
}
