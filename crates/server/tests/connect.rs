//! Connections that this side begins.

mod util;

use std::io::{ErrorKind, Read, Write};
use std::net::{self, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use miolo_server::{ConnectionId, ConnectionOptions, Framing};
use util::{
    ConnectFailed, Data, Drain, End, Open, Rig, SILENCE, close, data, localhost, read_out,
    within_patience,
};

fn begin(rig: &mut Rig, to: SocketAddr, patience: Option<Duration>) -> ConnectionId {
    begin_with(rig, to, patience, ConnectionOptions::default())
}

fn begin_with(
    rig: &mut Rig,
    to: SocketAddr,
    patience: Option<Duration>,
    options: ConnectionOptions,
) -> ConnectionId {
    let (event_loop, table) = (&mut rig.event_loop, &mut rig.app.table);
    table
        .connect(event_loop, &to, Arc::new(options), patience)
        .unwrap()
}

fn listener() -> (net::TcpListener, SocketAddr) {
    let listener = net::TcpListener::bind(localhost()).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address that nobody answers for: its listener has as many waiting as it takes.
#[cfg(target_os = "linux")]
fn blackhole() -> (socket2::Socket, Vec<socket2::Socket>, SocketAddr) {
    use socket2::{Domain, Socket, Type};

    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&localhost().into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    loop {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let made = socket.connect_timeout(&address, Duration::from_millis(300));
        waiting.push(socket);
        if made.is_err() {
            return (listener, waiting, address.as_socket().unwrap());
        }
    }
}

#[test]
fn it_opens_and_exchanges() {
    within_patience(|| {
        let mut rig = Rig::echo();
        let (listener, address) = listener();
        let id = begin(&mut rig, address, Some(Duration::from_secs(50)));
        assert_eq!(rig.app.table.len(), 1);
        let (mut peer, from) = listener.accept().unwrap();
        peer.write_all(b"hello").unwrap();
        rig.until("an echo", |app| app.script.of(id) == [Open, data("hello")]);
        let mut got = [0; 5];
        peer.read_exact(&mut got).unwrap();
        let conn = rig.app.table.get(id).unwrap();
        assert_eq!(
            (conn.peer_addr(), conn.local_addr().unwrap()),
            (address, from)
        );
        assert_eq!(conn.server(), None);
        drop(peer);
        assert_eq!(
            rig.until_closed(id),
            [Open, data("hello"), End, close("end")]
        );
    });
}

#[test]
fn two_ends_in_one_table() {
    within_patience(|| {
        let mut rig = Rig::new(|conn, call| {
            if let (Data(bytes), Some(_)) = (call, conn.server()) {
                conn.write(bytes);
            }
        });
        let (_, address) = rig.serve(util::with(|_| {}));
        let id = begin(&mut rig, address, None);
        rig.app.table.get(id).unwrap().write(b"around");
        rig.until("an echo", |app| {
            app.script.of(id).ends_with(&[data("around")])
        });
        rig.app.table.get(id).unwrap().end();
        assert_eq!(rig.until_closed(id).last(), Some(&close("end")));
        rig.until("the other", |app| app.table.is_empty());
    });
}

#[test]
fn what_is_written_before_it_is_made_is_sent_then() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (listener, address) = listener();
        let id = begin(&mut rig, address, None);
        let mut conn = rig.app.table.get(id).unwrap();
        assert!(conn.write(b"early, "));
        let mut lent = *b"lent";
        // SAFETY: `lent` lives until the turn has returned.
        unsafe { conn.write_lent(lent.as_ptr(), lent.len()) };
        rig.turn();
        lent.fill(0);
        if let Some(mut conn) = rig.app.table.get(id) {
            conn.write(b" and ended");
            conn.end();
            assert!(!conn.write(b"late"));
        }
        let (peer, _) = listener.accept().unwrap();
        let got = rig.meanwhile(move || read_out(&peer).0);
        assert_eq!(got, b"early, lent and ended");
        assert_eq!(rig.until_closed(id), [Open, End, close("end")]);
    });
}

