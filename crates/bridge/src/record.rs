//! What the rings carry.

use crate::layout::{GENERATION_MASK, GENERATION_SHIFT, KIND_MASK, RECORD_WORDS};
use crate::sync::{AtomicU32, Ordering};

/// One event or command: four words.
///
/// ```text
///  w0: generation (24 bits) << 8 | kind (8 bits)
///  w1: slot          w2: argument, low word          w3: argument, high word
/// ```
///
/// Anything can be read back from memory that JavaScript writes, so `kind`, `slot`, `generation` and `argument` are
/// to be checked by whoever acts on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// One of the `EVENT_…` or `COMMAND_…` kinds of [`layout`](crate::layout).
    pub kind: u8,
    /// The generation of the slot; 24 bits cross.
    pub generation: u32,
    /// The registration, timer, lane, connection or server.
    pub slot: u32,
    /// What the kind says.
    pub argument: u64,
}

impl Record {
    /// Writes the record without ordering: the ring's tail orders it.
    #[inline]
    pub(crate) fn store(self, words: &[AtomicU32; RECORD_WORDS]) {
        let [w0, w1, w2, w3] = words;
        let head = (self.generation & GENERATION_MASK) << GENERATION_SHIFT | u32::from(self.kind);
        w0.store(head, Ordering::Relaxed);
        w1.store(self.slot, Ordering::Relaxed);
        w2.store(self.argument as u32, Ordering::Relaxed);
        w3.store((self.argument >> 32) as u32, Ordering::Relaxed);
    }

    /// Reads a record without ordering: the ring's tail ordered it.
    #[inline]
    pub(crate) fn load(words: &[AtomicU32; RECORD_WORDS]) -> Record {
        let [w0, w1, w2, w3] = words;
        let head = w0.load(Ordering::Relaxed);
        Record {
            kind: (head & KIND_MASK) as u8,
            generation: head >> GENERATION_SHIFT,
            slot: w1.load(Ordering::Relaxed),
            argument: u64::from(w2.load(Ordering::Relaxed))
                | u64::from(w3.load(Ordering::Relaxed)) << 32,
        }
    }
}
