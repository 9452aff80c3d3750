//! Either side can end first.

mod util;

use std::io::{Read, Write};
use std::net::Shutdown;

use util::{Data, End, Open, Rig, SILENCE, close, data, noise, read_out, with, within_patience};

#[test]
fn without_half_open_this_side_ends_once_all_is_sent() {
    within_patience(|| {
        let bytes = noise(4 << 20);
        let written = bytes.clone();
        let mut rig = Rig::new(move |conn, call| {
            if matches!(call, Data(_)) {
                conn.write(&written);
            }
        });
        let (_, address) = rig.serve(with(|_| {}));
        let (mut client, id) = rig.client(address);
        client.write_all(b"all").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        rig.until("end", |app| app.script.of(id).contains(&End));
        let mut conn = rig.app.table.get(id).unwrap();
        assert!(!conn.write(b"late"), "it was ended from this side as well");
        let got = rig.meanwhile(move || read_out(&client));
        assert!(got == (bytes, false));
        assert_eq!(rig.until_closed(id)[..2], [Open, data("all")]);
        assert_eq!(rig.calls(id).last(), Some(&close("end")));
    });
}

#[test]
fn end_may_still_write_without_half_open() {
    within_patience(|| {
        let mut rig = Rig::new(|conn, call| {
            if *call == End {
                assert!(conn.write(b"you too"));
            }
        });
        let (_, address) = rig.serve(with(|_| {}));
        let (client, id) = rig.client(address);
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rig.until_closed(id), [Open, End, close("end")]);
        assert_eq!(read_out(&client), (b"you too".into(), false));
    });
}

#[test]
fn with_half_open_this_side_goes_on_until_it_ends() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (_, address) = rig.serve(with(|it| it.allow_half_open = true));
        let (mut client, id) = rig.client(address);
        client.shutdown(Shutdown::Write).unwrap();
        rig.until("end", |app| app.script.of(id) == [Open, End]);
        rig.linger(SILENCE);
        assert_eq!(rig.calls(id), [Open, End]);
        assert!(!rig.app.table.wants_turn());
        for word in ["one", "two"] {
            rig.app.table.get(id).unwrap().write(word.as_bytes());
            rig.turn();
            let mut got = [0; 3];
            client.read_exact(&mut got).unwrap();
            assert_eq!(got, word.as_bytes());
        }
        rig.app.table.get(id).unwrap().end();
        assert_eq!(rig.until_closed(id), [Open, End, close("end")]);
        assert_eq!(read_out(&client), (vec![], false));
    });
}

#[test]
fn this_side_may_end_first_and_goes_on_reading() {
    for allow_half_open in [false, true] {
        within_patience(move || {
            let mut rig = Rig::new(|conn, call| {
                if *call == Open {
                    conn.end();
                    conn.end();
                }
            });
            let (_, address) = rig.serve(with(|it| it.allow_half_open = allow_half_open));
            let (mut client, id) = rig.client(address);
            let mut byte = [0];
            rig.turn();
            assert_eq!(client.read(&mut byte).unwrap(), 0, "this side has ended");
            for word in ["one", "two"] {
                client.write_all(word.as_bytes()).unwrap();
                rig.until("a word", |app| {
                    app.script.bytes(id).ends_with(word.as_bytes())
                });
            }
            drop(client);
            assert_eq!(
                rig.until_closed(id),
                [Open, data("one"), data("two"), End, close("end")]
            );
        });
    }
}

#[test]
fn both_may_end_at_once() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (_, address) = rig.serve(with(|it| it.allow_half_open = true));
        let (client, id) = rig.client(address);
        client.shutdown(Shutdown::Write).unwrap();
        rig.app.table.get(id).unwrap().end();
        assert_eq!(rig.until_closed(id), [Open, End, close("end")]);
    });
}

/// The end must not be lost behind a read that was short, or one that used up the budget.
#[test]
fn the_end_is_found_behind_any_number_of_bytes() {
    within_patience(|| {
        let mut rig = Rig::idle();
        let (_, address) = rig.serve(with(|_| {}));
        for len in [0, 1, 65_535, 65_536, 65_537, 131_072, 131_073, 1 << 20] {
            let (mut client, id) = rig.client(address);
            let sent = noise(len);
            let bytes = sent.clone();
            rig.meanwhile(move || client.write_all(&bytes).unwrap());
            assert_eq!(rig.until_closed(id).last(), Some(&close("end")));
            assert!(rig.bytes(id) == sent, "{len} bytes");
        }
    });
}
