//! TCP: accepting, connecting, reading, writing, ending.
#![cfg(unix)]

mod util;

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{self, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, RawFd};
use std::thread;
use std::time::Duration;

use miolo::tcp::{Shutdown, TcpListener, TcpStream};
use miolo::{EventLoop, EventSet, Handler, PollOpt, Token, TryAccept, TryRead, TryWrite};
use util::{
    Call, Script, expect_calls, expect_ready, expect_silence, listen, localhost, pair, read_all,
    within_patience,
};

const READABLE: EventSet = EventSet::readable();
const WRITABLE: EventSet = EventSet::writable();
const HUP: EventSet = EventSet::hup();
const MIB: usize = 1024 * 1024;

fn new() -> (EventLoop<Script>, Script) {
    (EventLoop::new().unwrap(), Script::idle())
}

/// Connects to a listener, and accepts: ours of the client's end, ours of the server's.
fn connect() -> (TcpStream, TcpStream) {
    let (listener, address) = listen();
    let (mut event_loop, mut script) = new();
    event_loop
        .register(&listener, Token(0), READABLE, PollOpt::level())
        .unwrap();
    let client = TcpStream::connect(&address).unwrap();
    expect_ready(&mut event_loop, &mut script, Token(0), READABLE);
    let (server, _) = listener.accept().unwrap().unwrap();
    (client, server)
}

#[test]
fn a_listener_is_readable_and_accepts_one_then_none() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (listener, address) = listen();
        event_loop
            .register(&listener, Token(1), READABLE, PollOpt::edge())
            .unwrap();
        let client = net::TcpStream::connect(address).unwrap();
        expect_ready(&mut event_loop, &mut script, Token(1), READABLE);
        let (stream, peer) = listener.accept().unwrap().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        assert_eq!(stream.peer_addr().unwrap(), peer);
        assert!(listener.accept().unwrap().is_none());
        assert!(TryAccept::accept(&listener).unwrap().is_none());
    });
}

#[test]
fn try_accept_gives_the_stream_alone() {
    within_patience(|| {
        let (listener, address) = listen();
        let mut client = net::TcpStream::connect(address).unwrap();
        let stream = loop {
            match TryAccept::accept(&listener).unwrap() {
                Some(stream) => break stream,
                None => thread::yield_now(),
            }
        };
        (&stream).write_all(b"hello").unwrap();
        client.read_exact(&mut [0; 5]).unwrap();
    });
}

#[test]
fn connecting_ends_writable_and_a_later_run_gets_the_hang_up() {
    struct Connect {
        hits: Vec<EventSet>,
    }

    impl Handler for Connect {
        type Timeout = ();
        type Message = ();

        fn ready(&mut self, event_loop: &mut EventLoop<Self>, token: Token, events: EventSet) {
            assert_eq!(token, Token(1));
            self.hits.push(events);
            event_loop.shutdown();
        }
    }

    within_patience(|| {
        let (listener, address) = listen();
        let stream = TcpStream::connect(&address).unwrap();
        let mut event_loop = EventLoop::new().unwrap();
        event_loop
            .register(&stream, Token(1), WRITABLE | HUP, PollOpt::edge())
            .unwrap();
        let mut handler = Connect { hits: vec![] };
        event_loop.run(&mut handler).unwrap();
        assert_eq!(handler.hits, [WRITABLE]);
        stream.take_socket_error().unwrap();

        let peer = loop {
            match listener.accept().unwrap() {
                Some((peer, _)) => break peer,
                None => thread::yield_now(),
            }
        };
        drop(peer);
        event_loop.run(&mut handler).unwrap();
        assert_eq!(handler.hits.len(), 2);
        assert!(handler.hits[1].is_hup());
    });
}

