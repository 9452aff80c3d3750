//! Garbage in the shared memory: reported or harmless, never a panic.
#![cfg(not(loom))]

mod util;

use miolo_bridge::{Corrupt, PushError};
use proptest::prelude::*;
use util::{HEAD, RECORDS, RingMemory, SLOTS, TAIL, record};

#[test]
fn a_head_beyond_the_tail_is_corrupt() {
    let ring = RingMemory::new(4, 10);
    let mut producer = ring.producer();
    ring.memory.scribble(HEAD, 11);
    assert_eq!(producer.room(), Err(Corrupt));
    assert_eq!(producer.push(record(0)), Err(PushError::Corrupt));
    assert_eq!(producer.depth(), 4);
}

#[test]
fn a_head_too_far_behind_is_corrupt() {
    let ring = RingMemory::new(4, 10);
    let mut producer = ring.producer();
    ring.memory.scribble(HEAD, 5);
    assert_eq!(producer.room(), Err(Corrupt));
    assert_eq!(producer.push(record(0)), Err(PushError::Corrupt));
}

#[test]
fn a_tail_too_far_ahead_is_corrupt() {
    let ring = RingMemory::new(4, u32::MAX);
    let mut consumer = ring.consumer();
    ring.memory.scribble(TAIL, 4);
    assert!(!consumer.is_empty());
    assert_eq!(consumer.pop(), Err(Corrupt));
}

#[test]
fn a_tail_that_goes_back_is_corrupt() {
    let ring = RingMemory::new(4, 0);
    let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
    producer.push(record(0)).unwrap();
    producer.push(record(1)).unwrap();
    producer.publish();
    assert_eq!(consumer.pop(), Ok(Some(record(0))));
    assert_eq!(consumer.pop(), Ok(Some(record(1))));
    ring.memory.scribble(TAIL, 1);
    assert_eq!(consumer.pop(), Err(Corrupt));
}

#[test]
fn records_not_yet_released_count_against_the_tail() {
    let ring = RingMemory::new(2, 0);
    let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
    producer.push(record(0)).unwrap();
    producer.publish();
    consumer.pop().unwrap();
    ring.memory.scribble(TAIL, 3);
    assert_eq!(consumer.pop(), Err(Corrupt));
}

#[test]
fn the_ring_goes_on_once_the_garbage_is_gone() {
    let ring = RingMemory::new(2, 0);
    let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
    ring.memory.scribble(TAIL, 77);
    assert_eq!(consumer.pop(), Err(Corrupt));
    producer.push(record(5)).unwrap();
    producer.publish();
    assert_eq!(consumer.pop(), Ok(Some(record(5))));
}

#[test]
fn a_producer_is_not_misled_by_its_own_tail_word() {
    let ring = RingMemory::new(2, 0);
    let mut producer = ring.producer();
    ring.memory.scribble(TAIL, 1);
    producer.push(record(0)).unwrap();
    producer.push(record(1)).unwrap();
    assert_eq!(producer.push(record(2)), Err(PushError::Full));
    producer.publish();
    assert_eq!(ring.memory.read(TAIL), 2);
}

#[test]
fn any_value_of_a_parking_word_asks_for_the_doorbell() {
    let ring = RingMemory::new(1, 0);
    ring.memory.scribble(util::PARKED, 0xdead_beef);
    assert!(ring.parking().ring());
    assert!(!ring.parking().ring());
}

proptest! {
    #![proptest_config(util::cases())]

    /// Both ends and the readiness words, while anything is written anywhere between their steps.
    #[test]
    fn garbage_never_panics(
        order in 0..4_u32,
        start in any::<u32>(),
        steps in prop::collection::vec((0..10_u8, any::<prop::sample::Index>(), scribble()), 0..120),
    ) {
        let ring = RingMemory::new(1 << order, start);
        let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
        let (parking, readiness) = (ring.parking(), ring.readiness());
        let words = RECORDS + 4 * ring.capacity;
        let (mut unreleased, mut unpublished) = (0, 0);
        for (step, index, value) in steps {
            match step {
                0 => if let Ok(room) = producer.room() {
                    prop_assert!(room <= ring.capacity);
                },
                1 => if producer.push(record(value)).is_ok() {
                    unpublished += 1;
                },
                2 => {
                    prop_assert_eq!(producer.publish(), unpublished > 0);
                    unpublished = 0;
                }
                3 => if let Ok(Some(record)) = consumer.pop() {
                    unreleased += 1;
                    prop_assert!(unreleased <= ring.capacity, "more than the ring can hold");
                    prop_assert!(record.generation <= 0xff_ffff);
                },
                4 => {
                    consumer.release();
                    unreleased = 0;
                }
                5 => {
                    parking.park();
                    parking.unpark();
                    parking.ring();
                }
                6 => {
                    let slot = value % (SLOTS as u32 + 1);
                    prop_assert_eq!(readiness.reset(slot, value), slot < SLOTS as u32);
                }
                7 => {
                    readiness.merge(value & 3, value >> 8, value as u8);
                }
                8 => prop_assert!(readiness.take(value & 3, value >> 8) <= 0xf),
                _ => {
                    // Head and tail, which are checked, more often than the rest.
                    let at = index.index(words + 6);
                    ring.memory.scribble(if at < words { at } else { at % 2 }, value);
                }
            }
            prop_assert!(producer.depth() <= ring.capacity);
            let _ = consumer.is_empty();
        }
    }
}

/// Garbage, and values near to plausible ones.
fn scribble() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        0..20_u32,
        (0..20_u32).prop_map(|n| u32::MAX - n)
    ]
}
