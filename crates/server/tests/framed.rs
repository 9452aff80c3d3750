//! Frames, through real sockets.

mod util;

use std::io::Write;
use std::sync::Arc;

use miolo_server::{Endian, Framing, LengthBytes, LengthPrefix};
use util::{Close, Data, Open, Rig, close, data, dial, with, within_patience};

fn lines(max: usize) -> Arc<Framing> {
    Arc::new(Framing::Lines { max })
}

#[test]
fn a_frame_that_is_not_whole_waits_without_turning_the_loop() {
    within_patience(|| {
        let mut rig = Rig::echo();
        let (_, address) = rig.serve(with(|it| it.framing = lines(100)));
        let (mut client, id) = rig.client(address);
        client.write_all(b"whole\npar").unwrap();
        rig.until("a line", |app| app.script.of(id).len() == 2);
        assert!(!rig.app.table.wants_turn());
        client.write_all(b"t\n").unwrap();
        rig.until("a line", |app| app.script.of(id).len() == 3);
        assert_eq!(rig.calls(id), [Open, data("whole"), data("part")]);
    });
}

/// Each framing's stream, split in two at every byte: a connection for each.
#[test]
fn frames_come_whole_wherever_the_stream_is_split() {
    within_patience(|| {
        let prefixed = Framing::LengthPrefixed(LengthPrefix {
            bytes: LengthBytes::Two,
            endian: Endian::Big,
            offset: 1,
            inclusive: false,
            strip: true,
            max: 100,
        });
        let delimited = Framing::Delimited {
            delimiter: b"--".to_vec(),
            max: 100,
        };
        let cases: [(Framing, &[u8], [&str; 3]); 3] = [
            (
                Framing::Lines { max: 100 },
                b"one\r\n\nthree\n",
                ["one", "", "three"],
            ),
            (delimited, b"o-e----three--", ["o-e", "", "three"]),
            (
                prefixed,
                b"#\0\x03one#\0\0#\0\x05three",
                ["one", "", "three"],
            ),
        ];
        for (framing, stream, frames) in cases {
            let mut rig = Rig::idle();
            let framing = Arc::new(framing);
            let (_, address) = rig.serve(with(|it| it.framing = Arc::clone(&framing)));
            for at in 0..=stream.len() {
                let (mut client, id) = rig.client(address);
                client.write_all(&stream[..at]).unwrap();
                // What has come so far has been read before the rest is sent.
                let turns = rig.app.ticks + 3;
                rig.until("turns", |app| app.ticks >= turns);
                client.write_all(&stream[at..]).unwrap();
                drop(client);
                let mut calls = rig.until_closed(id);
                calls.retain(|call| matches!(call, Data(_)));
                assert_eq!(calls, frames.map(data), "{framing:?}, split at {at}");
            }
        }
    });
}

#[test]
fn frames_come_whole_byte_by_byte_and_all_at_once() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (_, address) = rig.serve(with(|it| it.framing = lines(10)));
        let stream: String = (0..500).map(|n| format!("{n}\n")).collect();
        let frames: Vec<_> = (0..500).map(|n: i32| data(n.to_string())).collect();
        for size in [1, 3, stream.len()] {
            let stream = stream.clone();
            rig.app.script.calls.clear();
            rig.meanwhile(move || {
                let mut client = dial(address);
                for piece in stream.as_bytes().chunks(size) {
                    client.write_all(piece).unwrap();
                }
            });
            rig.until("close", |app| {
                app.script.count(|call| matches!(call, Close(_))) == 1
            });
            let mut calls: Vec<_> = rig
                .app
                .script
                .calls
                .drain(..)
                .map(|(_, call)| call)
                .collect();
            calls.retain(|call| matches!(call, Data(_)));
            assert_eq!(calls, frames, "{size} bytes at a time");
        }
    });
}

#[test]
fn a_frame_over_the_maximum_closes_after_those_before_it() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (_, address) = rig.serve(with(|it| it.framing = lines(5)));
        let (mut client, id) = rig.client(address);
        client.write_all(b"12345\n123456").unwrap();
        assert_eq!(
            rig.until_closed(id),
            [Open, data("12345"), close("frame-too-long")]
        );
        assert!(rig.app.table.is_empty());
    });
}

#[test]
fn pausing_between_two_frames_of_one_read_holds_back_the_second() {
    within_patience(|| {
        let mut rig = Rig::new(|conn, call| {
            if *call == data("one") {
                conn.pause();
            }
        });
        let (_, address) = rig.serve(with(|it| it.framing = lines(100)));
        let (mut client, id) = rig.client(address);
        client.write_all(b"one\ntwo\nthr").unwrap();
        drop(client);
        rig.until("a line", |app| app.script.of(id).len() == 2);
        rig.linger(util::SILENCE);
        assert_eq!(rig.calls(id), [Open, data("one")]);
        assert!(!rig.app.table.wants_turn());
        rig.app.table.get(id).unwrap().resume();
        assert!(rig.app.table.wants_turn());
        assert_eq!(
            rig.until_closed(id),
            [Open, data("one"), data("two"), util::End, close("end")],
            "what was not whole at the end is no frame"
        );
    });
}

#[test]
fn want_of_room_between_two_frames_holds_back_the_second() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (_, address) = rig.serve(with(|it| it.framing = lines(100)));
        let (mut client, id) = rig.client(address);
        rig.app.script.room = 0;
        client.write_all(b"one\ntwo\n").unwrap();
        rig.until("starving", |app| app.table.is_starved());
        assert_eq!(rig.calls(id), [Open]);
        assert!(!rig.app.table.wants_turn());
        rig.app.script.room = usize::MAX;
        rig.until("two lines", |app| app.script.of(id).len() == 3);
        assert_eq!(rig.calls(id), [Open, data("one"), data("two")]);
        assert!(!rig.app.table.is_starved());
    });
}

#[test]
fn closing_between_two_frames_drops_the_second() {
    within_patience(|| {
        let mut rig = Rig::new(|conn, call| {
            if matches!(call, Data(_)) {
                conn.abort();
            }
        });
        let (_, address) = rig.serve(with(|it| it.framing = lines(100)));
        let (mut client, id) = rig.client(address);
        client.write_all(b"one\ntwo\n").unwrap();
        assert_eq!(rig.until_closed(id), [Open, data("one"), close("aborted")]);
    });
}
