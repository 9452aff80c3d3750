//! Every interleaving of a producer that publishes with a consumer that does it for it: records arrive whole, in order,
//! each once, and the tail never goes back.
#![cfg(loom)]

mod util;

use std::time::Instant;

use loom::sync::Arc;
use loom::sync::atomic::Ordering;
use loom::thread;
use miolo_bridge::Unpublished;
use util::{RingMemory, TAIL, WRITTEN, record};

#[test]
fn what_the_consumer_publishes_is_whole_and_in_order() {
    loom::model(|| {
        let ring = Arc::new(RingMemory::new(4, u32::MAX));
        let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
        let mut unpublished = ring.unpublished();
        let producing = thread::spawn({
            let ring = ring.clone();
            move || {
                let (written, tail) = (ring.memory.word(WRITTEN), ring.memory.word(TAIL));
                for n in 0..3 {
                    producer.push(record(n)).unwrap();
                    let count = u32::MAX.wrapping_add(n + 1);
                    written.get(0).store(count, Ordering::Release);
                    if n > 0 {
                        // A store in fact. But of a store beside an exchange that has read what was before it, loom
                        // does not know that it comes last.
                        tail.get(0).swap(count, Ordering::AcqRel);
                    }
                }
            }
        });
        let mut seen = 0;
        let start = Instant::now();
        for round in 0..2 {
            unpublished.look(start + Unpublished::PATIENCE * round);
            while let Some(popped) = consumer.pop().unwrap() {
                assert_eq!(popped, record(seen));
                seen += 1;
            }
            consumer.release();
        }
        producing.join().unwrap();
        while let Some(popped) = consumer.pop().unwrap() {
            assert_eq!(popped, record(seen));
            seen += 1;
        }
        assert_eq!(seen, 3);
    });
}
