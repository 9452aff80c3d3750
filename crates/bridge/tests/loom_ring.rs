//! Every interleaving of publish and consume: records arrive whole, in order, and none is overwritten unread.
#![cfg(loom)]

mod util;

use loom::sync::Arc;
use loom::thread;
use util::{RingMemory, record};

#[test]
fn what_is_seen_is_whole_and_in_order() {
    loom::model(|| {
        let ring = Arc::new(RingMemory::new(2, u32::MAX));
        // Before either side has moved, so that both begin at the same count.
        let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
        let producing = thread::spawn({
            let ring = ring.clone();
            move || {
                // Twice what fits: the later ones take the places of the first, once those are released.
                let mut pushed = 0;
                while pushed < 4 && producer.push(record(pushed)).is_ok() {
                    producer.publish();
                    pushed += 1;
                }
                drop(ring);
                pushed
            }
        });
        let mut seen = 0;
        for _ in 0..3 {
            while let Some(popped) = consumer.pop().unwrap() {
                assert_eq!(popped, record(seen));
                seen += 1;
            }
            consumer.release();
        }
        let pushed = producing.join().unwrap();
        assert!((2..=4).contains(&pushed));
        while let Some(popped) = consumer.pop().unwrap() {
            assert_eq!(popped, record(seen));
            seen += 1;
        }
        assert_eq!(seen, pushed);
    });
}
