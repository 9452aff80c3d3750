//! An arena: spans in order, in one piece, in no more memory than there is.
#![cfg(not(loom))]

mod util;

use std::collections::VecDeque;

use miolo_bridge::{ArenaReader, ArenaWriter, Corrupt};
use proptest::prelude::*;
use util::Memory;

/// An arena of so many bytes, and its head behind them.
struct ArenaMemory {
    memory: Memory,
    bytes: usize,
}

impl ArenaMemory {
    fn new(bytes: usize, start: u32) -> ArenaMemory {
        // At a multiple of eight bytes, as a line of shared memory is.
        let memory = Memory::new(bytes / 4 + 1);
        memory.scribble(bytes / 4, start);
        ArenaMemory { memory, bytes }
    }

    fn writer(&self) -> ArenaWriter {
        let words = self.memory.words().window(0, self.bytes / 4);
        ArenaWriter::new(words, self.memory.word(self.bytes / 4))
    }

    fn reader(&self) -> ArenaReader {
        let words = self.memory.words().window(0, self.bytes / 4);
        ArenaReader::new(words, self.memory.word(self.bytes / 4))
    }

    fn head(&self, head: u32) {
        self.memory.scribble(self.bytes / 4, head);
    }

    /// Where a span begins, as a count of bytes from the arena's beginning.
    fn at(&self, span: miolo_bridge::Span) -> usize {
        let at = span.start as usize - self.memory.words().bytes() as usize;
        assert!(at + span.len <= self.bytes, "outside the arena");
        at
    }
}

/// Room for so many, taken: its position and its place.
fn take(arena: &ArenaMemory, writer: &mut ArenaWriter, count: usize) -> Option<(u32, usize)> {
    let span = writer.room(count).unwrap()?;
    assert!(span.len >= count);
    Some((writer.take(count), arena.at(span)))
}

#[test]
fn all_of_an_empty_arena_is_room() {
    for start in [0, 64, 0x8000_0000, u32::MAX - 63] {
        let arena = ArenaMemory::new(64, start);
        let mut writer = arena.writer();
        assert_eq!(writer.room(1).unwrap().unwrap().len, 64);
        assert_eq!(writer.room(64).unwrap().unwrap().len, 64);
        assert!(writer.room(65).unwrap().is_none());
    }
}

#[test]
fn spans_begin_at_multiples_of_eight() {
    let arena = ArenaMemory::new(64, 0);
    let mut writer = arena.writer();
    for (count, place) in [(1, 0), (8, 8), (9, 16), (0, 32), (16, 32)] {
        assert_eq!(
            take(&arena, &mut writer, count),
            Some((place as u32, place))
        );
    }
    assert_eq!(writer.room(1).unwrap().unwrap().len, 16);
}

#[test]
fn no_span_wraps_around_the_end() {
    let arena = ArenaMemory::new(64, 0);
    let (mut writer, mut reader) = (arena.writer(), arena.reader());
    let (first, _) = take(&arena, &mut writer, 40).unwrap();
    let (second, _) = take(&arena, &mut writer, 8).unwrap();
    assert_eq!(take(&arena, &mut writer, 24), None, "sixteen are left");
    reader.release(first, 40);
    // What is left at the end is skipped, since there is enough at the beginning.
    assert_eq!(take(&arena, &mut writer, 24), Some((64, 0)));
    assert_eq!(writer.room(1).unwrap().unwrap().len, 16);
    assert_eq!(take(&arena, &mut writer, 24), None);
    reader.release(second, 8);
    // The skipped bytes come back with the span before them.
    assert_eq!(writer.room(1).unwrap().unwrap().len, 40);
}

