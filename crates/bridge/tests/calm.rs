//! Whether a reader keeps up, by a clock that the tests set.
#![cfg(not(loom))]

use std::time::{Duration, Instant};

use miolo_bridge::Calm;

const SOON: Duration = Duration::from_millis(1);

#[test]
fn where_nothing_is_written_calm_comes_by_itself() {
    let start = Instant::now();
    let mut calm = Calm::new(7, start);
    assert!(!calm.look(7, 7, start));
    assert!(!calm.look(7, 7, start + Calm::LENGTH - SOON));
    assert!(calm.look(7, 7, start + Calm::LENGTH));
}

#[test]
fn a_reader_that_reads_soon_keeps_up() {
    let start = Instant::now();
    let mut calm = Calm::new(0, start);
    let mut tail = 0;
    let mut now = start;
    while now < start + Calm::LENGTH - SOON {
        now += SOON;
        tail += 8;
        assert!(!calm.look(tail - 4, tail, now));
    }
    assert!(calm.look(tail, tail, start + Calm::LENGTH));
}

#[test]
fn a_reader_that_does_not_read_begins_anew_when_it_does() {
    let start = Instant::now();
    let mut calm = Calm::new(0, start);
    calm.look(0, 10, start + SOON);
    let late = start + Calm::LENGTH * 3;
    assert!(!calm.look(0, 10, late));
    assert!(!calm.look(10, 10, late + SOON));
    assert!(!calm.look(10, 10, late + Calm::LENGTH));
    assert!(calm.look(10, 10, late + SOON + Calm::LENGTH));
}

#[test]
fn counts_that_wrap_make_no_difference() {
    let start = Instant::now();
    let mut calm = Calm::new(u32::MAX, start);
    calm.look(u32::MAX, 3, start + SOON);
    assert!(!calm.look(u32::MAX, 3, start + Calm::LENGTH));
    assert!(!calm.look(3, 3, start + Calm::LENGTH + SOON));
    assert!(calm.look(3, 3, start + Calm::LENGTH * 2 + SOON));
}