#[test]
fn sixteen_mib_are_read_in_chunks_edge_triggered() {
    const TOTAL: usize = 16 * MIB;
    within_patience(|| {
        let (ours, mut theirs) = pair();
        let writer = thread::spawn(move || {
            for _ in 0..TOTAL / 1024 {
                theirs.write_all(&[1; 1024]).unwrap();
            }
        });
        let mut event_loop = EventLoop::new().unwrap();
        event_loop
            .register(&ours, Token(0), READABLE, PollOpt::edge())
            .unwrap();
        let mut received = 0;
        let mut script = Script::new(move |event_loop: &mut EventLoop<_>, call| {
            let Call::Ready(..) = call else { return };
            let mut buffer = [0; 1024];
            while let Some(n) = (&ours).try_read(&mut buffer).unwrap() {
                if n == 0 {
                    assert_eq!(received, TOTAL);
                    return event_loop.shutdown();
                }
                assert!(buffer[..n].iter().all(|byte| *byte == 1));
                received += n;
            }
        });
        event_loop.run(&mut script).unwrap();
        writer.join().unwrap();
    });
}

#[test]
fn sixteen_mib_are_written_in_chunks_edge_triggered() {
    const TOTAL: usize = 16 * MIB;
    within_patience(|| {
        let (mut ours, mut theirs) = pair();
        let reader = thread::spawn(move || {
            let mut bytes = Vec::new();
            theirs.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes.len(), TOTAL);
            assert!(bytes.iter().all(|byte| *byte == 1));
        });
        let mut event_loop = EventLoop::new().unwrap();
        event_loop
            .register(&ours, Token(0), WRITABLE, PollOpt::edge())
            .unwrap();
        let mut sent = 0;
        let mut script = Script::new(move |event_loop: &mut EventLoop<_>, call| {
            let Call::Ready(..) = call else { return };
            while sent < TOTAL {
                match ours
                    .try_write(&[1; 1024][..1024.min(TOTAL - sent)])
                    .unwrap()
                {
                    Some(n) => sent += n,
                    None => return,
                }
            }
            ours.shutdown(Shutdown::Both).unwrap();
            event_loop.shutdown();
        });
        event_loop.run(&mut script).unwrap();
        reader.join().unwrap();
    });
}

#[test]
fn sixteen_mib_go_through_vectored_reads_and_writes() {
    const TOTAL: usize = 16 * MIB;
    within_patience(|| {
        let (mut writer, mut reader) = connect();
        let mut event_loop = EventLoop::new().unwrap();
        event_loop
            .register(&writer, Token(0), WRITABLE, PollOpt::edge())
            .unwrap();
        event_loop
            .register(&reader, Token(1), READABLE, PollOpt::edge())
            .unwrap();
        let (mut sent, mut received) = (0, 0);
        let mut script = Script::new(move |event_loop: &mut EventLoop<_>, call| match call {
            Call::Ready(Token(0), _) => {
                let (a, b) = ([1; 100], [2; 924]);
                // In whole patterns, or what is left of one.
                while sent < TOTAL {
                    let at = sent % 1024;
                    let bufs = [
                        IoSlice::new(&a[at.min(100)..]),
                        IoSlice::new(&b[at.saturating_sub(100)..]),
                    ];
                    match writer.write_vectored(&bufs) {
                        Ok(n) => sent += n,
                        Err(error) => return assert_eq!(error.kind(), ErrorKind::WouldBlock),
                    }
                }
                writer.shutdown(Shutdown::Write).unwrap();
            }
            Call::Ready(..) => loop {
                let (mut a, mut b) = ([0; 700], [0; 3000]);
                let mut bufs = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
                match reader.read_vectored(&mut bufs) {
                    Ok(0) => {
                        assert_eq!(received, TOTAL);
                        return event_loop.shutdown();
                    }
                    Ok(n) => {
                        for byte in a.iter().chain(&b).take(n) {
                            assert_eq!(*byte, if received % 1024 < 100 { 1 } else { 2 });
                            received += 1;
                        }
                    }
                    Err(error) => return assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            },
            _ => {}
        });
        event_loop.run(&mut script).unwrap();
    });
}

#[test]
fn sixteen_writes_of_a_kib_arrive_whole() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (mut ours, mut theirs) = pair();
        event_loop
            .register(&ours, Token(0), WRITABLE, PollOpt::edge())
            .unwrap();
        expect_ready(&mut event_loop, &mut script, Token(0), WRITABLE);
        for i in 0..16 {
            ours.write_all(&[i; 1024]).unwrap();
            ours.flush().unwrap();
        }
        let mut bytes = vec![0; 16 * 1024];
        theirs.read_exact(&mut bytes).unwrap();
        assert!(
            bytes
                .iter()
                .enumerate()
                .all(|(i, byte)| *byte as usize == i / 1024)
        );
    });
}

