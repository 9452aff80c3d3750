//! What is ready, one word per registration: `generation << 8 | bits`.
//!
//! ```text
//!   loop: merge(slot, generation, bits)                 JavaScript: on the record, take(slot, generation)
//!   ┌──────────────────────┬──────────┐
//!   │ generation (24 bits) │   bits   │   0 ──merge──► bits  Announce: write a record
//!   └──────────────────────┴──────────┘   bits ─merge─► more bits  Merged: a record is on its way
//!          reset: a new generation, no bits;     bits ──take──► 0  deliver
//!          all that was meant for the old one is stale
//! ```
//!
//! So events merge however far JavaScript lags, at most one record per registration is on its way, and a full ring
//! loses none.

use crate::layout::{GENERATION_MASK, GENERATION_SHIFT, READINESS_MASK, READINESS_READABLE};
use crate::sync::{AtomicU32, Ordering};
use crate::words::Words;

/// What became of merged bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// Nothing was pending before: the caller must now write a record, or remember to do so when there is room.
    Announce,
    /// A record is on its way already, and will bring these too.
    Merged,
    /// The registration is no longer that generation's (or there is no such slot): nothing was changed.
    Stale,
}

/// The readiness words of all registrations.
#[derive(Clone, Debug)]
pub struct Readiness {
    words: Words,
}

impl Readiness {
    /// The readiness words over `words`, one slot each.
    pub fn new(words: Words) -> Readiness {
        Readiness { words }
    }

    /// How many slots there are.
    #[inline]
    pub fn slots(&self) -> usize {
        self.words.len()
    }

    /// Gives the slot to a generation, with nothing pending. After this returns, nothing merged for another
    /// generation is delivered. False if there is no such slot.
    #[inline]
    pub fn reset(&self, slot: u32, generation: u32) -> bool {
        let Some(word) = self.word(slot) else {
            return false;
        };
        // A swap, as every other access that writes, so that all of them stand in one order.
        word.swap(pack(generation, 0), Ordering::AcqRel);
        true
    }

    /// Adds bits (of `EventSet`) to what is pending.
    #[inline]
    pub fn merge(&self, slot: u32, generation: u32, bits: u8) -> Merge {
        let bits = u32::from(bits) & READINESS_MASK;
        // Swapped in even if nothing changes: a load alone could miss that they have just been taken.
        let old = self.update(slot, generation, 0, |pending| pending | bits);
        match old {
            None => Merge::Stale,
            Some(0) if bits != 0 => Merge::Announce,
            Some(_) => Merge::Merged,
        }
    }

    /// Takes what is pending; 0 if nothing is, or the generation is not the slot's. JavaScript's half, in Rust for
    /// the tests and for a loop that is dispatched natively.
    #[inline]
    pub fn take(&self, slot: u32, generation: u32) -> u8 {
        self.update(slot, generation, READINESS_READABLE, |_| 0)
            .unwrap_or(0) as u8
    }

    /// Replaces the pending bits in one atomic step and returns what they were; does nothing if the generation is
    /// not the slot's. It tries first with the bits most likely to be there, so that the word is mostly touched once.
    #[inline]
    fn update(
        &self,
        slot: u32,
        generation: u32,
        likely: u32,
        new: impl Fn(u32) -> u32,
    ) -> Option<u32> {
        let word = self.word(slot)?;
        let mut old = pack(generation, likely);
        loop {
            // Only the bits that exist count: garbage beside them must not pass for a record on its way.
            let pending = old & READINESS_MASK;
            let new = pack(generation, new(pending));
            match word.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Some(pending),
                Err(now) if now >> GENERATION_SHIFT != generation & GENERATION_MASK => return None,
                Err(now) => old = now,
            }
        }
    }

    #[inline]
    fn word(&self, slot: u32) -> Option<&AtomicU32> {
        let slot = slot as usize;
        (slot < self.words.len()).then(|| self.words.get(slot))
    }
}

#[inline]
fn pack(generation: u32, bits: u32) -> u32 {
    (generation & GENERATION_MASK) << GENERATION_SHIFT | bits
}
