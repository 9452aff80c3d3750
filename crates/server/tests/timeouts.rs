//! Connections that are silent for too long, or too old.

mod util;

use std::io::{Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use miolo::{EventLoop, EventLoopConfig};
use miolo_server::Framing;
use util::{Data, Open, Rig, close, data, dial, read_out, with, within_patience};

const SHORT: Duration = Duration::from_millis(50);

#[test]
fn a_silent_connection_is_closed_not_before_its_time() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (_, address) = rig.serve(with(|it| it.idle_timeout = Some(SHORT)));
        let began = Instant::now();
        let (client, id) = rig.client(address);
        assert_eq!(rig.until_closed(id), [Open, close("idle")]);
        assert!(began.elapsed() >= SHORT);
        assert_eq!(read_out(&client), (vec![], false));
    });
}

#[test]
fn what_comes_and_what_goes_keeps_it_open() {
    within_patience(|| {
        let idle = Duration::from_millis(400);
        let mut rig = Rig::idle();
        let (_, address) = rig.serve(with(|it| it.idle_timeout = Some(idle)));
        let (mut receives, first) = rig.client(address);
        let (mut sends, second) = rig.client(address);
        let mut last = Instant::now();
        let began = last;
        while began.elapsed() < 3 * idle {
            if last.elapsed() > idle / 2 {
                // The machine was too busy to keep them awake: nothing can be said.
                eprintln!("too busy here: not tested");
                return;
            }
            last = Instant::now();
            sends.write_all(b"x").unwrap();
            rig.app.table.get(first).unwrap().write(b"y");
            rig.turn();
            receives.read_exact(&mut [0]).unwrap();
            rig.linger(Duration::from_millis(5));
        }
        assert_eq!(rig.app.table.len(), 2);
        for id in [first, second] {
            assert_eq!(rig.until_closed(id).last(), Some(&close("idle")));
        }
    });
}

#[test]
fn a_peer_that_does_not_read_is_idle_though_much_waits_for_it() {
    within_patience(|| {
        let mut rig = Rig::new(|conn, call| {
            if *call == Open {
                conn.write(&vec![0; 8 << 20]);
            }
        });
        let (_, address) = rig.serve(with(|it| it.idle_timeout = Some(SHORT)));
        let (_client, id) = rig.client(address);
        assert_eq!(rig.until_closed(id), [Open, close("idle")]);
    });
}

/// Sends `bytes` where there is room for so many `pieces` of what becomes of them: the rest waits for longer than is idle.
fn outlasts_idle(framing: Framing, bytes: &[u8], pieces: &[&str], room: usize) {
    let mut rig = Rig::idle();
    let (_, address) = rig.serve(with(|it| {
        it.idle_timeout = Some(SHORT);
        it.framing = Arc::new(framing);
    }));
    rig.app.script.room = room;
    let mut client = dial(address);
    client.write_all(bytes).unwrap();
    rig.until("starving", |app| app.table.is_starved());
    let id = rig.app.script.calls[0].0;
    let (_silent, silent) = rig.client(address);
    assert_eq!(rig.until_closed(silent), [Open, close("idle")]);
    let mut expected = vec![Open];
    expected.extend(pieces.iter().map(data));
    assert_eq!(rig.calls(id), expected[..=room]);
    rig.app.script.room = usize::MAX;
    rig.turn();
    expected.push(close("idle"));
    assert_eq!(rig.until_closed(id), expected);
}

#[test]
fn a_peer_whose_bytes_wait_for_room_is_not_idle() {
    within_patience(|| outlasts_idle(Framing::Raw, b"waits", &["waits"], 0));
}

#[test]
fn a_peer_whose_frames_wait_for_room_is_not_idle() {
    within_patience(|| {
        let lines = Framing::Lines { max: 100 };
        outlasts_idle(lines, b"one\ntwo\n", &["one", "two"], 1);
    });
}

#[test]
fn a_connection_does_not_outlast_its_lifetime_however_busy() {
    within_patience(|| {
        let mut rig = Rig::echo();
        let (_, address) = rig.serve(with(|it| {
            it.lifetime = Some(SHORT);
            it.idle_timeout = Some(Duration::from_secs(100));
        }));
        let (client, id) = rig.client(address);
        let busy = thread::spawn(move || while (&client).write_all(b"x").is_ok() {});
        assert_eq!(rig.until_closed(id).last(), Some(&close("lifetime")));
        busy.join().unwrap();
    });
}

#[test]
fn a_time_beyond_all_time_is_never() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (_, address) = rig.serve(with(|it| {
            it.idle_timeout = Some(Duration::MAX);
            it.lifetime = Some(Duration::MAX);
        }));
        let (client, id) = rig.client(address);
        rig.turn();
        drop(client);
        assert_eq!(rig.until_closed(id).last(), Some(&close("end")));
    });
}

/// A callback that takes longer than the timeout of others has kept them from being read, which is not their fault.
#[test]
fn what_is_read_after_a_slow_callback_counts_as_read_then() {
    within_patience(|| {
        let idle = Duration::from_secs(1);
        let mut rig = Rig::new(move |_, call| {
            if *call == data("slow") {
                thread::sleep(idle + SHORT);
            }
        });
        let (_, address) = rig.serve(with(|it| it.idle_timeout = Some(idle)));
        let (mut one, _) = rig.client(address);
        let (mut two, _) = rig.client(address);
        // Whichever is read first, the other is read after it, in the same iteration.
        one.write_all(b"slow").unwrap();
        two.write_all(b"slow").unwrap();
        rig.until("both", |app| {
            app.script
                .count(|call| matches!(call, Data(_) | util::Close(_)))
                >= 2
        });
        if rig.count(|call| matches!(call, Data(_))) < 2 {
            eprintln!("too busy here: not tested");
            return;
        }
        rig.turn();
        let closed = rig.count(|call| matches!(call, util::Close(_)));
        assert!(closed <= 1, "the one that was read last was closed as well");
    });
}

#[test]
fn a_timeout_that_cannot_be_set_closes() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let mut config = EventLoopConfig::new();
        config.timer_capacity(1);
        rig.event_loop = EventLoop::configured(config).unwrap();
        let (_, address) = rig.serve(with(|it| it.idle_timeout = Some(Duration::from_secs(100))));
        let (_first, first) = rig.client(address);
        let (_second, second) = rig.client(address);
        assert!(
            matches!(&rig.until_closed(second)[..], [Open, util::Close(reason)] if reason.starts_with("error: "))
        );
        // One that ends gives its timer back.
        rig.app.table.get(first).unwrap().abort();
        rig.until_closed(first);
        let (_third, third) = rig.client(address);
        rig.turn();
        assert_eq!(rig.calls(third), [Open]);
        let _ = dial(address);
    });
}
