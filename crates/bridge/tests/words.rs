//! The window over shared memory.
#![cfg(not(loom))]

mod util;

use std::sync::atomic::Ordering;

use miolo_bridge::Words;
use util::Memory;

#[test]
fn a_window_of_a_window_is_the_same_memory() {
    let memory = Memory::new(16);
    let inner = memory.words().window(4, 8).window(2, 3);
    assert_eq!(inner.len(), 3);
    inner.get(1).store(9, Ordering::Relaxed);
    assert_eq!(memory.read(7), 9);
}

#[test]
fn raw_memory_is_read_and_written_in_place() {
    let mut memory = [1_u32, 2, 3];
    // SAFETY: the array outlives the window, and is not used beside it.
    let words = unsafe { Words::from_raw(memory.as_mut_ptr(), memory.len()) };
    assert_eq!(words.get(2).swap(7, Ordering::Relaxed), 3);
    assert_eq!(memory, [1, 2, 7]);
}

#[test]
fn a_counter_of_64_bits_is_two_words() {
    let mut memory = [0_u64; 2];
    // SAFETY: as above; the counter is used as 64 bits only.
    let words = unsafe { Words::from_raw(memory.as_mut_ptr().cast(), 4) };
    words.get_u64(2).store(1 << 40 | 5, Ordering::Relaxed);
    assert_eq!(memory, [0, 1 << 40 | 5]);
}

#[test]
#[should_panic(expected = "aligned to 8 bytes")]
fn a_counter_between_two_is_refused() {
    let mut memory = [0_u64; 2];
    // SAFETY: as above.
    let words = unsafe { Words::from_raw(memory.as_mut_ptr().cast(), 4) };
    words.get_u64(1);
}

#[test]
#[should_panic(expected = "outside a window of 4")]
fn an_index_at_the_end_is_refused() {
    Memory::new(4).words().get(4);
}

#[test]
#[should_panic(expected = "outside a window of 4")]
fn half_a_counter_is_refused() {
    Memory::new(4).words().get_u64(3);
}

#[test]
#[should_panic(expected = "outside a window of 4")]
fn a_window_beyond_the_end_is_refused() {
    Memory::new(4).words().window(2, 3);
}

#[test]
#[should_panic(expected = "outside a window of 4")]
fn a_window_whose_end_overflows_is_refused() {
    Memory::new(4).words().window(2, usize::MAX);
}

#[test]
#[should_panic(expected = "null")]
fn memory_at_null_is_refused() {
    // SAFETY: refused before it is used.
    unsafe { Words::from_raw(std::ptr::null_mut(), 4) };
}
