//! What the producer of a ring has written, and is kept from publishing.
//!
//! A producer that publishes only when it has nothing else to do says beside that how far it has written. Where that
//! takes too long, the consumer publishes for it:
//!
//! ```text
//!    head                 tail              written           tail, written: the producer's, counts that wrap
//!      │                    │                  │              the consumer moves tail to written, if tail
//!    ──▼────────────────────▼──────────────────▼──            has not moved since it looked
//!       published            unpublished
//! ```

use std::time::{Duration, Instant};

use crate::sync::Ordering;
use crate::words::Words;

/// Watches how far a ring has been written beyond its tail. The time is a parameter.
///
/// Whoever watches looks every [`PATIENCE`](Unpublished::PATIENCE), but only for as long as something is written: when it
/// stops it says so by a [`Parking`](crate::Parking), looks once more whether anything [`exists`](Unpublished::exists),
/// and is woken by a producer that writes after that.
#[derive(Debug)]
pub struct Unpublished {
    tail: Words,
    written: Words,
    /// The tail beyond which something was first seen, and when.
    since: Option<(u32, Instant)>,
    /// How far had been written at the last look, and when that was new.
    moved: (u32, Option<Instant>),
}

/// What a look has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looked {
    /// What was overdue has been published.
    pub published: bool,
    /// Another look is due after [`Unpublished::PATIENCE`].
    pub goes_on: bool,
}

impl Unpublished {
    /// For how long it is left to the producer.
    pub const PATIENCE: Duration = Duration::from_millis(4);
    /// For how long nothing has to be written before nobody looks any more.
    pub const LINGER: Duration = Duration::from_millis(10);

    /// Watches the ring with this word for its tail, whose producer stores in `written` how far it has written, at the
    /// latest before it publishes that.
    ///
    /// # Panics
    ///
    /// If either is not one word.
    pub fn new(tail: Words, written: Words) -> Unpublished {
        assert!(
            tail.len() == 1 && written.len() == 1,
            "two words, one each for tail and written"
        );
        let moved = (written.get(0).load(Ordering::Relaxed), None);
        Unpublished {
            tail,
            written,
            since: None,
            moved,
        }
    }

    /// Tail and written.
    fn counts(&self) -> (u32, u32) {
        // In this order: what was written by then is no less than what was published, but for a producer that has
        // published what it did not say it had written; that is no overdue business of anybody's.
        let tail = self.tail.get(0).load(Ordering::Acquire);
        let written = self.written.get(0).load(Ordering::Acquire);
        (tail, written)
    }

    /// Whether there is anything.
    pub fn exists(&self) -> bool {
        let (tail, written) = self.counts();
        is_beyond(written, tail)
    }

    /// Publishes it, if the producer has published nothing for [`PATIENCE`](Unpublished::PATIENCE) since a look first
    /// found it.
    pub fn look(&mut self, now: Instant) -> Looked {
        let (tail, written) = self.counts();
        if written != self.moved.0 {
            self.moved = (written, Some(now));
        }
        let for_long = |at: Instant, time| now.saturating_duration_since(at) >= time;
        if !is_beyond(written, tail) {
            self.since = None;
            let moved = self.moved.1;
            return Looked {
                published: false,
                goes_on: moved.is_some_and(|at| !for_long(at, Unpublished::LINGER)),
            };
        }
        let published = match self.since {
            Some((seen, at)) if seen == tail => {
                for_long(at, Unpublished::PATIENCE) && self.publish(tail, written)
            }
            _ => {
                self.since = Some((tail, now));
                false
            }
        };
        Looked {
            published,
            goes_on: true,
        }
    }

    /// False: the producer has just come to it.
    fn publish(&mut self, tail: u32, written: u32) -> bool {
        self.since = None;
        let word = self.tail.get(0);
        word.compare_exchange(tail, written, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}

fn is_beyond(written: u32, tail: u32) -> bool {
    written.wrapping_sub(tail) as i32 > 0
}
