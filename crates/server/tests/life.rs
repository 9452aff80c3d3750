//! Every connection opens once and closes once, last, with the reason.

mod util;

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use miolo_server::{CloseReason, ConnectionId};
use util::{Data, End, Open, Rig, close, data, dial, read_out, reset, with, within_patience};

/// The script itself checks that each opens and closes once, and that close is last.
#[test]
fn the_peers_end_ends_both_sides() {
    within_patience(|| {
        let mut rig = Rig::echo();
        let (_, address) = rig.serve(with(|_| {}));
        let (mut client, id) = rig.client(address);
        client.write_all(b"last words").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(
            rig.until_closed(id),
            [Open, data("last words"), End, close("end")]
        );
        assert_eq!(read_out(&client), (b"last words".into(), false));
        assert!(rig.app.table.is_empty());
        assert!(rig.app.table.get(id).is_none());
    });
}

#[test]
fn a_reset_by_the_peer() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (_, address) = rig.serve(with(|_| {}));
        let (client, id) = rig.client(address);
        reset(client);
        assert_eq!(rig.until_closed(id), [Open, close("reset")]);
    });
}

#[test]
fn a_reset_of_a_connection_that_is_paused() {
    within_patience(|| {
        let mut rig = Rig::new(|conn, call| {
            if *call == Open {
                conn.pause();
            }
        });
        let (_, address) = rig.serve(with(|_| {}));
        let (mut client, id) = rig.client(address);
        client.write_all(b"unread").unwrap();
        rig.turn();
        reset(client);
        assert_eq!(rig.until_closed(id), [Open, close("reset")]);
    });
}

#[test]
fn a_reset_while_the_peers_end_is_known_and_much_waits_to_be_sent() {
    within_patience(|| {
        let mut rig = Rig::new(|conn, call| {
            if *call == Open {
                conn.write(&vec![0; 8 << 20]);
            }
        });
        let (_, address) = rig.serve(with(|_| {}));
        let (client, id) = rig.client(address);
        client.shutdown(Shutdown::Write).unwrap();
        rig.until("end", |app| app.script.of(id) == [Open, End]);
        reset(client);
        assert_eq!(rig.until_closed(id), [Open, End, close("reset")]);
    });
}

#[test]
fn connections_that_come_and_are_reset_before_they_are_accepted() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (_, address) = rig.serve(with(|_| {}));
        for _ in 0..20 {
            reset(dial(address));
        }
        let (_client, id) = rig.client(address);
        rig.until("the others", |app| app.table.len() == 1);
        assert_eq!(rig.calls(id), [Open]);
        // Those that were accepted have closed; the script has seen that.
        let opened = rig.count(|call| *call == Open);
        assert_eq!(rig.app.script.calls.len(), 2 * opened - 1);
    });
}

#[test]
fn abort_resets_and_drops_what_was_written() {
    within_patience(|| {
        let mut rig = Rig::new(|conn, call| {
            if matches!(call, Data(_)) {
                conn.write(b"never sent");
                conn.abort();
                conn.abort();
                conn.end();
                assert!(!conn.write(b"nor this"));
            }
        });
        let (_, address) = rig.serve(with(|_| {}));
        let (mut client, id) = rig.client(address);
        client.write_all(b"go").unwrap();
        assert_eq!(rig.until_closed(id), [Open, data("go"), close("aborted")]);
        assert_eq!(read_out(&client), (vec![], true));
    });
}

#[test]
fn the_first_reason_stays() {
    within_patience(|| {
        let mut rig = Rig::new(|conn, call| {
            if *call == Open {
                conn.close(CloseReason::Shutdown);
                conn.abort();
            }
        });
        let (_, address) = rig.serve(with(|_| {}));
        let (client, id) = rig.client(address);
        assert_eq!(rig.until_closed(id), [Open, close("shutdown")]);
        assert_eq!(read_out(&client), (vec![], false));
    });
}

#[test]
fn closing_in_open_brings_no_data() {
    within_patience(|| {
        let mut rig = Rig::new(|conn, call| {
            if *call == Open {
                conn.write(b"bye");
                conn.end();
            }
        });
        let (_, address) = rig.serve(with(|_| {}));
        let (client, id) = rig.client(address);
        assert_eq!(read_out(&client), (b"bye".into(), false));
        drop(client);
        assert_eq!(rig.until_closed(id), [Open, End, close("end")]);
    });
}

#[test]
fn names_of_what_has_ended_name_nothing() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (_, address) = rig.serve(with(|_| {}));
        let (client, first) = rig.client(address);
        drop(client);
        rig.until_closed(first);
        let (_client, second) = rig.client(address);
        assert_eq!(second.slot(), first.slot(), "the place is used again");
        assert_ne!(second, first);
        assert!(rig.app.table.get(first).is_none());
        for (slot, generation) in [(0, 0), (u32::MAX, 1), (second.slot(), u32::MAX)] {
            assert!(
                rig.app
                    .table
                    .get(ConnectionId::new(slot, generation))
                    .is_none()
            );
        }
        assert!(rig.app.table.get(second).is_some());
    });
}

#[test]
fn a_connection_can_do_things_to_another() {
    within_patience(|| {
        let mut first = None;
        let mut rig = Rig::new(move |conn, call| match (call, first) {
            (Open, None) => first = Some(conn.id()),
            (Data(bytes), Some(first)) if conn.id() != first => {
                let mut other = conn.other(first).unwrap();
                other.write(bytes);
                other.end();
            }
            _ => {}
        });
        let (_, address) = rig.serve(with(|_| {}));
        let (receiver, _) = rig.client(address);
        let (mut sender, _) = rig.client(address);
        sender.write_all(b"across").unwrap();
        assert_eq!(rig.meanwhile(move || read_out(&receiver)).0, b"across");
    });
}

#[test]
fn dropping_the_table_ends_its_connections_without_a_word() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (_, address) = rig.serve(with(|it| it.idle_timeout = Some(Duration::from_secs(1))));
        let (client, id) = rig.client(address);
        let calls = rig.calls(id);
        drop(rig);
        assert_eq!((read_out(&client).0, calls), (vec![], vec![Open]));
    });
}
