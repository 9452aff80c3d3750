//! Readiness words, in one thread.
#![cfg(not(loom))]

mod util;

use miolo_bridge::Merge::{Announce, Merged, Stale};
use miolo_bridge::Readiness;
use proptest::prelude::*;
use util::Memory;

fn readiness(memory: &Memory) -> Readiness {
    Readiness::new(memory.words())
}

#[test]
fn events_merge_until_they_are_taken() {
    let memory = Memory::new(2);
    let readiness = readiness(&memory);
    assert!(readiness.reset(1, 5));
    assert_eq!(readiness.merge(1, 5, 1), Announce);
    assert_eq!(readiness.merge(1, 5, 2), Merged);
    assert_eq!(readiness.merge(1, 5, 2), Merged);
    assert_eq!(readiness.take(1, 5), 3);
    assert_eq!(readiness.take(1, 5), 0);
    assert_eq!(readiness.merge(1, 5, 8), Announce);
    assert_eq!(readiness.take(0, 0), 0, "the neighbour is left alone");
}

#[test]
fn a_reset_makes_all_before_it_stale() {
    let memory = Memory::new(1);
    let readiness = readiness(&memory);
    readiness.reset(0, 5);
    assert_eq!(readiness.merge(0, 5, 1), Announce);
    readiness.reset(0, 6);
    assert_eq!(readiness.take(0, 5), 0);
    assert_eq!(readiness.take(0, 6), 0);
    assert_eq!(readiness.merge(0, 5, 1), Stale);
    assert_eq!(readiness.merge(0, 6, 2), Announce);
    assert_eq!(readiness.take(0, 5), 0);
    assert_eq!(readiness.take(0, 6), 2);
}

#[test]
fn generations_are_compared_by_24_bits() {
    let memory = Memory::new(1);
    let readiness = readiness(&memory);
    readiness.reset(0, 0xff_ffff);
    assert_eq!(readiness.merge(0, 0xff_ffff, 1), Announce);
    readiness.reset(0, 0x100_0000);
    assert_eq!(memory.read(0), 0);
    assert_eq!(readiness.merge(0, 0, 1), Announce);
}

#[test]
fn no_bits_announce_nothing() {
    let memory = Memory::new(1);
    let readiness = readiness(&memory);
    assert_eq!(readiness.merge(0, 0, 0), Merged);
    assert_eq!(readiness.merge(0, 0, 0xf0), Merged, "no such bits");
    assert_eq!(readiness.take(0, 0), 0);
}

#[test]
fn a_slot_that_is_not_there_is_stale() {
    let memory = Memory::new(1);
    let readiness = readiness(&memory);
    assert_eq!(readiness.slots(), 1);
    for slot in [1, u32::MAX] {
        assert!(!readiness.reset(slot, 1));
        assert_eq!(readiness.merge(slot, 1, 1), Stale);
        assert_eq!(readiness.take(slot, 1), 0);
    }
}

#[test]
fn garbage_beside_the_bits_does_not_pass_for_an_announcement() {
    let memory = Memory::new(1);
    let readiness = readiness(&memory);
    memory.scribble(0, 5 << 8 | 0xf0);
    assert_eq!(readiness.take(0, 5), 0);
    assert_eq!(readiness.merge(0, 5, 1), Announce);
    assert_eq!(readiness.take(0, 5), 1);
}

proptest! {
    #![proptest_config(util::cases())]

    #[test]
    fn a_word_is_a_generation_and_a_set_of_bits(
        steps in prop::collection::vec((0..3_u8, 0..3_u32, 0..16_u8), 0..100),
    ) {
        let memory = Memory::new(1);
        let readiness = readiness(&memory);
        let (mut current, mut pending) = (0, 0);
        for (step, generation, bits) in steps {
            match step {
                0 => {
                    readiness.reset(0, generation);
                    (current, pending) = (generation, 0);
                }
                1 => {
                    let expected = match () {
                        () if generation != current => Stale,
                        () if pending == 0 && bits != 0 => Announce,
                        () => Merged,
                    };
                    prop_assert_eq!(readiness.merge(0, generation, bits), expected);
                    if expected != Stale {
                        pending |= bits;
                    }
                }
                _ => {
                    let expected = if generation == current { std::mem::take(&mut pending) } else { 0 };
                    prop_assert_eq!(readiness.take(0, generation), expected);
                }
            }
        }
    }
}