#[test]
fn a_client_gets_its_event_when_the_accepted_socket_is_dropped() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (client, server) = connect();
        event_loop
            .register(&server, Token(1), READABLE, PollOpt::edge())
            .unwrap();
        event_loop
            .register(&client, Token(2), READABLE, PollOpt::edge())
            .unwrap();
        drop(server);
        let seen = expect_ready(&mut event_loop, &mut script, Token(2), READABLE | HUP);
        assert!(!seen.is_writable());
        assert_eq!((&client).try_read(&mut [0; 8]).unwrap(), Some(0));
    });
}

#[test]
fn a_dropped_listener_is_silent() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (listener, address) = listen();
        event_loop
            .register(&listener, Token(1), READABLE, PollOpt::edge())
            .unwrap();
        let client = net::TcpStream::connect(address).unwrap();
        drop(listener);
        drop(client);
        expect_silence(&mut event_loop, &mut script);
    });
}

#[test]
fn dropping_both_registered_ends_is_silent() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (client, server) = connect();
        event_loop
            .register(&client, Token(1), READABLE, PollOpt::edge())
            .unwrap();
        event_loop
            .register(&server, Token(2), READABLE, PollOpt::edge())
            .unwrap();
        drop(client);
        drop(server);
        expect_silence(&mut event_loop, &mut script);
    });
}

#[test]
fn a_peer_that_closes_gives_readable_and_hup_together_then_the_end() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (ours, mut theirs) = pair();
        event_loop
            .register(&ours, Token(0), READABLE | HUP, PollOpt::edge())
            .unwrap();
        theirs.write_all(b"bye").unwrap();
        drop(theirs);
        loop {
            let calls = expect_calls(&mut event_loop, &mut script);
            let [Call::Ready(Token(0), events)] = calls[..] else {
                panic!("{calls:?}")
            };
            if events == READABLE | HUP {
                break;
            }
            assert_eq!(events, READABLE, "the bytes, ahead of the end");
        }
        assert_eq!(read_all(&ours), b"bye");
        assert_eq!((&ours).try_read(&mut [0; 8]).unwrap(), Some(0));
    });
}

/// A server that echoes and a client that sends texts and expects them back, in one loop.
struct Echo {
    listener: TcpListener,
    client: TcpStream,
    server: Option<TcpStream>,
    opt: PollOpt,
    texts: Vec<&'static str>,
    expected: Vec<u8>,
    unsent: Vec<u8>,
}

impl Echo {
    const LISTENER: Token = Token(0);
    const CLIENT: Token = Token(1);
    const SERVER: Token = Token(2);

    fn send(&mut self, event_loop: &mut EventLoop<Self>) {
        let Some(text) = self.texts.pop() else {
            return event_loop.shutdown();
        };
        self.client.write_all(text.as_bytes()).unwrap();
        self.expected = text.into();
    }
}

impl Handler for Echo {
    type Timeout = ();
    type Message = ();

