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
#[derive(Debug)]
pub struct Unpublished {
    tail: Words,
    written: Words,
    /// The tail beyond which something was first seen, and when.
    since: Option<(u32, Instant)>,
}

impl Unpublished {
    /// For how long it is left to the producer.
    pub const PATIENCE: Duration = Duration::from_millis(4);

    /// Watches the ring with this word for its tail, whose producer stores in `written` how far it has written.
    ///
    /// # Panics
    ///
    /// If either is not one word.
    pub fn new(tail: Words, written: Words) -> Unpublished {
        assert!(
            tail.len() == 1 && written.len() == 1,
            "two words, one each for tail and written"
        );
        Unpublished {
            tail,
            written,
            since: None,
        }
    }

    /// The two counts, if there is anything unpublished.
    fn counts(&self) -> Option<(u32, u32)> {
        // In this order: what was written by then is no less than what was published.
        let tail = self.tail.get(0).load(Ordering::Acquire);
        let written = self.written.get(0).load(Ordering::Acquire);
        (written.wrapping_sub(tail) as i32 > 0).then_some((tail, written))
    }

    /// Whether there is anything.
    pub fn exists(&self) -> bool {
        self.counts().is_some()
    }

    /// Publishes it, if the producer has published nothing for [`PATIENCE`](Unpublished::PATIENCE) since this first saw
    /// it. To be called now and then.
    pub fn publish_if_overdue(&mut self, now: Instant) {
        let Some((tail, written)) = self.counts() else {
            self.since = None;
            return;
        };
        match self.since {
            Some((seen, at)) if seen == tail => {
                if now.saturating_duration_since(at) >= Unpublished::PATIENCE {
                    // If that fails, the producer has just come to it.
                    let _ = self.tail.get(0).compare_exchange(
                        tail,
                        written,
                        Ordering::AcqRel,
                        Ordering::Relaxed,
                    );
                    self.since = None;
                }
            }
            _ => self.since = Some((tail, now)),
        }
    }
}
