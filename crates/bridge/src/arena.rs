//! Bytes in shared memory, taken in order and given back in order.
//!
//! ```text
//!        head (the reader's count)        tail (the writer's count)
//!          ▼                                ▼
//!   │ free │ span │ span │ ... │ span │ free     │ end: no span wraps around it,
//!                                                       what is left there is skipped
//! ```
//!
//! Positions are counts of bytes that wrap at 2^32; a position's place is its remainder by the arena's length. A span
//! is one piece of memory and begins at a multiple of eight. Where the arena is empty, the writer goes on at its
//! beginning, so that a quiet program keeps using the same few cache lines.

use crate::layout::ARENA_ALIGN;
use crate::ring::Corrupt;
use crate::sync::Ordering;
use crate::words::Words;

/// Bytes of an arena, where they are. JavaScript may write to them at any time: they are to be copied, or handed to
/// the system, and not to be believed.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The first byte. Good for as long as the memory is.
    pub start: *mut u8,
    /// How many there are.
    pub len: usize,
}

/// The writing end: finds room, and says what was written there.
#[derive(Debug)]
pub struct ArenaWriter {
    bytes: Words,
    head: Words,
    tail: u32,
    /// What was skipped last, from where to where. The reader does not know of it until it reads what comes behind: if
    /// it is at the first, it may as well be at the second. There is one at most, as there is one end of the arena
    /// between head and tail.
    skipped: Option<(u32, u32)>,
}

impl ArenaWriter {
    /// The writer of the arena over `bytes`, whose reader counts in `head`. It begins at the head that it finds.
    ///
    /// # Panics
    ///
    /// If the arena's length is no power of two from 8 to 2^31, or `head` is not one word.
    pub fn new(bytes: Words, head: Words) -> ArenaWriter {
        check(&bytes, &head);
        let tail = head.get(0).load(Ordering::Relaxed);
        ArenaWriter {
            bytes,
            head,
            tail,
            skipped: None,
        }
    }

    /// Room in one piece for `least` bytes or more; `None` if there is none now.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if the reader's count is impossible.
    pub fn room(&mut self, least: usize) -> Result<Option<Span>, Corrupt> {
        let len = self.bytes.len() * 4;
        let free = len - self.used()?;
        let at = self.tail as usize & (len - 1);
        let to_end = len - at;
        if to_end.min(free) >= least && to_end.min(free) > 0 {
            return Ok(Some(self.span(at, to_end.min(free))));
        }
        // What is left at the end is too little: it is skipped if there is enough at the beginning.
        if free > to_end && free - to_end >= least {
            self.skip(to_end);
            return Ok(Some(self.span(0, free - to_end)));
        }
        Ok(None)
    }

    /// Says that `count` bytes were written where there was [`room`](ArenaWriter::room) for them. Their position, for
    /// the reader.
    pub fn take(&mut self, count: usize) -> u32 {
        let position = self.tail;
        self.tail = self.tail.wrapping_add(aligned(count));
        position
    }

    /// How many bytes are in use, what was skipped among them. Goes back to the beginning if none are.
    fn used(&mut self) -> Result<usize, Corrupt> {
        let mut head = self.head.get(0).load(Ordering::Acquire);
        if let Some((from, to)) = self.skipped {
            if head == from {
                head = to;
            } else if self.tail.wrapping_sub(head) <= self.tail.wrapping_sub(to) {
                self.skipped = None;
            }
        }
        let used = self.tail.wrapping_sub(head) as usize;
        let len = self.bytes.len() * 4;
        if used > len {
            return Err(Corrupt);
        }
        let at = self.tail as usize & (len - 1);
        if used == 0 && at > 0 {
            self.skip(len - at);
        }
        Ok(used)
    }

    /// Skips what is left at the end.
    fn skip(&mut self, count: usize) {
        let from = self.tail;
        self.tail = from.wrapping_add(count as u32);
        self.skipped = Some((from, self.tail));
    }

    fn span(&self, at: usize, len: usize) -> Span {
        Span {
            start: self.bytes.bytes().wrapping_add(at),
            len,
        }
    }
}

/// The reading end: finds what was written, and gives it back.
#[derive(Debug)]
pub struct ArenaReader {
    bytes: Words,
    head: Words,
}

impl ArenaReader {
    /// The reader of the arena over `bytes`, which counts in `head`.
    ///
    /// # Panics
    ///
    /// As [`ArenaWriter::new`].
    pub fn new(bytes: Words, head: Words) -> ArenaReader {
        check(&bytes, &head);
        ArenaReader { bytes, head }
    }

    /// The `len` bytes at a position.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if they are not in one piece.
    pub fn span(&self, position: u32, len: usize) -> Result<Span, Corrupt> {
        let size = self.bytes.len() * 4;
        let at = position as usize & (size - 1);
        if len > size - at {
            return Err(Corrupt);
        }
        Ok(Span {
            start: self.bytes.bytes().wrapping_add(at),
            len,
        })
    }

    /// Gives back all up to the end of a span.
    pub fn release(&mut self, position: u32, len: usize) {
        let head = position.wrapping_add(aligned(len));
        self.head.get(0).store(head, Ordering::Release);
    }
}

fn check(bytes: &Words, head: &Words) {
    let len = bytes.len() * 4;
    assert!(
        len.is_power_of_two() && (ARENA_ALIGN..=1 << 31).contains(&len),
        "an arena has a power of two of bytes"
    );
    assert!(head.len() == 1, "a count takes one word");
}

/// A length, rounded up to where the next span may begin.
fn aligned(len: usize) -> u32 {
    len.next_multiple_of(ARENA_ALIGN) as u32
}
