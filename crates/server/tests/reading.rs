//! What comes is read as the handler can take it, and nobody starves the others.

mod util;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use miolo_server::{Connection, ConnectionHandler, ConnectionId};
use util::{
    Data, End, Open, PATIENCE, Rig, SILENCE, close, data, dial, noise, with, within_patience,
};

/// Counts what each connection brings; answers a short message with itself.
#[derive(Default)]
struct Count {
    brought: HashMap<ConnectionId, usize>,
    open: usize,
}

impl ConnectionHandler for Count {
    fn open(&mut self, _: &mut Connection<'_>) {
        self.open += 1;
    }

    fn data(&mut self, conn: &mut Connection<'_>, bytes: &[u8]) {
        *self.brought.entry(conn.id()).or_default() += bytes.len();
        if bytes.len() == 4 {
            conn.write(bytes);
        }
    }
}

#[test]
fn one_that_floods_does_not_starve_a_hundred_that_are_quiet() {
    const BUDGET: usize = 128 * 1024;
    within_patience(|| {
        let mut rig = Rig::of(Count::default());
        let (_, address) = rig.serve(with(|_| {}));
        let done = Arc::new(AtomicBool::new(false));
        let flood = {
            let done = Arc::clone(&done);
            let mut client = dial(address);
            thread::spawn(move || {
                let bytes = vec![0; 1 << 20];
                while !done.load(Ordering::Relaxed) {
                    client.write_all(&bytes).unwrap();
                }
            })
        };
        rig.until("the flood", |app| app.script.brought.len() == 1);
        let flooding = *rig.app.script.brought.keys().next().unwrap();
        let quiet = thread::spawn(move || {
            let mut clients: Vec<_> = (0..100).map(|_| dial(address)).collect();
            for _ in 0..20 {
                for client in &mut clients {
                    client.write_all(b"ping").unwrap();
                }
                for client in &mut clients {
                    client.read_exact(&mut [0; 4]).unwrap();
                }
            }
        });
        let mut most = 0;
        rig.until("a hundred quiet ones", {
            let (mut before, mut tick) = (0, 0);
            move |app| {
                let now = app.script.brought[&flooding];
                if app.ticks == tick + 1 {
                    most = most.max(now - before);
                    // By its event and at the end of the iteration together.
                    assert!(most <= BUDGET, "{most} bytes in one iteration");
                }
                (before, tick) = (now, app.ticks);
                quiet.is_finished()
            }
        });
        assert_eq!(rig.app.script.open, 101);
        let flooded = rig.app.script.brought[&flooding];
        done.store(true, Ordering::Relaxed);
        rig.until("the rest", |_| flood.is_finished());
        assert!(rig.app.script.brought[&flooding] >= flooded);
    });
}

#[test]
fn more_than_a_budget_comes_without_another_event() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (_, address) = rig.serve(with(|_| {}));
        let (mut client, id) = rig.client(address);
        let sent = noise(3 << 20);
        let bytes = sent.clone();
        let _client = rig.meanwhile(move || {
            client.write_all(&bytes).unwrap();
            client
        });
        rig.until("all", |app| app.script.bytes(id).len() == sent.len());
        assert!(rig.bytes(id) == sent);
        rig.turn();
        assert!(!rig.app.table.wants_turn());
    });
}

#[test]
fn a_paused_connection_is_felt_by_its_peer_and_loses_nothing() {
    within_patience(|| {
        let mut rig = Rig::new(|conn, call| {
            if *call == Open {
                conn.pause();
            }
        });
        let (_, address) = rig.serve(with(|_| {}));
        let (client, id) = rig.client(address);
        client.set_nonblocking(true).unwrap();
        let sent = noise(16 << 20);
        let mut count = 0;
        while let Ok(more) = (&client).write(&sent[count..]) {
            count += more;
            rig.turn();
        }
        assert!(count < sent.len(), "the peer feels nothing");
        rig.linger(SILENCE);
        assert_eq!(rig.calls(id), [Open]);
        rig.app.table.get(id).unwrap().resume();
        drop(client);
        assert_eq!(rig.until_closed(id).last(), Some(&close("end")));
        assert!(rig.bytes(id) == sent[..count]);
    });
}

#[test]
fn pausing_in_data_stops_at_that_piece() {
    within_patience(|| {
        let mut rig = Rig::new(|conn, call| {
            if matches!(call, Data(_)) {
                conn.pause();
            }
        });
        let (_, address) = rig.serve(with(|_| {}));
        let (mut client, id) = rig.client(address);
        client.write_all(b"one").unwrap();
        rig.until("one", |app| app.script.of(id).len() == 2);
        client.write_all(b"two").unwrap();
        drop(client);
        rig.linger(SILENCE);
        assert_eq!(rig.calls(id), [Open, data("one")]);
        rig.app.table.get(id).unwrap().resume();
        rig.until("two", |app| app.script.of(id).len() == 3);
        rig.linger(SILENCE);
        assert_eq!(
            rig.calls(id),
            [Open, data("one"), data("two")],
            "and its end waits"
        );
        rig.app.table.get(id).unwrap().resume();
        assert_eq!(rig.until_closed(id)[3..], [End, close("end")]);
    });
}

