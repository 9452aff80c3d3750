//! A callback that panics ends the run; the loop can be run again, and only that connection is the worse for it.

mod util;

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use miolo_server::Framing;
use util::{Call, Close, Data, Drain, End, Open, Rig, close, data, dial, with, within_patience};

const PANICKED: &str = "error: its handler has panicked";

/// Echoes, but panics once, at the first call for which `when` is true.
fn panicking(when: impl Fn(&Call) -> bool + Send + 'static) -> Rig {
    let mut panicked = false;
    Rig::new(move |conn, call| {
        if let Data(bytes) = call {
            conn.write(bytes);
        }
        if when(call) && !std::mem::replace(&mut panicked, true) {
            panic!("on purpose");
        }
    })
}

/// Turns the loop until it panics.
fn run_into_panic(rig: &mut Rig) {
    let turned = || rig.until("a panic", |_| false);
    let panic = catch_unwind(AssertUnwindSafe(turned)).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"on purpose"));
}

/// One turn that may sleep for ever, and so must not.
fn turn_at_once(rig: &mut Rig) {
    rig.event_loop.run_once(&mut rig.app, None).unwrap();
}

#[test]
fn in_data() {
    within_patience(|| {
        let mut rig = panicking(|call| matches!(call, Data(_)));
        let (_, address) = rig.serve(with(|_| {}));
        let mut clients: Vec<_> = (0..10).map(|_| rig.client(address)).collect();
        for (client, _) in &mut clients {
            client.write_all(b"x").unwrap();
        }
        run_into_panic(&mut rig);
        turn_at_once(&mut rig);
        rig.until("the others", |app| {
            app.script.count(|call| *call == data("x")) == 9
        });
        let (mut closed, mut served) = (0, 0);
        for (client, id) in &mut clients {
            match &rig.calls(*id)[..] {
                [Open, Close(reason)] if reason == PANICKED => closed += 1,
                [Open, Data(_)] => {
                    client.read_exact(&mut [0]).unwrap();
                    served += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((closed, served), (1, 9));
    });
}

#[test]
fn in_open_with_others_waiting_to_be_accepted() {
    within_patience(|| {
        let mut rig = panicking(|call| *call == Open);
        let (_, address) = rig.serve(with(|_| {}));
        let _clients: Vec<_> = (0..10).map(|_| dial(address)).collect();
        run_into_panic(&mut rig);
        turn_at_once(&mut rig);
        rig.until("the others", |app| app.table.len() == 9);
        assert_eq!(rig.count(|call| *call == close(PANICKED)), 1);
    });
}

#[test]
fn between_two_frames() {
    within_patience(|| {
        let mut rig = panicking(|call| *call == data("two"));
        let framing = Arc::new(Framing::Lines { max: 10 });
        let (_, address) = rig.serve(with(|it| it.framing = framing));
        let (mut client, id) = rig.client(address);
        client.write_all(b"one\ntwo\nthree\n").unwrap();
        run_into_panic(&mut rig);
        turn_at_once(&mut rig);
        assert_eq!(rig.until_closed(id), [Open, data("one"), close(PANICKED)]);
    });
}

/// In the flush, with others behind it that have something to send.
#[test]
fn in_drain() {
    within_patience(|| {
        let mut rig = panicking(|call| *call == Drain);
        let (_, address) = rig.serve(with(|_| {}));
        let (_client, id) = rig.client(address);
        let mut others: Vec<_> = (0..10).map(|_| rig.client(address)).collect();
        rig.app.table.get(id).unwrap().want_drain();
        let mut lent = *b"lent";
        for (_, id) in &others {
            let mut conn = rig.app.table.get(*id).unwrap();
            // SAFETY: `lent` lives until the turn has panicked.
            unsafe { conn.write_lent(lent.as_ptr(), lent.len()) };
        }
        run_into_panic(&mut rig);
        lent.fill(0);
        turn_at_once(&mut rig);
        assert_eq!(rig.until_closed(id), [Open, close(PANICKED)]);
        for (client, _) in &mut others {
            let mut got = [0; 4];
            client.read_exact(&mut got).unwrap();
            assert_eq!(&got, b"lent");
        }
    });
}

#[test]
fn in_end() {
    within_patience(|| {
        let mut rig = panicking(|call| *call == End);
        let (_, address) = rig.serve(with(|_| {}));
        let (client, id) = rig.client(address);
        drop(client);
        run_into_panic(&mut rig);
        turn_at_once(&mut rig);
        assert_eq!(rig.until_closed(id), [Open, close(PANICKED)]);
    });
}