    fn ready(&mut self, event_loop: &mut EventLoop<Self>, token: Token, events: EventSet) {
        match token {
            Echo::LISTENER => {
                let (server, _) = self.listener.accept().unwrap().unwrap();
                event_loop
                    .register(&server, Echo::SERVER, READABLE, self.opt)
                    .unwrap();
                self.server = Some(server);
                self.send(event_loop);
            }
            Echo::SERVER => {
                let server = self.server.as_ref().unwrap();
                if events.is_readable() {
                    self.unsent.extend(read_all(server));
                }
                if let Some(n) = (&mut &*server).try_write(&self.unsent).unwrap() {
                    self.unsent.drain(..n);
                }
                let interest = if self.unsent.is_empty() {
                    READABLE
                } else {
                    READABLE | WRITABLE
                };
                event_loop
                    .reregister(server, Echo::SERVER, interest, self.opt)
                    .unwrap();
            }
            _ => {
                let bytes = read_all(&self.client);
                assert!(self.expected.starts_with(&bytes));
                self.expected.drain(..bytes.len());
                if self.expected.is_empty() {
                    self.send(event_loop);
                }
                event_loop
                    .reregister(&self.client, Echo::CLIENT, READABLE, self.opt)
                    .unwrap();
            }
        }
    }
}

#[test]
fn texts_are_echoed_in_every_mode() {
    within_patience(|| {
        for opt in [
            PollOpt::edge(),
            PollOpt::level(),
            PollOpt::oneshot(),
            PollOpt::edge() | PollOpt::oneshot(),
        ] {
            let (listener, address) = listen();
            let mut event_loop = EventLoop::new().unwrap();
            event_loop
                .register(&listener, Echo::LISTENER, READABLE, PollOpt::edge())
                .unwrap();
            let client = TcpStream::connect(&address).unwrap();
            event_loop
                .register(&client, Echo::CLIENT, READABLE, opt)
                .unwrap();
            let mut echo = Echo {
                listener,
                client,
                server: None,
                opt,
                texts: vec!["bar", "foo"],
                expected: vec![],
                unsent: vec![],
            };
            event_loop.run(&mut echo).unwrap();
            assert!(echo.texts.is_empty() && echo.expected.is_empty());
        }
    });
}

#[test]
fn an_address_in_use_cannot_be_bound_again() {
    let (_listener, address) = listen();
    let error = TcpListener::bind(&address).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

#[test]
fn local_address_is_known_before_anything_is_ready() {
    within_patience(|| {
        let (listener, address) = listen();
        assert_ne!(address.port(), 0);
        let client = TcpStream::connect(&address).unwrap();
        assert_eq!(client.local_addr().unwrap().ip(), address.ip());
        let (mut event_loop, mut script) = new();
        event_loop
            .register(&listener, Token(0), READABLE, PollOpt::edge())
            .unwrap();
        expect_ready(&mut event_loop, &mut script, Token(0), READABLE);
        let (server, peer) = listener.accept().unwrap().unwrap();
        assert_eq!(server.local_addr().unwrap(), address);
        assert_eq!(client.local_addr().unwrap(), peer);
        assert_eq!(client.peer_addr().unwrap(), address);
    });
}

#[test]
fn ipv6_works_where_it_is_there() {
    within_patience(|| {
        let address: SocketAddr = "[::1]:0".parse().unwrap();
        let listener = match TcpListener::bind(&address) {
            Ok(listener) => listener,
            Err(error) => return eprintln!("no IPv6 here: {error}"),
        };
        let (mut event_loop, mut script) = new();
        let stream = TcpStream::connect(&listener.local_addr().unwrap()).unwrap();
        event_loop
            .register(&stream, Token(0), WRITABLE, PollOpt::edge())
            .unwrap();
        expect_ready(&mut event_loop, &mut script, Token(0), WRITABLE);
        assert!(stream.peer_addr().unwrap().is_ipv6());
    });
}

#[test]
fn a_refused_connect_is_writable_and_says_why() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        // Bound but not listening, so that nobody else can take the port meanwhile.
        let bound =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        bound.bind(&localhost().into()).unwrap();
        let address = bound.local_addr().unwrap().as_socket().unwrap();
        let stream = match TcpStream::connect(&address) {
            Ok(stream) => stream,
            Err(error) => return assert_eq!(error.kind(), ErrorKind::ConnectionRefused),
        };
        event_loop
            .register(&stream, Token(0), WRITABLE, PollOpt::edge())
            .unwrap();
        let seen = expect_ready(&mut event_loop, &mut script, Token(0), WRITABLE);
        assert!(seen.is_error() && seen.is_hup());
        let error = stream.take_socket_error().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        stream.take_socket_error().expect("it has been taken");
    });
}