#[test]
fn a_skip_that_nothing_was_written_behind_keeps_no_room() {
    let arena = ArenaMemory::new(64, 0);
    let (mut writer, mut reader) = (arena.writer(), arena.reader());
    let (first, _) = take(&arena, &mut writer, 32).unwrap();
    let (second, _) = take(&arena, &mut writer, 8).unwrap();
    reader.release(first, 32);
    assert_eq!(
        arena.at(writer.room(32).unwrap().unwrap()),
        0,
        "24 are skipped"
    );
    // There was nothing to write after all. When all has been read, all is room.
    reader.release(second, 8);
    assert_eq!(writer.room(64).unwrap().map(|span| span.len), Some(64));
    assert_eq!(take(&arena, &mut writer, 64), Some((64, 0)));
}

#[test]
fn an_arena_that_was_emptied_goes_on_at_its_beginning() {
    let arena = ArenaMemory::new(64, 0);
    let (mut writer, mut reader) = (arena.writer(), arena.reader());
    for round in 0..100 {
        let (position, place) = take(&arena, &mut writer, 24).unwrap();
        assert_eq!((position, place), (round * 64, 0));
        // Nothing changes by asking again before the reader has got to it.
        assert_eq!(writer.room(1).unwrap().unwrap().len, 40);
        reader.release(position, 24);
    }
}

#[test]
fn a_full_arena_has_no_room_until_some_is_given_back() {
    let arena = ArenaMemory::new(32, 0u32.wrapping_sub(32));
    let (mut writer, mut reader) = (arena.writer(), arena.reader());
    let taken: Vec<_> = (0..4)
        .map(|_| take(&arena, &mut writer, 5).unwrap().0)
        .collect();
    assert_eq!(take(&arena, &mut writer, 1), None);
    assert_eq!(
        take(&arena, &mut writer, 0),
        None,
        "not even a byte is free"
    );
    reader.release(taken[0], 5);
    assert_eq!(take(&arena, &mut writer, 5), Some((0, 0)));
    assert_eq!(take(&arena, &mut writer, 1), None);
    // All up to the end of the third.
    reader.release(taken[2], 5);
    assert_eq!(writer.room(1).unwrap().unwrap().len, 16);
}

#[test]
fn a_new_writer_begins_where_the_reader_is() {
    let arena = ArenaMemory::new(64, 0);
    let (mut writer, mut reader) = (arena.writer(), arena.reader());
    let (position, _) = take(&arena, &mut writer, 40).unwrap();
    reader.release(position, 40);
    let mut writer = arena.writer();
    assert_eq!(take(&arena, &mut writer, 64), Some((64, 0)));
}

#[test]
fn bytes_cross() {
    let arena = ArenaMemory::new(64, 0);
    let (mut writer, reader) = (arena.writer(), arena.reader());
    let (position, place) = take(&arena, &mut writer, 8).unwrap();
    arena
        .memory
        .scribble(place / 4, u32::from_ne_bytes(*b"half"));
    arena
        .memory
        .scribble(place / 4 + 1, u32::from_ne_bytes(*b"full"));
    let span = reader.span(position, 8).unwrap();
    assert_eq!(arena.at(span), place);
    assert_eq!(arena.memory.read(place / 4).to_ne_bytes(), *b"half");
}

#[test]
fn a_head_that_cannot_be_is_corrupt() {
    for (head, tail) in [
        (8, 0),
        (0x8000_0000, 0),
        (24, 16),
        (16u32.wrapping_sub(72), 16),
    ] {
        let arena = ArenaMemory::new(64, 0);
        let mut writer = arena.writer();
        if tail > 0 {
            take(&arena, &mut writer, tail).unwrap();
        }
        arena.head(head);
        assert_eq!(writer.room(1).unwrap_err(), Corrupt, "{head}");
    }
}

#[test]
fn a_span_that_is_not_in_one_piece_is_corrupt() {
    let arena = ArenaMemory::new(64, 0);
    let reader = arena.reader();
    for (position, len) in [
        (0, 65),
        (60, 5),
        (64 + 63, 2),
        (u32::MAX, 2),
        (0, usize::MAX),
    ] {
        assert_eq!(
            reader.span(position, len).unwrap_err(),
            Corrupt,
            "{position}, {len}"
        );
    }
    for (position, len) in [(0, 64), (63, 1), (u32::MAX, 1), (64, 0)] {
        assert_eq!(reader.span(position, len).unwrap().len, len);
    }
}

