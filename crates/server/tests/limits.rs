//! How many connections there may be.

mod util;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use miolo_server::ServerOptions;
use util::{Open, Rig, close, dial, read_out, within_patience};

/// A client that waits to be told that it is not wanted.
fn refused(client: &TcpStream) -> bool {
    read_out(client).0.is_empty()
}

#[test]
fn those_over_the_limit_are_refused_and_never_open() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (server, address) = rig.serve(ServerOptions {
            max_connections: 2,
            ..ServerOptions::default()
        });
        let (first, id) = rig.client(address);
        let _second = rig.client(address);
        let third = dial(address);
        assert!(rig.meanwhile(move || refused(&third)));
        assert_eq!((rig.app.table.refused(server), rig.app.table.len()), (1, 2));
        drop(first);
        rig.until_closed(id);
        let (_, id) = rig.client(address);
        assert_eq!(rig.until_closed(id), [Open, util::End, close("end")]);
        assert_eq!(rig.app.table.refused(server), 1);
    });
}

#[test]
fn a_flood_over_the_limit_does_not_keep_others_from_being_served() {
    within_patience(|| {
        let mut rig = Rig::echo();
        let (server, address) = rig.serve(ServerOptions {
            max_connections: 1,
            ..ServerOptions::default()
        });
        let (mut client, id) = rig.client(address);
        let others: Vec<_> = (0..500).map(|_| dial(address)).collect();
        client.write_all(b"still here").unwrap();
        rig.until("an answer", |app| app.script.bytes(id) == b"still here");
        rig.until("refusals", |app| app.table.refused(server) == 500);
        assert_eq!(rig.count(|call| *call == Open), 1);
        drop(others);
    });
}

#[test]
fn none_at_all_may_be_allowed() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (server, address) = rig.serve(ServerOptions {
            max_connections: 0,
            ..ServerOptions::default()
        });
        let client = dial(address);
        assert!(rig.meanwhile(move || refused(&client)));
        assert_eq!(rig.app.table.refused(server), 1);
    });
}

#[test]
fn each_address_has_its_own_count() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let server = rig.app.table.add_server(ServerOptions {
            max_connections_per_address: 2,
            ..ServerOptions::default()
        });
        let address = rig.listen(server);
        let (first, id) = rig.client(address);
        let _second = rig.client(address);
        let third = dial(address);
        assert!(rig.meanwhile(move || refused(&third)));
        // Another server of the table counts for itself.
        let (_, elsewhere) = rig.serve(ServerOptions::default());
        let _elsewhere = rig.client(elsewhere);
        // Another address of this machine's.
        #[cfg(target_os = "linux")]
        let _other = {
            let socket = socket2::Socket::new(
                socket2::Domain::IPV4,
                socket2::Type::STREAM,
                Some(socket2::Protocol::TCP),
            )
            .unwrap();
            let from: SocketAddr = "127.0.0.2:0".parse().unwrap();
            socket.bind(&from.into()).unwrap();
            socket.connect(&address.into()).unwrap();
            let before = rig.app.table.len();
            rig.until("the other", |app| app.table.len() == before + 1);
            socket
        };
        drop(first);
        rig.until_closed(id);
        let _again = rig.client(address);
        assert_eq!(rig.app.table.refused(server), 1);
    });
}

/// A listener that takes IPv4 and IPv6 tells the same peer by another address.
#[test]
fn an_address_counts_once_by_whatever_listener_it_comes() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let mut options = ServerOptions {
            max_connections_per_address: 1,
            ..ServerOptions::default()
        };
        options.listen.ipv6_only = Some(false);
        let server = rig.app.table.add_server(options);
        let both = "[::]:0".parse().unwrap();
        let Ok(both) = rig.app.table.listen(&rig.event_loop, server, &both) else {
            eprintln!("no IPv6 here: not tested");
            return;
        };
        let plain = rig.listen(server);
        let (_client, _) = rig.client(plain);
        let mapped = SocketAddr::from(([127, 0, 0, 1], both.port()));
        let second = dial(mapped);
        assert!(rig.meanwhile(move || refused(&second)));
        assert_eq!(rig.app.table.refused(server), 1);
    });
}
