//! What a producer does not get to publish, by a clock that the tests set.
#![cfg(not(loom))]

mod util;

use std::time::{Duration, Instant};

use miolo_bridge::{Corrupt, Unpublished};
use util::{RingMemory, TAIL, WRITTEN, record};

const SOON: Duration = Duration::from_millis(1);

/// A ring, whose counts are about to wrap, with so many records written and none published.
fn written(count: u32) -> RingMemory {
    let start = u32::MAX - 1;
    let ring = RingMemory::new(8, start);
    let mut producer = ring.producer();
    for n in 0..count {
        producer.push(record(n)).unwrap();
    }
    ring.memory.scribble(WRITTEN, start.wrapping_add(count));
    ring
}

#[test]
fn it_is_published_when_the_producer_has_had_its_time() {
    let ring = written(3);
    let (mut consumer, mut unpublished) = (ring.consumer(), ring.unpublished());
    let start = Instant::now();
    assert!(unpublished.exists());
    unpublished.publish_if_overdue(start);
    unpublished.publish_if_overdue(start + Unpublished::PATIENCE - SOON);
    assert_eq!(consumer.pop(), Ok(None));
    unpublished.publish_if_overdue(start + Unpublished::PATIENCE);
    assert!(!unpublished.exists());
    for n in 0..3 {
        assert_eq!(consumer.pop(), Ok(Some(record(n))));
    }
    assert_eq!(consumer.pop(), Ok(None));
}

#[test]
fn whoever_publishes_something_is_given_time_again() {
    let ring = written(2);
    let mut unpublished = ring.unpublished();
    let start = Instant::now();
    unpublished.publish_if_overdue(start);
    ring.memory.scribble(TAIL, u32::MAX);
    unpublished.publish_if_overdue(start + Unpublished::PATIENCE);
    unpublished.publish_if_overdue(start + Unpublished::PATIENCE * 2 - SOON);
    assert_eq!(ring.memory.read(TAIL), u32::MAX);
    unpublished.publish_if_overdue(start + Unpublished::PATIENCE * 2);
    assert_eq!(ring.memory.read(TAIL), 0);
}

#[test]
fn what_is_published_without_being_announced_stays_so() {
    let ring = written(1);
    let mut unpublished = ring.unpublished();
    // Records of a kind that is not announced came behind.
    ring.memory.scribble(TAIL, 3);
    assert!(!unpublished.exists());
    let start = Instant::now();
    unpublished.publish_if_overdue(start);
    unpublished.publish_if_overdue(start + Unpublished::PATIENCE);
    assert_eq!(ring.memory.read(TAIL), 3);
}

#[test]
fn garbage_is_found_by_the_consumer() {
    let ring = written(1);
    let (mut consumer, mut unpublished) = (ring.consumer(), ring.unpublished());
    ring.memory.scribble(WRITTEN, 1 << 20);
    let start = Instant::now();
    unpublished.publish_if_overdue(start);
    unpublished.publish_if_overdue(start + Unpublished::PATIENCE);
    assert_eq!(consumer.pop(), Err(Corrupt));
}