#[test]
fn a_socket_of_the_callers_own_can_be_connected() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (_listener, address) = listen();
        let own =
            || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let socket = own();
        socket.set_send_buffer_size(50_000).unwrap();
        let stream = TcpStream::connect_stream(socket.into(), &address).unwrap();
        event_loop
            .register(&stream, Token(0), WRITABLE, PollOpt::edge())
            .unwrap();
        expect_ready(&mut event_loop, &mut script, Token(0), WRITABLE);
        assert_eq!(stream.peer_addr().unwrap(), address);

        let ipv6: SocketAddr = "[::1]:1".parse().unwrap();
        TcpStream::connect_stream(own().into(), &ipv6).unwrap_err();
    });
}

#[test]
fn a_listener_of_the_callers_own_can_be_used() {
    within_patience(|| {
        let listeners = [
            TcpListener::from_std(net::TcpListener::bind(localhost()).unwrap()),
            TcpListener::from_listener(net::TcpListener::bind(localhost()).unwrap(), &localhost()),
        ];
        for listener in listeners {
            let listener = listener.unwrap();
            assert!(listener.accept().unwrap().is_none(), "it does not block");
            listener.take_socket_error().unwrap();
            let (mut event_loop, mut script) = new();
            event_loop
                .register(&listener, Token(0), READABLE, PollOpt::edge())
                .unwrap();
            let _client = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            expect_ready(&mut event_loop, &mut script, Token(0), READABLE);
            assert!(listener.accept().unwrap().is_some());
        }
    });
}

#[test]
fn descriptors_that_do_not_block_become_a_listener_and_a_stream() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let listener = net::TcpListener::bind(localhost()).unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let descriptor = listener.into_raw_fd();
        // SAFETY: the descriptor was given away just now, so nobody else has it.
        let listener = unsafe { TcpListener::from_raw_fd(descriptor) };
        assert_eq!(listener.as_raw_fd(), descriptor);
        event_loop
            .register(&listener, Token(0), READABLE, PollOpt::edge())
            .unwrap();

        let client = net::TcpStream::connect(address).unwrap();
        client.set_nonblocking(true).unwrap();
        // SAFETY: as above.
        let client = unsafe { TcpStream::from_raw_fd(client.into_raw_fd()) };
        event_loop
            .register(&client, Token(1), READABLE, PollOpt::edge())
            .unwrap();
        expect_ready(&mut event_loop, &mut script, Token(0), READABLE);
        let (mut server, _) = listener.accept().unwrap().unwrap();
        server.write_all(b"x").unwrap();
        expect_ready(&mut event_loop, &mut script, Token(1), READABLE);
        assert_eq!(read_all(&client), b"x", "it does not block");

        event_loop
            .register(&server, Token(2), READABLE, PollOpt::edge())
            .unwrap();
        drop(client);
        expect_ready(&mut event_loop, &mut script, Token(2), HUP);
        assert_eq!(server.read(&mut [0; 1]).unwrap(), 0, "it was its own");
    });
}

