//! Every interleaving of merge, take and reset: an event is delivered once, or stale; never lost, never late.
#![cfg(loom)]

mod util;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use miolo_bridge::Merge::{Announce, Merged, Stale};
use util::RingMemory;

const READABLE: u8 = 1;
const WRITABLE: u8 = 2;

fn setup() -> Arc<RingMemory> {
    let ring = Arc::new(RingMemory::new(4, 0));
    ring.readiness().reset(0, 1);
    ring
}

#[test]
fn every_bit_is_taken_once_by_an_announced_take() {
    loom::model(|| {
        let ring = setup();
        let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
        let merging = thread::spawn({
            let readiness = ring.readiness();
            let ring = ring.clone();
            move || {
                for bits in [READABLE, WRITABLE] {
                    if readiness.merge(0, 1, bits) == Announce {
                        producer.push(util::record(0)).unwrap();
                        producer.publish();
                    }
                }
                drop(ring);
            }
        });
        let readiness = ring.readiness();
        let mut taken = Vec::new();
        // A take per record, as JavaScript does it: what is merged must not wait for a record that never comes.
        let mut deliver = |taken: &mut Vec<u8>| {
            while consumer.pop().unwrap().is_some() {
                taken.push(readiness.take(0, 1));
            }
        };
        deliver(&mut taken);
        merging.join().unwrap();
        deliver(&mut taken);
        assert!(
            taken == [READABLE | WRITABLE] || taken == [READABLE, WRITABLE],
            "{taken:?}"
        );
    });
}

#[test]
fn nothing_is_delivered_to_another_generation() {
    loom::model(|| {
        let ring = setup();
        let merging = thread::spawn({
            let readiness = ring.readiness();
            let ring = ring.clone();
            move || {
                let old = readiness.merge(0, 1, READABLE);
                let new = readiness.merge(0, 2, WRITABLE);
                drop(ring);
                (old, new)
            }
        });
        let readiness = ring.readiness();
        let before = readiness.take(0, 1);
        readiness.reset(0, 2);
        assert_eq!(readiness.take(0, 1), 0, "delivered after deregister");
        let after = readiness.take(0, 2);
        let (old, new) = merging.join().unwrap();
        let last = readiness.take(0, 2);

        assert!(old == Announce || (old == Stale && before == 0), "{old:?}");
        assert!(before == 0 || before == READABLE);
        match new {
            Announce => assert_eq!(after + last, WRITABLE),
            Stale => assert_eq!(after + last, 0),
            Merged => panic!("nothing was pending for the new generation"),
        }
    });
}

#[test]
fn a_take_by_generation_leaves_the_next_one_alone() {
    loom::model(|| {
        let ring = setup();
        let taking = thread::spawn({
            let readiness = ring.readiness();
            let ring = ring.clone();
            move || {
                let taken = readiness.take(0, 1);
                drop(ring);
                taken
            }
        });
        // Registered anew from another thread, while a record of the old generation is being delivered.
        let readiness = ring.readiness();
        readiness.reset(0, 2);
        assert_eq!(readiness.merge(0, 2, WRITABLE), Announce);
        assert_eq!(taking.join().unwrap(), 0);
        assert_eq!(readiness.take(0, 2), WRITABLE);
    });
}

#[test]
fn a_take_sees_what_came_before_each_merge_it_covers() {
    loom::model(|| {
        let ring = setup();
        let data = Arc::new(AtomicU32::new(0));
        let merging = thread::spawn({
            let readiness = ring.readiness();
            let (ring, data) = (ring.clone(), data.clone());
            move || {
                readiness.merge(0, 1, READABLE);
                data.store(1, Ordering::Relaxed);
                let again = readiness.merge(0, 1, READABLE);
                drop(ring);
                again
            }
        });
        let taken = ring.readiness().take(0, 1);
        let seen = data.load(Ordering::Relaxed);
        // Merged, the second adds nothing to the word; still, no record will come for it but the one taken.
        if merging.join().unwrap() == Merged && taken != 0 {
            assert_eq!(seen, 1);
        }
    });
}
