//! Sleeping without losing a wake-up, and waking without a needless doorbell.
//!
//! ```text
//!   consumer                               producer
//!   ────────                               ────────
//!   drain the ring                         push, publish          (store tail)
//!   park():   parked = 1                   ring():  fence SeqCst
//!             fence SeqCst                          exchange parked, 1 for 0
//!   look at the ring again                            it was 1: ring the doorbell
//!     something came: unpark(), go on                 it was 0: nobody sleeps
//!     nothing: sleep until the doorbell
//! ```
//!
//! Of two SeqCst fences one comes first. If the consumer's does, the producer sees `parked`; if the producer's does,
//! the consumer sees the record. So no wake-up is lost; and as only one exchange finds the 1, there is at most one
//! doorbell per sleep, however many producers there are.
//!
//! The same word in the other direction tells a consumer that its producer waits for room: the producer parks, looks
//! at the room again; the consumer rings after [`Consumer::release`](crate::Consumer::release).

use crate::sync::{Ordering, fence};
use crate::words::Words;

/// One word that says whether its owner sleeps, or is about to.
#[derive(Clone, Debug)]
pub struct Parking {
    word: Words,
}

impl Parking {
    /// The parking of one side, over its word.
    ///
    /// # Panics
    ///
    /// If `word` is not one word.
    pub fn new(word: Words) -> Parking {
        assert!(word.len() == 1, "parking takes one word");
        Parking { word }
    }

    /// Says that the caller is about to sleep. It must then look again at all it waits for, and sleep only if there
    /// is nothing, else [`unpark`](Parking::unpark).
    #[inline]
    pub fn park(&self) {
        self.word.get(0).store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Says that the caller is awake. False if it was woken, or is just being woken, by a doorbell: then one has
    /// been rung, and may arrive late.
    #[inline]
    pub fn unpark(&self) -> bool {
        self.word.get(0).swap(0, Ordering::AcqRel) != 0
    }

    /// To be called after publishing: whether the doorbell is due, which the caller then must ring. True for one
    /// caller per [`park`](Parking::park).
    #[inline]
    pub fn ring(&self) -> bool {
        fence(Ordering::SeqCst);
        let word = self.word.get(0);
        // The load keeps the line shared while nobody sleeps. Any value but 0 counts, lest garbage there lose a
        // wake-up; a doorbell too many is harmless.
        let parked = word.load(Ordering::Relaxed);
        parked != 0
            && word
                .compare_exchange(parked, 0, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }
}