#[test]
fn pausing_and_resuming_in_one_callback_changes_nothing() {
    within_patience(|| {
        let mut rig = Rig::new(|conn, call| {
            if matches!(call, Data(_)) {
                conn.pause();
                conn.resume();
                conn.resume();
            }
        });
        let (_, address) = rig.serve(with(|_| {}));
        let (mut client, id) = rig.client(address);
        for _ in 0..10 {
            client.write_all(&[1; 1000]).unwrap();
        }
        drop(client);
        assert_eq!(rig.until_closed(id).last(), Some(&close("end")));
        assert_eq!(rig.bytes(id), [1; 10_000]);
        rig.turn();
        assert!(!rig.app.table.wants_turn());
    });
}

#[test]
fn want_of_room_stops_all_reading_until_there_is_some() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (_, address) = rig.serve(with(|_| {}));
        let mut clients: Vec<_> = (0..3).map(|_| rig.client(address)).collect();
        rig.app.script.room = 0;
        for (client, _) in &mut clients {
            client.write_all(b"waits").unwrap();
        }
        rig.until("starving", |app| app.table.is_starved());
        rig.linger(SILENCE);
        assert_eq!(rig.count(|call| matches!(call, Data(_))), 0);
        assert!(!rig.app.table.wants_turn(), "it would turn for nothing");
        rig.app.script.room = usize::MAX;
        rig.turn();
        rig.until("all three", |app| {
            app.script.count(|call| *call == data("waits")) == 3
        });
        assert!(!rig.app.table.is_starved());
    });
}

/// Those who come, bring something and are gone before there is room are not remembered for ever.
#[test]
fn those_who_do_not_wait_for_room_leave_nothing() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (_, address) = rig.serve(with(|_| {}));
        rig.app.script.room = 0;
        let mut patient: Vec<_> = (0..50).map(|_| rig.client(address).0).collect();
        for client in &mut patient {
            client.write_all(b"unread").unwrap();
        }
        for round in 1..=20 {
            let mut clients: Vec<_> = (0..100).map(|_| dial(address)).collect();
            for client in &mut clients {
                client.write_all(b"unread").unwrap();
            }
            rig.until("all", |app| app.table.len() == 150);
            rig.until("starving", |app| app.table.is_starved());
            clients.into_iter().for_each(util::reset);
            rig.until("resets", |app| app.table.len() == 50);
            let resets = rig.count(|call| *call == close("reset"));
            assert_eq!(resets, 100 * round);
        }
        rig.turn();
        let table = format!("{:?}", rig.app.table);
        let waiting = table.split("unread: ").nth(1).unwrap();
        let waiting = waiting.split([',', ' ']).next().unwrap();
        assert!(waiting.parse::<usize>().unwrap() <= 500, "{table}");
        rig.app.script.room = usize::MAX;
        rig.until("the patient", |app| {
            app.script.count(|call| *call == data("unread")) == 50
        });
        assert!(!rig.app.table.is_starved() && !rig.app.table.wants_turn());
    });
}

#[test]
fn those_who_may_not_open_wait_to_be_accepted() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (_, address) = rig.serve(with(|_| {}));
        rig.app.script.may_open = false;
        let clients: Vec<_> = (0..5).map(|_| dial(address)).collect();
        rig.until("their waiting", |app| app.table.is_starved());
        rig.linger(SILENCE);
        assert!(rig.app.table.is_empty());
        assert!(!rig.app.table.wants_turn(), "it would turn for nothing");
        rig.app.script.may_open = true;
        rig.until("five", |app| app.table.len() == 5);
        assert!(!rig.app.table.is_starved() && !rig.app.table.is_starved());
        drop(clients);
        rig.until("their ends", |app| app.table.is_empty());
    });
}

#[test]
fn more_than_an_iteration_accepts_come_without_another_event() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (_, address) = rig.serve(with(|_| {}));
        let clients: Vec<_> = (0..600).map(|_| dial(address)).collect();
        rig.turn();
        let first = rig.app.table.len();
        assert!((1..600).contains(&first), "{first} in one iteration");
        rig.until("all", |app| app.table.len() == 600);
        drop(clients);
        rig.until("their ends", |app| app.table.is_empty());
    });
}

#[test]
fn a_handler_may_read_for_itself() {
    use std::io;

    use miolo::tcp::TcpStream;
    use miolo_server::Received;

    struct Own(Vec<u8>);

    impl ConnectionHandler for Own {
        fn data(&mut self, _: &mut Connection<'_>, _: &[u8]) {
            unreachable!("it reads for itself");
        }

        fn receive(
            &mut self,
            _: ConnectionId,
            mut stream: &TcpStream,
            limit: usize,
        ) -> Option<io::Result<Received>> {
            let mut buffer = vec![0; limit.min(1000)];
            Some(stream.read(&mut buffer).map(|count| {
                self.0.extend_from_slice(&buffer[..count]);
                let asked = buffer.len();
                Received { count, asked }
            }))
        }
    }

    within_patience(|| {
        let mut rig = Rig::of(Own(Vec::new()));
        let (_, address) = rig.serve(with(|_| {}));
        let sent = noise(300_000);
        let bytes = sent.clone();
        rig.meanwhile(move || {
            let mut client = dial(address);
            client.write_all(&bytes).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
        });
        rig.until("all", |app| {
            app.script.0.len() == sent.len() && app.table.is_empty()
        });
        assert!(rig.app.script.0 == sent);
    });
}