#[test]
fn drain_comes_only_once_it_is_made() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (listener, address) = listener();
        let id = begin(&mut rig, address, None);
        assert!(!rig.app.table.get(id).unwrap().write(&[0; 100_000]));
        let (peer, _) = listener.accept().unwrap();
        let reading = std::thread::spawn(move || read_out(&peer).0.len());
        rig.until("drain", |app| app.script.of(id) == [Open, Drain]);
        rig.app.table.get(id).unwrap().end();
        rig.until("the reader", |_| reading.is_finished());
        assert_eq!(reading.join().unwrap(), 100_000);
    });
}

#[test]
fn framing_works_in_this_direction_too() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (listener, address) = listener();
        let options = ConnectionOptions {
            framing: Arc::new(Framing::Lines { max: 10 }),
            ..ConnectionOptions::default()
        };
        let id = begin_with(&mut rig, address, None, options);
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"one\ntwo\nthr").unwrap();
        drop(peer);
        assert_eq!(
            rig.until_closed(id),
            [Open, data("one"), data("two"), End, close("end")]
        );
    });
}

#[test]
fn one_that_is_refused_fails_and_never_opens() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (listener, address) = listener();
        drop(listener);
        let id = begin(&mut rig, address, Some(Duration::from_secs(50)));
        rig.app.table.get(id).unwrap().write(b"lost");
        assert_eq!(
            rig.until_closed(id),
            [ConnectFailed(ErrorKind::ConnectionRefused)]
        );
        assert!(rig.app.table.is_empty());
    });
}

#[cfg(target_os = "linux")]
#[test]
fn one_that_nobody_answers_fails_when_patience_is_over() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (_listener, _waiting, address) = blackhole();
        let began = Instant::now();
        let patience = Duration::from_millis(50);
        let id = begin(&mut rig, address, Some(patience));
        rig.app.table.get(id).unwrap().write(b"lost");
        assert_eq!(rig.until_closed(id), [ConnectFailed(ErrorKind::TimedOut)]);
        assert!(began.elapsed() >= patience);
        assert!(rig.app.table.is_empty());
    });
}

#[cfg(target_os = "linux")]
#[test]
fn one_that_is_being_made_can_be_aborted() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (_listener, _waiting, address) = blackhole();
        let id = begin(&mut rig, address, None);
        rig.linger(SILENCE);
        assert_eq!(rig.calls(id), []);
        rig.app.table.get(id).unwrap().abort();
        assert_eq!(
            rig.until_closed(id),
            [ConnectFailed(ErrorKind::ConnectionAborted)]
        );
    });
}

/// Its idle timeout and its lifetime begin when it is made, not when it is begun.
#[cfg(target_os = "linux")]
#[test]
fn timeouts_of_the_connection_do_not_run_while_it_is_being_made() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (_listener, _waiting, address) = blackhole();
        let options = ConnectionOptions {
            idle_timeout: Some(Duration::from_millis(20)),
            lifetime: Some(Duration::from_millis(20)),
            ..ConnectionOptions::default()
        };
        let id = begin_with(&mut rig, address, Some(Duration::from_millis(200)), options);
        assert_eq!(rig.until_closed(id), [ConnectFailed(ErrorKind::TimedOut)]);
    });
}

/// Time passes between the call and the loop's next turn; nothing may count it as silence.
#[test]
fn one_that_is_begun_long_before_the_loop_turns_is_not_idle_at_once() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (listener, address) = listener();
        let idle = Duration::from_millis(500);
        let options = ConnectionOptions {
            idle_timeout: Some(idle),
            ..ConnectionOptions::default()
        };
        let id = begin_with(&mut rig, address, None, options);
        let _peer = listener.accept().unwrap();
        std::thread::sleep(idle + SILENCE);
        let began = Instant::now();
        assert_eq!(rig.until_closed(id), [Open, close("idle")]);
        assert!(began.elapsed() >= idle);
    });
}

#[cfg(unix)]
#[test]
fn what_the_system_refuses_at_once_is_an_error_and_takes_no_place() {
    let mut rig = Rig::idle();
    let (event_loop, table) = (&mut rig.event_loop, &mut rig.app.table);
    // No connection goes out from loopback.
    let broadcast = "255.255.255.255:9".parse().unwrap();
    let begun = table.connect(event_loop, &broadcast, Arc::default(), None);
    assert!(begun.is_err() && table.is_empty());
}
