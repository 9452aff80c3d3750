//! What is written leaves in order, together, and no faster than the peer reads.

mod util;

use std::io::{Read, Write};
use std::net::{self, Shutdown};
use std::thread;

use miolo_server::ServerOptions;
use util::{
    Close, Data, Drain, End, Open, PATIENCE, Rig, close, data, dial, noise, read_out, with,
    within_patience,
};

const MIB: usize = 1024 * 1024;

#[test]
fn what_one_iteration_writes_leaves_in_one_call() {
    within_patience(|| {
        let mut rig = Rig::new(|conn, call| {
            if matches!(call, Data(_)) {
                for n in 0..100 {
                    assert!(conn.write(format!("{n},").as_bytes()));
                }
                assert_eq!(conn.sent(), 0);
            }
        });
        let (_, address) = rig.serve(with(|_| {}));
        let (mut client, id) = rig.client(address);
        client.write_all(b"go").unwrap();
        rig.until("sending", |app| !app.script.sent.is_empty());
        let expected: String = (0..100).map(|n| format!("{n},")).collect();
        let mut got = vec![0; expected.len()];
        client.read_exact(&mut got).unwrap();
        assert_eq!(got, expected.as_bytes());
        assert_eq!(rig.app.script.sent, [(id, expected.len())]);
    });
}

#[test]
fn what_the_system_does_not_take_waits_and_arrives_in_order() {
    within_patience(|| {
        let bytes = noise(8 * MIB);
        let written = bytes.clone();
        let mut rig = Rig::new(move |conn, call| {
            if *call == Open {
                assert!(!conn.write(&written), "above the high-water mark");
                assert_eq!(conn.buffered(), written.len());
                conn.end();
                assert!(!conn.write(b"late"));
            }
        });
        let (_, address) = rig.serve(with(|_| {}));
        let (client, id) = rig.client(address);
        rig.until("sending", |app| !app.script.sent.is_empty());
        let conn = rig.app.table.get(id).unwrap();
        assert!(conn.buffered() > 0, "the kernel has taken all of it");
        assert_eq!(conn.sent() as usize + conn.buffered(), bytes.len());
        let got = rig.meanwhile(move || read_out(&client));
        assert!(got == (bytes, false), "not what was written");
        assert_eq!(rig.until_closed(id).last(), Some(&close("end")));
        let counts = rig.app.script.sent.iter().map(|(_, count)| *count);
        assert!(counts.len() > 1, "all at once");
        assert_eq!(counts.sum::<usize>(), 8 * MIB);
    });
}

#[test]
fn drain_comes_before_close_where_all_is_sent_at_the_end() {
    within_patience(|| {
        let mut rig = Rig::new(|conn, call| {
            if let Data(_) = call {
                assert!(!conn.write(&[0; 100_000]));
                conn.end();
            }
        });
        let (_, address) = rig.serve(ServerOptions::default());
        // All of that has come before anything of it is seen.
        let mut client = dial(address);
        client.write_all(b"x").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let reading = thread::spawn(move || read_out(&client).0.len());
        rig.until("the end", |app| {
            app.script.count(|call| matches!(call, Close(_))) == 1
        });
        assert_eq!(reading.join().unwrap(), 100_000);
        let id = rig.app.script.calls[0].0;
        assert_eq!(rig.calls(id), [Open, data("x"), End, Drain, close("end")]);
    });
}

#[test]
fn drain_comes_once_below_the_low_water_mark() {
    within_patience(|| {
        let mut rig = Rig::new(|conn, call| match call {
            Open => {
                assert!(!conn.write(&vec![0; 4 * MIB]));
                assert!(!conn.write(b"x"), "it goes on being false until drain");
            }
            Drain => {
                assert!(conn.buffered() <= 16 * 1024);
                assert!(conn.write(b"y"));
            }
            _ => {}
        });
        let (_, address) = rig.serve(with(|_| {}));
        let (mut client, id) = rig.client(address);
        rig.linger(util::SILENCE);
        assert_eq!(rig.calls(id), [Open], "nobody has read");
        rig.meanwhile(move || {
            let mut bytes = vec![0; 4 * MIB + 2];
            client.read_exact(&mut bytes).unwrap();
            assert!(bytes.ends_with(b"xy"));
        });
        assert_eq!(&rig.until_closed(id)[..2], [Open, Drain]);
        assert_eq!(rig.count(|call| *call == Drain), 1);
    });
}

#[test]
fn drain_says_that_there_is_room_whatever_the_low_water_mark_is() {
    for high in [0, usize::MAX] {
        within_patience(move || {
            let mut rig = Rig::new(move |conn, call| {
                if matches!(call, Open | Drain) {
                    let waits = conn.buffered();
                    assert!(waits <= high && waits < 4 * MIB, "{waits} bytes wait");
                    conn.write(&vec![0; 4 * MIB - waits]);
                    conn.want_drain();
                }
            });
            let (_, address) = rig.serve(with(|it| {
                it.high_water_mark = high;
                it.low_water_mark = usize::MAX;
                it.max_write_buffer = 4 * MIB;
            }));
            let _client = rig.client(address);
            rig.linger(util::SILENCE);
        });
    }
}

