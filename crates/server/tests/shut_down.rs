//! Servers that stop: listening, or altogether.

mod util;

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use miolo_server::{ServerId, ServerOptions};
use util::{
    Close, Data, End, Open, Rig, SILENCE, close, data, dial, noise, read_out, with, within_patience,
};

fn shut_down(rig: &mut Rig, server: ServerId, patience: Option<Duration>) {
    let (event_loop, table) = (&mut rig.event_loop, &mut rig.app.table);
    table.shut_down(event_loop, server, patience);
}

#[test]
fn connections_end_once_all_is_sent_and_their_peers_end_too() {
    within_patience(|| {
        let bytes = noise(4 << 20);
        let written = bytes.clone();
        let mut rig = Rig::new(move |conn, call| {
            if *call == Open {
                conn.write(&written);
            }
        });
        let (server, address) = rig.serve(with(|_| {}));
        let (client, id) = rig.client(address);
        shut_down(&mut rig, server, None);
        rig.linger(SILENCE);
        assert_eq!(rig.calls(id), [Open], "there is no hurry");
        let got = rig.meanwhile(move || read_out(&client));
        assert!(got == (bytes, false));
        assert_eq!(rig.until_closed(id), [Open, util::Drain, End, close("end")]);
    });
}

#[test]
fn those_that_do_not_end_are_cut_when_patience_is_over() {
    within_patience(|| {
        let mut rig = Rig::new(|conn, call| {
            if *call == Open {
                conn.write(&vec![0; 8 << 20]);
            }
        });
        let patience = Duration::from_millis(50);
        let (server, address) =
            rig.serve(with(|it| it.idle_timeout = Some(Duration::from_secs(100))));
        let (_client, id) = rig.client(address);
        let began = Instant::now();
        shut_down(&mut rig, server, Some(patience));
        assert_eq!(rig.until_closed(id), [Open, close("shutdown")]);
        assert!(began.elapsed() >= patience);
    });
}

#[test]
fn whoever_ends_them_may_go_on_writing_until_they_are_cut() {
    within_patience(|| {
        let mut rig = Rig::echo();
        let patience = Duration::from_millis(500);
        let (server, address) = rig.serve(with(|_| {}));
        let (mut client, id) = rig.client(address);
        let began = Instant::now();
        let (event_loop, table) = (&mut rig.event_loop, &mut rig.app.table);
        table.cut_after(event_loop, server, Some(patience));
        client.write_all(b"still").unwrap();
        let echoed = rig.meanwhile(move || read_out(&client));
        assert!(echoed == (b"still".to_vec(), false));
        assert_eq!(
            rig.until_closed(id),
            [Open, data("still"), close("shutdown")]
        );
        assert!(began.elapsed() >= patience);
    });
}

#[test]
fn a_second_shutdown_may_be_less_patient() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (server, address) = rig.serve(with(|_| {}));
        let (_client, id) = rig.client(address);
        shut_down(&mut rig, server, None);
        shut_down(&mut rig, server, Some(Duration::from_secs(1000)));
        rig.turn();
        shut_down(&mut rig, server, Some(Duration::ZERO));
        assert_eq!(rig.until_closed(id), [Open, close("shutdown")]);
    });
}

#[test]
fn nobody_comes_any_more_and_the_port_is_free() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (server, address) = rig.serve(with(|_| {}));
        let (_client, id) = rig.client(address);
        rig.app.table.stop_listening(server);
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(rig.app.table.of(server), [id], "its connections go on");
        let again = rig.app.table.listen(&rig.event_loop, server, &address);
        assert_eq!(again.unwrap(), address);
        let (_other, _) = rig.client(address);
        assert_eq!(rig.app.table.of(server).len(), 2);
    });
}

#[test]
fn a_server_listens_at_several_addresses_and_others_go_on() {
    within_patience(|| {
        let mut rig = Rig::echo();
        let (one, first) = rig.serve(with(|_| {}));
        let second = rig.listen(one);
        let (two, third) = rig.serve(with(|_| {}));
        for address in [first, second, third] {
            rig.client(address);
        }
        rig.until("their ends", |app| app.table.is_empty());
        shut_down(&mut rig, one, None);
        for address in [first, second] {
            TcpStream::connect(address).unwrap_err();
        }
        let (mut client, id) = rig.client(third);
        client.write_all(b"still").unwrap();
        rig.until("data", |app| app.script.of(id) == [Open, data("still")]);
        assert_eq!(rig.app.table.of(two), [id]);
    });
}