#[test]
fn peek_leaves_what_it_reads() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (mut ours, mut theirs) = pair();
        assert_eq!(
            ours.peek(&mut [0; 8]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        event_loop
            .register(&ours, Token(0), READABLE, PollOpt::edge())
            .unwrap();
        theirs.write_all(b"hello").unwrap();
        expect_ready(&mut event_loop, &mut script, Token(0), READABLE);
        let mut buffer = [0; 8];
        for _ in 0..2 {
            assert_eq!(ours.peek(&mut buffer).unwrap(), 5);
            assert_eq!(&buffer[..5], b"hello");
        }
        assert_eq!(ours.try_read(&mut buffer).unwrap(), Some(5));
        assert_eq!(ours.try_read(&mut buffer).unwrap(), None);
    });
}

#[test]
fn a_connection_reset_is_an_error_to_the_reader() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (client, server) = connect();
        event_loop
            .register(&server, Token(0), READABLE, PollOpt::edge())
            .unwrap();
        client.set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        let seen = expect_ready(&mut event_loop, &mut script, Token(0), READABLE | HUP);
        assert!(seen.is_error());
        let error = (&server).read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn writing_to_a_peer_that_is_gone_fails_in_the_end() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (mut ours, theirs) = pair();
        event_loop
            .register(&ours, Token(0), WRITABLE, PollOpt::level())
            .unwrap();
        expect_ready(&mut event_loop, &mut script, Token(0), WRITABLE);
        drop(theirs);
        let error = loop {
            match ours.try_write(&[0; 1024]) {
                Ok(_) => event_loop.run_once(&mut script, Some(10)).unwrap(),
                Err(error) => break error,
            }
        };
        assert!(
            matches!(
                error.kind(),
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
            ),
            "{error}"
        );
    });
}

#[test]
fn each_half_can_be_shut_down() {
    within_patience(|| {
        let (ours, mut theirs) = pair();
        ours.shutdown(Shutdown::Write).unwrap();
        assert_eq!(theirs.read(&mut [0; 8]).unwrap(), 0);
        assert_eq!(
            (&ours).write(b"x").unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
        // The other half still works.
        let (mut event_loop, mut script) = new();
        event_loop
            .register(&ours, Token(0), READABLE, PollOpt::edge())
            .unwrap();
        theirs.write_all(b"still").unwrap();
        expect_ready(&mut event_loop, &mut script, Token(0), READABLE);
        assert_eq!(read_all(&ours), b"still");
        ours.shutdown(Shutdown::Read).unwrap();
        assert_eq!((&ours).try_read(&mut [0; 8]).unwrap(), Some(0));
    });
}

#[test]
fn a_peer_that_shuts_down_gracefully_is_read_to_its_end() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (mut ours, mut theirs) = pair();
        event_loop
            .register(&ours, Token(0), READABLE, PollOpt::edge())
            .unwrap();
        theirs.write_all(b"last words").unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        expect_ready(&mut event_loop, &mut script, Token(0), READABLE | HUP);
        assert_eq!(read_all(&ours), b"last words");
        ours.write_all(b"answer").unwrap();
        ours.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        theirs.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "answer");
    });
}

#[test]
fn a_socket_shut_down_both_ways_hangs_up() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (ours, _theirs) = pair();
        event_loop
            .register(&ours, Token(0), READABLE | WRITABLE, PollOpt::edge())
            .unwrap();
        expect_ready(&mut event_loop, &mut script, Token(0), WRITABLE);
        ours.shutdown(Shutdown::Both).unwrap();
        expect_ready(&mut event_loop, &mut script, Token(0), READABLE | HUP);
    });
}

#[test]
fn what_was_written_arrives_though_the_writer_is_dropped() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (mut client, server) = connect();
        event_loop
            .register(&client, Token(1), WRITABLE, PollOpt::edge())
            .unwrap();
        event_loop
            .register(&server, Token(2), READABLE, PollOpt::edge())
            .unwrap();
        expect_ready(&mut event_loop, &mut script, Token(1), WRITABLE);
        client.write_all(b"1234").unwrap();
        drop(client);
        expect_ready(&mut event_loop, &mut script, Token(2), READABLE | HUP);
        assert_eq!(read_all(&server), b"1234");
    });
}