#[test]
fn more_than_may_wait_closes_with_a_reset() {
    within_patience(|| {
        let mut rig = Rig::new(|conn, call| {
            if *call == Open {
                assert!(conn.write(&[1; 1000]));
                assert!(conn.write(&[2; 24]));
                assert!(!conn.write(&[3; 1]));
                assert!(!conn.write(&[4; 1]), "it has been closed");
                assert!(conn.buffered() <= 1024, "what is too much is not even kept");
            }
        });
        let (_, address) = rig.serve(with(|it| it.max_write_buffer = 1024));
        let (client, id) = rig.client(address);
        assert_eq!(rig.until_closed(id), [Open, close("overflow")]);
        assert_eq!(read_out(&client), (vec![], true));
    });
}

#[test]
fn a_peer_that_never_reads_costs_no_more_than_may_wait() {
    within_patience(|| {
        let mut rig = Rig::new(|conn, call| match call {
            Open | Drain => {
                while conn.write(&[7; 10_000]) {}
                assert!(conn.buffered() <= 64 * 1024 + 10_000);
            }
            _ => {}
        });
        let (_, address) = rig.serve(with(|_| {}));
        let (client, id) = rig.client(address);
        rig.linger(util::SILENCE);
        // The system may have made some more room since, but not enough for another drain.
        assert!(rig.app.table.get(id).unwrap().buffered() > 16 * 1024);
        drop(client);
        assert!(matches!(rig.until_closed(id).last(), Some(Close(_))));
    });
}

/// The peer takes whatever is written, and each drain writes more than the high-water mark: without a limit, one
/// iteration would never end.
#[test]
fn a_connection_that_always_has_more_to_write_does_not_keep_the_loop() {
    within_patience(|| {
        let mut rig = Rig::new(|conn, call| match call {
            Open | Drain => {
                conn.write(&[0; 80 * 1024]);
            }
            Data(_) => conn.end(),
            _ => {}
        });
        let (_, address) = rig.serve(with(|_| {}));
        let client = net::TcpStream::connect(address).unwrap();
        let mut reader = client.try_clone().unwrap();
        let reading = thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        let mut most = 0;
        for _ in 0..200 {
            let before = rig.count(|call| *call == Drain);
            rig.event_loop.run_once(&mut rig.app, Some(10)).unwrap();
            most = most.max(rig.count(|call| *call == Drain) - before);
        }
        assert!(most <= 8, "{most} in one iteration");
        (&client).write_all(b"enough").unwrap();
        client.shutdown(net::Shutdown::Write).unwrap();
        rig.until("close", |app| {
            app.script.count(|call| matches!(call, Close(_))) == 1
        });
        reading.join().unwrap().unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
    });
}

#[test]
fn a_write_of_nothing_is_nothing() {
    within_patience(|| {
        let mut rig = Rig::new(|conn, call| {
            if *call == Open {
                assert!(conn.write(b""));
                assert_eq!(conn.buffered(), 0);
            }
        });
        let (_, address) = rig.serve(with(|_| {}));
        let (_client, id) = rig.client(address);
        rig.linger(util::SILENCE);
        assert_eq!((rig.calls(id), rig.app.script.sent.len()), (vec![Open], 0));
    });
}

#[test]
fn writes_between_the_iterations_leave_with_the_next() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (_, address) = rig.serve(with(|_| {}));
        let (mut client, id) = rig.client(address);
        let mut conn = rig.app.table.get(id).unwrap();
        assert!(conn.write(b"from outside, "));
        let text = *b"and lent";
        // SAFETY: `text` lives until the turn has returned.
        unsafe { conn.write_lent(text.as_ptr(), text.len()) };
        rig.turn();
        let mut got = [0; 22];
        client.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"from outside, and lent");
        assert_eq!(rig.app.script.sent, [(id, 22)]);
    });
}

/// Lent bytes are copied if the system does not take them: their owner may change them after the turn.
#[test]
fn lent_bytes_are_kept_where_the_system_does_not_take_them() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (_, address) = rig.serve(with(|_| {}));
        let (client, id) = rig.client(address);
        let bytes = noise(8 * MIB);
        let mut lent = bytes.clone();
        for piece in lent.chunks_mut(MIB) {
            let mut conn = rig.app.table.get(id).unwrap();
            // SAFETY: `piece` lives until the turn has returned.
            unsafe { conn.write_lent(piece.as_ptr(), piece.len()) };
            rig.turn();
            piece.fill(0xdd);
        }
        let mut conn = rig.app.table.get(id).unwrap();
        assert!(conn.buffered() > 0);
        conn.end();
        let got = rig.meanwhile(move || read_out(&client).0);
        assert!(got == bytes, "not what was written");
    });
}
