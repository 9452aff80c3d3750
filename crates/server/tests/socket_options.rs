//! What the options say of sockets, asked of the system.

#![cfg(unix)]

mod util;

use std::mem::ManuallyDrop;
use std::net::{self, SocketAddr};
use std::os::fd::FromRawFd;
use std::sync::Arc;

use miolo_server::{ConnectionOptions, ServerOptions};
use socket2::Socket;
use util::{Open, Rig, localhost, with, within_patience};

/// A socket of this process's that nobody here owns: it is not closed when this is dropped.
type Found = ManuallyDrop<Socket>;

/// The socket of this process's of which this is so: a server keeps its own to itself.
fn find(what: &str, is_it: impl Fn(&Socket) -> bool) -> Found {
    // SAFETY: it is looked at only, and not closed; what is no open socket has no addresses, and is none that is sought.
    let sockets = (0..1024).map(|fd| ManuallyDrop::new(unsafe { Socket::from_raw_fd(fd) }));
    let mut found = sockets.filter(|socket| is_it(socket));
    found.next().unwrap_or_else(|| panic!("no {what}"))
}

fn listener_at(address: SocketAddr) -> Found {
    find("listener", |socket| {
        socket.local_addr().is_ok_and(|it| it == address.into()) && socket.peer_addr().is_err()
    })
}

fn connection(local: SocketAddr, peer: SocketAddr) -> Found {
    find("connection", |socket| {
        socket.local_addr().is_ok_and(|it| it == local.into())
            && socket.peer_addr().is_ok_and(|it| it == peer.into())
    })
}

/// `no_delay`, and `keep_alive`, as a socket has them.
fn options_of(socket: &Socket) -> (bool, Option<u32>) {
    let probes = socket.keepalive().unwrap();
    let after = || socket.tcp_keepalive_time().unwrap().as_secs() as u32;
    (socket.tcp_nodelay().unwrap(), probes.then(after))
}

/// Each option without the other, and neither; by default, small writes leave at once.
fn combinations() -> [(ConnectionOptions, (bool, Option<u32>)); 3] {
    let options = |no_delay, keep_alive| ConnectionOptions {
        no_delay,
        keep_alive,
        ..ConnectionOptions::default()
    };
    [
        (ConnectionOptions::default(), (true, None)),
        (options(false, Some(77)), (false, Some(77))),
        (options(false, None), (false, None)),
    ]
}

#[test]
fn what_a_server_accepts_has_its_options() {
    within_patience(|| {
        for (connection_options, expected) in combinations() {
            let mut rig = Rig::idle();
            let (_, address) = rig.serve(with(|it| *it = connection_options));
            let (client, _) = rig.client(address);
            let accepted = connection(address, client.local_addr().unwrap());
            assert_eq!(options_of(&accepted), expected);
        }
    });
}

#[test]
fn what_this_side_begins_has_its_options() {
    within_patience(|| {
        for (connection_options, expected) in combinations() {
            let mut rig = Rig::idle();
            let listener = net::TcpListener::bind(localhost()).unwrap();
            let address = listener.local_addr().unwrap();
            let (event_loop, table) = (&mut rig.event_loop, &mut rig.app.table);
            let options = Arc::new(connection_options);
            table.connect(event_loop, &address, options, None).unwrap();
            let (_peer, from) = listener.accept().unwrap();
            rig.until("a connection", |app| {
                app.script.count(|call| *call == Open) > 0
            });
            assert_eq!(options_of(&connection(from, address)), expected);
        }
    });
}

/// How many may wait at a listener.
#[cfg(target_os = "linux")]
fn backlog_of(listener: &Socket) -> u32 {
    use std::os::fd::AsRawFd;

    // SAFETY: all of it are numbers.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&info) as libc::socklen_t;
    let into = (&raw mut info).cast();
    // SAFETY: there are so many bytes to be written to.
    let done = unsafe {
        let fd = listener.as_raw_fd();
        libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, into, &mut length)
    };
    assert_eq!(done, 0);
    // What counts something else of a connection tells this of a listener.
    info.tcpi_sacked
}

#[cfg(target_os = "linux")]
#[test]
fn a_listener_has_its_backlog() {
    for backlog in [0, 7, 100] {
        let mut rig = Rig::idle();
        let mut options = ServerOptions::default();
        options.listen.backlog = backlog;
        let (_, address) = rig.serve(options);
        assert_eq!(backlog_of(&listener_at(address)), backlog as u32);
    }
}
