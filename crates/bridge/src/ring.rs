//! A ring of records with one producer and one consumer.
//!
//! ```text
//!             head (consumer)      tail (producer)
//!               │                    │
//!    ┌────┬────┬▼───┬────┬────┬────┬─▼──┬────┐    head, tail: counts that wrap at 2³²,
//!    │free│free│ ■  │ ■  │ ■  │ ■  │free│free│    not indices; index = count & (capacity − 1)
//!    └────┴────┴────┴────┴────┴────┴────┴────┘    0 ≤ tail − head ≤ capacity, or it is Corrupt
//!
//!    push: write a record     publish: store tail, release     the consumer: load tail, acquire
//!    pop: read a record       release: store head, release     the producer: load head, acquire
//! ```
//!
//! Each side keeps its own count and never reads it back from the shared word, so garbage there cannot mislead it;
//! the other side's count is checked whenever it is read.

use std::error::Error;
use std::fmt;

use crate::layout::RECORD_WORDS;
use crate::record::Record;
use crate::sync::Ordering;
use crate::words::Words;

/// The other side has written something impossible into the shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the shared memory of the loop has been overwritten")
    }
}

impl Error for Corrupt {}

/// Why a record was not pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushError {
    /// The consumer has not yet released enough records.
    Full,
    /// As [`Corrupt`].
    Corrupt,
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PushError::Full => f.write_str("the ring is full"),
            PushError::Corrupt => Corrupt.fmt(f),
        }
    }
}

impl Error for PushError {}

impl From<Corrupt> for PushError {
    fn from(_: Corrupt) -> PushError {
        PushError::Corrupt
    }
}

/// The records and the two counts.
#[derive(Debug)]
struct Ring {
    records: Words,
    head: Words,
    tail: Words,
    /// A power of two, at most 2³¹; `records` holds exactly that many.
    capacity: u32,
}

impl Ring {
    fn new(records: Words, head: Words, tail: Words) -> Ring {
        let capacity = u32::try_from(records.len() / RECORD_WORDS).unwrap_or(0);
        assert!(
            capacity.is_power_of_two() && records.len() == capacity as usize * RECORD_WORDS,
            "a ring holds a power of two of records"
        );
        assert!(
            head.len() == 1 && tail.len() == 1,
            "head and tail are one word each"
        );
        Ring {
            records,
            head,
            tail,
            capacity,
        }
    }

    /// The record of a count.
    #[inline]
    fn record(&self, count: u32) -> &[crate::sync::AtomicU32; RECORD_WORDS] {
        self.records
            .array((count & (self.capacity - 1)) as usize * RECORD_WORDS)
    }
}

/// The writing end of a ring.
#[derive(Debug)]
pub struct Producer {
    ring: Ring,
    /// The consumer's head as last read: `tail − head` is at most the capacity.
    head: u32,
    /// Records pushed, published or not.
    tail: u32,
    /// The tail the consumer can see.
    published: u32,
}

impl Producer {
    /// The producer of the ring over `ring`, with its `head` and `tail` words. It goes on at the tail it finds.
    ///
    /// # Panics
    ///
    /// If `ring` does not hold a power of two of records, or `head` or `tail` is not one word.
    pub fn new(ring: Words, head: Words, tail: Words) -> Producer {
        let ring = Ring::new(ring, head, tail);
        let tail = ring.tail.get(0).load(Ordering::Relaxed);
        // A ring that looks full makes the first push read, and check, the real head.
        let head = tail.wrapping_sub(ring.capacity);
        Producer {
            ring,
            head,
            tail,
            published: tail,
        }
    }

    /// How many records can be pushed now; looks at what the consumer has released.
    #[inline]
    pub fn room(&mut self) -> Result<usize, Corrupt> {
        let head = self.ring.head.get(0).load(Ordering::Acquire);
        let used = self.tail.wrapping_sub(head);
        if used > self.ring.capacity {
            return Err(Corrupt);
        }
        self.head = head;
        Ok((self.ring.capacity - used) as usize)
    }

    /// Writes a record, not yet visible to the consumer; [`Producer::publish`] makes it so.
    ///
    /// # Errors
    ///
    /// [`PushError::Full`] if there is no room, [`PushError::Corrupt`] if the consumer's head is impossible. Nothing
    /// is written then.
    #[inline]
    pub fn push(&mut self, record: Record) -> Result<(), PushError> {
        if self.tail.wrapping_sub(self.head) == self.ring.capacity && self.room()? == 0 {
            return Err(PushError::Full);
        }
        record.store(self.ring.record(self.tail));
        self.tail = self.tail.wrapping_add(1);
        Ok(())
    }

    /// Makes what was pushed visible to the consumer. True if there was anything: then the doorbell may be due, see
    /// [`Parking::ring`](crate::Parking::ring).
    #[inline]
    pub fn publish(&mut self) -> bool {
        let new = self.tail != self.published;
        if new {
            self.ring.tail.get(0).store(self.tail, Ordering::Release);
            self.published = self.tail;
        }
        new
    }

    /// How many records are in the ring now, published or not; never more than its capacity.
    #[inline]
    pub fn depth(&self) -> usize {
        let head = self.ring.head.get(0).load(Ordering::Relaxed);
        self.tail.wrapping_sub(head).min(self.ring.capacity) as usize
    }

    /// How many records the ring holds.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.ring.capacity as usize
    }
}

/// The reading end of a ring.
#[derive(Debug)]
pub struct Consumer {
    ring: Ring,
    /// Records popped, released or not.
    head: u32,
    /// The head the producer can see: `head − released` is at most the capacity.
    released: u32,
    /// The producer's tail as last read: `tail − released` is at most the capacity.
    tail: u32,
}

impl Consumer {
    /// The consumer of the ring over `ring`, with its `head` and `tail` words. It goes on at the head it finds.
    ///
    /// # Panics
    ///
    /// If `ring` does not hold a power of two of records, or `head` or `tail` is not one word.
    pub fn new(ring: Words, head: Words, tail: Words) -> Consumer {
        let ring = Ring::new(ring, head, tail);
        let head = ring.head.get(0).load(Ordering::Relaxed);
        Consumer {
            ring,
            head,
            released: head,
            tail: head,
        }
    }

    /// Reads the next record, if one has been published. Its place is the producer's again only after
    /// [`Consumer::release`].
    #[inline]
    pub fn pop(&mut self) -> Result<Option<Record>, Corrupt> {
        if self.head == self.tail {
            let tail = self.ring.tail.get(0).load(Ordering::Acquire);
            // What is popped but not released still takes up room.
            let most = self.ring.capacity - self.head.wrapping_sub(self.released);
            if tail.wrapping_sub(self.head) > most {
                return Err(Corrupt);
            }
            self.tail = tail;
            if self.head == tail {
                return Ok(None);
            }
        }
        let record = Record::load(self.ring.record(self.head));
        self.head = self.head.wrapping_add(1);
        Ok(Some(record))
    }

    /// Gives the places of all popped records back to the producer. To be called after a batch, not per record.
    #[inline]
    pub fn release(&mut self) {
        if self.head != self.released {
            self.ring.head.get(0).store(self.head, Ordering::Release);
            self.released = self.head;
        }
    }

    /// Whether nothing more is published; false also if the tail is corrupt, which [`Consumer::pop`] then reports.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.ring.tail.get(0).load(Ordering::Acquire) == self.head
    }
}
