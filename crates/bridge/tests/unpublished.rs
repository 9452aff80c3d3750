//! What a producer does not get to publish, by a clock that the tests set.
#![cfg(not(loom))]

mod util;

use std::time::{Duration, Instant};

use miolo_bridge::{Corrupt, Looked, Unpublished};
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

fn look(published: bool, goes_on: bool) -> Looked {
    Looked { published, goes_on }
}

#[test]
fn it_is_published_when_the_producer_has_had_its_time() {
    let ring = written(3);
    let (mut consumer, mut unpublished) = (ring.consumer(), ring.unpublished());
    let start = Instant::now();
    assert!(unpublished.exists());
    unpublished.look(start);
    unpublished.look(start + Unpublished::PATIENCE - SOON);
    assert_eq!(consumer.pop(), Ok(None));
    let looked = unpublished.look(start + Unpublished::PATIENCE);
    assert_eq!(looked, look(true, true));
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
    unpublished.look(start);
    ring.memory.scribble(TAIL, u32::MAX);
    unpublished.look(start + Unpublished::PATIENCE);
    unpublished.look(start + Unpublished::PATIENCE * 2 - SOON);
    assert_eq!(ring.memory.read(TAIL), u32::MAX);
    unpublished.look(start + Unpublished::PATIENCE * 2);
    assert_eq!(ring.memory.read(TAIL), 0);
}

#[test]
fn nobody_need_look_when_nothing_has_been_written_for_a_while() {
    let ring = written(0);
    let mut unpublished = ring.unpublished();
    let start = Instant::now();
    assert_eq!(unpublished.look(start), look(false, false));
    // Written and published between two looks.
    for word in [WRITTEN, TAIL] {
        ring.memory.scribble(word, 1);
    }
    assert_eq!(unpublished.look(start), look(false, true));
    let end = start + Unpublished::LINGER;
    assert_eq!(unpublished.look(end - SOON), look(false, true));
    assert_eq!(unpublished.look(end), look(false, false));
    // For as long as there is something it goes on.
    ring.memory.scribble(WRITTEN, 2);
    assert_eq!(unpublished.look(end), look(false, true));
    ring.memory.scribble(TAIL, 2);
    assert_eq!(
        unpublished.look(end + Unpublished::LINGER),
        look(false, false)
    );
}

#[test]
fn garbage_is_found_by_the_consumer() {
    let ring = written(1);
    let (mut consumer, mut unpublished) = (ring.consumer(), ring.unpublished());
    ring.memory.scribble(WRITTEN, 1 << 20);
    let start = Instant::now();
    unpublished.look(start);
    unpublished.look(start + Unpublished::PATIENCE);
    assert_eq!(consumer.pop(), Err(Corrupt));
}