#[test]
fn what_was_written_arrives_though_the_writer_is_deregistered() {
    within_patience(|| {
        let (mut event_loop, mut script) = new();
        let (mut client, server) = connect();
        event_loop
            .register(&client, Token(1), WRITABLE, PollOpt::edge())
            .unwrap();
        event_loop
            .register(&server, Token(2), READABLE, PollOpt::edge())
            .unwrap();
        expect_ready(&mut event_loop, &mut script, Token(1), WRITABLE);
        client.write_all(b"1234").unwrap();
        event_loop.deregister(&client).unwrap();
        expect_ready(&mut event_loop, &mut script, Token(2), READABLE);
        assert_eq!(read_all(&server), b"1234");
    });
}

/// Lends a descriptor to `socket2`.
struct Descriptor(RawFd);

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: whoever makes one keeps the descriptor open for longer.
        unsafe { BorrowedFd::borrow_raw(self.0) }
    }
}

#[test]
fn options_reach_the_socket() {
    let (ours, _theirs) = pair();
    let descriptor = Descriptor(ours.as_raw_fd());
    let socket = || socket2::SockRef::from(&descriptor);
    ours.set_nodelay(true).unwrap();
    assert!(socket().tcp_nodelay().unwrap());
    ours.set_nodelay(false).unwrap();
    assert!(!socket().tcp_nodelay().unwrap());
    ours.set_keepalive(Some(77)).unwrap();
    assert!(socket().keepalive().unwrap());
    assert_eq!(
        socket().tcp_keepalive_time().unwrap(),
        Duration::from_secs(77)
    );
    ours.set_keepalive(None).unwrap();
    assert!(!socket().keepalive().unwrap());
    ours.set_linger(Some(Duration::from_secs(3))).unwrap();
    assert_eq!(socket().linger().unwrap(), Some(Duration::from_secs(3)));
    ours.set_linger(None).unwrap();
    assert_eq!(socket().linger().unwrap(), None);
}

#[test]
fn clones_share_the_socket_and_close_it_together() {
    within_patience(|| {
        let (ours, mut theirs) = pair();
        let mut clone = ours.try_clone().unwrap();
        assert_eq!(clone.as_raw_fd(), ours.as_raw_fd());
        drop(ours);
        clone.write_all(b"x").unwrap();
        theirs.read_exact(&mut [0; 1]).unwrap();
        drop(clone);
        assert_eq!(theirs.read(&mut [0; 1]).unwrap(), 0);
    });
}

#[test]
fn a_stream_is_read_and_written_by_two_threads_at_once() {
    const TOTAL: usize = 4 * MIB;
    within_patience(|| {
        let (ours, mut theirs) = pair();
        let echo = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let n @ 1.. = theirs.read(&mut buffer).unwrap() {
                theirs.write_all(&buffer[..n]).unwrap();
            }
        });
        let writing = ours.try_clone().unwrap();
        let writer = thread::spawn(move || {
            let mut sent = 0;
            while sent < TOTAL {
                match (&writing)
                    .try_write(&[5; 4096][..4096.min(TOTAL - sent)])
                    .unwrap()
                {
                    Some(n) => sent += n,
                    None => thread::yield_now(),
                }
            }
        });
        let mut received = 0;
        let mut buffer = [0; 4096];
        while received < TOTAL {
            match (&ours).try_read(&mut buffer).unwrap() {
                Some(n) => received += n,
                None => thread::yield_now(),
            }
        }
        writer.join().unwrap();
        drop(ours);
        echo.join().unwrap();
    });
}

#[test]
fn debug_shows_the_socket() {
    let (listener, address) = listen();
    assert!(format!("{listener:?}").contains(&address.port().to_string()));
}