#[test]
fn a_server_that_is_removed_leaves_its_connections() {
    within_patience(|| {
        let mut rig = Rig::echo();
        let (server, address) = rig.serve(ServerOptions {
            max_connections_per_address: 1,
            ..ServerOptions::default()
        });
        let (mut client, id) = rig.client(address);
        rig.app.table.remove_server(server);
        rig.app.table.remove_server(server);
        TcpStream::connect(address).unwrap_err();
        let listen = rig.app.table.listen(&rig.event_loop, server, &address);
        assert_eq!(listen.unwrap_err().kind(), ErrorKind::NotFound);
        // Nobody else is taken for it while they last.
        let (other, _) = rig.serve(with(|_| {}));
        assert_ne!(other, server);
        client.write_all(b"goes on").unwrap();
        rig.until("data", |app| app.script.of(id) == [Open, data("goes on")]);
        assert_eq!(rig.app.table.get(id).unwrap().server(), Some(server));
        drop(client);
        rig.until_closed(id);
        assert_eq!(rig.app.table.refused(server), 0);
        assert!(rig.app.table.of(server).is_empty());
    });
}

#[test]
fn servers_that_never_were_are_nobodys() {
    let mut rig = Rig::idle();
    for number in [0, 5, u32::MAX] {
        let server = ServerId::new(number);
        rig.app.table.stop_listening(server);
        rig.app.table.remove_server(server);
        shut_down(&mut rig, server, Some(Duration::ZERO));
        assert!(rig.app.table.of(server).is_empty());
        assert_eq!(rig.app.table.refused(server), 0);
        let listen = rig
            .app
            .table
            .listen(&rig.event_loop, server, &util::localhost());
        assert_eq!(listen.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[test]
fn an_address_that_is_taken_is_an_error_and_the_server_listens_elsewhere() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (server, address) = rig.serve(with(|_| {}));
        let taken = rig.app.table.listen(&rig.event_loop, server, &address);
        assert_eq!(taken.unwrap_err().kind(), ErrorKind::AddrInUse);
        let elsewhere = rig.listen(server);
        rig.client(elsewhere);
        rig.client(address);
    });
}

/// A place in the table of listeners is used again, with whatever was left over for the last one.
#[test]
fn a_new_listener_is_not_troubled_by_what_the_last_one_left() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (server, address) = rig.serve(with(|_| {}));
        rig.app.script.may_open = false;
        let waits = dial(address);
        rig.until("its waiting", |app| app.table.is_starved());
        rig.app.table.stop_listening(server);
        assert!(
            rig.meanwhile(move || read_out(&waits)).1,
            "the system resets those who wait"
        );
        rig.app.script.may_open = true;
        let address = rig.listen(server);
        rig.turn();
        assert!(!rig.app.table.is_starved() && !rig.app.table.wants_turn());
        let (mut client, id) = rig.client(address);
        client.write_all(b"x").unwrap();
        rig.until("data", |app| app.script.of(id) == [Open, data("x")]);
    });
}

#[test]
fn what_ends_in_the_middle_of_all_this_closes_once() {
    within_patience(|| {
        let mut rig = Rig::new(|conn, call| {
            if matches!(call, Data(_)) {
                conn.abort();
            }
        });
        let (server, address) = rig.serve(with(|_| {}));
        let mut clients: Vec<_> = (0..30).map(|_| rig.client(address).0).collect();
        for (n, client) in clients.iter_mut().enumerate() {
            if n % 3 == 0 {
                client.write_all(b"x").unwrap();
            }
        }
        shut_down(&mut rig, server, Some(Duration::from_millis(20)));
        clients.truncate(15);
        rig.app.table.remove_server(server);
        rig.until("all", |app| app.table.is_empty());
        assert_eq!(rig.count(|call| matches!(call, Close(_))), 30);
    });
}