#[test]
#[should_panic(expected = "power of two")]
fn a_length_that_is_no_power_of_two_is_refused() {
    ArenaMemory::new(24, 0).writer();
}

#[test]
#[should_panic(expected = "power of two")]
fn a_length_that_holds_no_span_is_refused() {
    ArenaMemory::new(4, 0).reader();
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Ask for room for so many, and write some of them: all, or fewer than were asked for.
    Write(usize, usize),
    /// Release up to the end of so many spans.
    Release(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..100_usize, prop_oneof![Just(0), 0..100_usize])
            .prop_map(|(asked, written)| Step::Write(asked, written)),
        (1..6_usize).prop_map(Step::Release),
    ]
}

proptest! {
    #![proptest_config(util::cases())]

    /// Spans of all sizes, across the ends of the arena and of the counts: none overlaps one that is not released,
    /// and where nothing is in use, everything is room.
    #[test]
    fn spans_do_not_overlap_until_they_are_released(
        steps in prop::collection::vec(step(), 0..80),
        order in 3..8_u32,
        before_wrap in 0..4_u32,
    ) {
        let bytes = 1 << order;
        let arena = ArenaMemory::new(bytes, 0_u32.wrapping_sub(before_wrap << order));
        let (mut writer, mut reader) = (arena.writer(), arena.reader());
        let mut spans = VecDeque::<(u32, usize, usize)>::new();
        for step in steps {
            match step {
                Step::Write(asked, written) => {
                    let Some(span) = writer.room(asked).unwrap() else {
                        prop_assert!(asked > bytes || !spans.is_empty(), "room for {asked} of {bytes}");
                        continue;
                    };
                    prop_assert!(span.len >= asked);
                    let place = arena.at(span);
                    prop_assert_eq!(place % 8, 0);
                    for &(_, start, len) in &spans {
                        prop_assert!(place + span.len <= start || start + len <= place);
                    }
                    let written = written.min(span.len);
                    if written > 0 {
                        let position = writer.take(written);
                        prop_assert_eq!(arena.at(reader.span(position, written).unwrap()), place);
                        spans.push_back((position, place, written));
                    }
                }
                Step::Release(count) => {
                    let count = count.min(spans.len());
                    if let Some((position, _, len)) = spans.drain(..count).next_back() {
                        reader.release(position, len);
                    }
                }
            }
        }
        if let Some((position, _, len)) = spans.drain(..).next_back() {
            reader.release(position, len);
        }
        prop_assert_eq!(writer.room(bytes).unwrap().map(|span| span.len), Some(bytes));
    }

    /// Whatever the head becomes: corrupt, or a span inside the arena.
    #[test]
    fn a_head_of_garbage_is_reported_or_harmless(
        steps in prop::collection::vec((any::<u32>(), 0..80_usize, 0..80_usize), 0..60),
        near in any::<bool>(),
        start in any::<u32>(),
    ) {
        let arena = ArenaMemory::new(64, start);
        let mut writer = arena.writer();
        let mut tail = start;
        for (head, asked, written) in steps {
            arena.head(if near { tail.wrapping_sub(head % 80) } else { head });
            if let Ok(Some(span)) = writer.room(asked) {
                prop_assert!(span.len > 0 && arena.at(span) < 64);
                tail = writer.take(written.min(span.len));
            }
        }
    }

    #[test]
    fn a_position_of_garbage_is_reported_or_inside(position in any::<u32>(), len in any::<usize>(), few in 0..80_usize) {
        let arena = ArenaMemory::new(64, 0);
        let mut reader = arena.reader();
        for len in [len, few] {
            if let Ok(span) = reader.span(position, len) {
                arena.at(span);
            }
            reader.release(position, len.min(64));
        }
    }
}
