//! One ring, its two ends in one thread.
#![cfg(not(loom))]

mod util;

use std::collections::VecDeque;

use miolo_bridge::{PushError, Record};
use proptest::prelude::*;
use util::{RingMemory, TAIL, record};

#[test]
fn a_record_crosses_whole() {
    let ring = RingMemory::new(2, 0);
    let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
    let all = Record {
        kind: 0xff,
        generation: 0xff_ffff,
        slot: u32::MAX,
        argument: u64::MAX,
    };
    let some = Record {
        kind: 1,
        generation: 2,
        slot: 3,
        argument: 4 << 32 | 5,
    };
    for record in [all, some, Record::default()] {
        producer.push(record).unwrap();
        producer.publish();
        assert_eq!(consumer.pop(), Ok(Some(record)));
        consumer.release();
    }
}

#[test]
fn a_generation_crosses_with_24_bits() {
    let ring = RingMemory::new(1, 0);
    let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
    producer
        .push(Record {
            kind: 7,
            generation: 0x100_0003,
            ..Record::default()
        })
        .unwrap();
    producer.publish();
    assert_eq!(
        consumer.pop(),
        Ok(Some(Record {
            kind: 7,
            generation: 3,
            ..Record::default()
        }))
    );
}

#[test]
fn nothing_is_seen_before_publish() {
    let ring = RingMemory::new(4, 0);
    let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
    assert!(!producer.publish());
    producer.push(record(1)).unwrap();
    assert!(consumer.is_empty());
    assert_eq!(consumer.pop(), Ok(None));
    assert!(producer.publish());
    assert!(!producer.publish());
    assert!(!consumer.is_empty());
    assert_eq!(consumer.pop(), Ok(Some(record(1))));
    assert!(consumer.is_empty());
}

#[test]
fn a_full_ring_refuses_until_a_release() {
    let ring = RingMemory::new(2, u32::MAX);
    let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
    producer.push(record(1)).unwrap();
    producer.push(record(2)).unwrap();
    assert_eq!(producer.push(record(3)), Err(PushError::Full));
    producer.publish();
    assert_eq!(consumer.pop(), Ok(Some(record(1))));
    assert_eq!(
        producer.push(record(3)),
        Err(PushError::Full),
        "popped, but not released"
    );
    assert_eq!((producer.room(), producer.depth()), (Ok(0), 2));
    consumer.release();
    assert_eq!((producer.room(), producer.depth()), (Ok(1), 1));
    producer.push(record(3)).unwrap();
    producer.publish();
    assert_eq!(consumer.pop(), Ok(Some(record(2))));
    assert_eq!(consumer.pop(), Ok(Some(record(3))));
    assert_eq!(consumer.pop(), Ok(None));
}

#[test]
fn new_ends_go_on_where_the_old_ones_stopped() {
    let ring = RingMemory::new(4, 0);
    let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
    for n in 0..3 {
        producer.push(record(n)).unwrap();
    }
    producer.publish();
    consumer.pop().unwrap();
    consumer.release();
    let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
    assert_eq!(producer.room(), Ok(2));
    producer.push(record(3)).unwrap();
    producer.publish();
    for n in 1..4 {
        assert_eq!(consumer.pop(), Ok(Some(record(n))));
    }
}

#[test]
#[should_panic(expected = "power of two")]
fn a_capacity_that_is_no_power_of_two_is_refused() {
    RingMemory::new(3, 0).producer();
}

#[test]
#[should_panic(expected = "power of two")]
fn no_capacity_is_refused() {
    RingMemory::new(0, 0).consumer();
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Push so many, as far as there is room.
    Push(u8),
    Publish,
    /// Pop so many, as far as there are any.
    Pop(u8),
    Release,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..20_u8).prop_map(Step::Push),
        Just(Step::Publish),
        (1..20_u8).prop_map(Step::Pop),
        Just(Step::Release),
    ]
}

proptest! {
    #![proptest_config(util::cases())]

    /// Bursts over rings of all sizes, full ones too, across the wrap of the counts: what a queue would do.
    #[test]
    fn a_ring_is_a_bounded_queue(
        steps in prop::collection::vec(step(), 0..60),
        order in 0..5_u32,
        before_wrap in 0..40_u32,
    ) {
        let start = 0_u32.wrapping_sub(before_wrap);
        let ring = RingMemory::new(1 << order, start);
        let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
        let (mut pushed, mut seen) = (0, 0);
        let (mut hidden, mut visible) = (VecDeque::new(), VecDeque::new());
        let mut unreleased = 0;
        for step in steps {
            match step {
                Step::Push(n) => for _ in 0..n {
                    let full = hidden.len() + visible.len() + unreleased == ring.capacity;
                    match producer.push(record(pushed)) {
                        Ok(()) => {
                            prop_assert!(!full);
                            hidden.push_back(pushed);
                            pushed += 1;
                        }
                        Err(error) => {
                            prop_assert!(full);
                            prop_assert_eq!(error, PushError::Full);
                            break;
                        }
                    }
                },
                Step::Publish => {
                    prop_assert_eq!(producer.publish(), !hidden.is_empty());
                    visible.append(&mut hidden);
                    prop_assert_eq!(ring.memory.read(TAIL), start.wrapping_add(pushed));
                }
                Step::Pop(n) => for _ in 0..n {
                    prop_assert_eq!(consumer.is_empty(), visible.is_empty());
                    let expected = visible.pop_front();
                    prop_assert_eq!(consumer.pop(), Ok(expected.map(record)));
                    if expected.is_none() {
                        break;
                    }
                    seen += 1;
                    unreleased += 1;
                },
                Step::Release => {
                    consumer.release();
                    unreleased = 0;
                }
            }
            let used = hidden.len() + visible.len() + unreleased;
            prop_assert_eq!(producer.depth(), used);
            prop_assert_eq!(producer.room(), Ok(ring.capacity - used));
        }
        prop_assert_eq!(seen as usize + visible.len() + hidden.len(), pushed as usize);
    }
}
