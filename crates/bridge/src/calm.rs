//! Whether the reader of a ring keeps up with its writer.

use std::time::{Duration, Instant};

/// Watches a ring's counts, and tells when its reader has kept up for a while: whatever was written was read soon.
/// The time is a parameter.
#[derive(Debug)]
pub struct Calm {
    since: Instant,
    /// How far had been written, and when that was: how soon it is read tells.
    mark: Option<(u32, Instant)>,
}

impl Calm {
    /// How late the reader may be.
    pub const LAG: Duration = Duration::from_millis(2);
    /// For how long it has to keep up.
    pub const LENGTH: Duration = Duration::from_millis(20);

    /// Begins to watch a ring whose writer has come to `tail`.
    pub fn new(tail: u32, now: Instant) -> Calm {
        Calm {
            since: now,
            mark: Some((tail, now)),
        }
    }

    /// To be called now and then with the ring's counts. True if the reader has kept up for long enough.
    pub fn look(&mut self, head: u32, tail: u32, now: Instant) -> bool {
        if let Some((mark, at)) = self.mark {
            if now.saturating_duration_since(at) > Calm::LAG && head.wrapping_sub(mark) as i32 <= 0
            {
                // Not read yet, or only just now.
                self.since = now;
            }
            if head.wrapping_sub(mark) as i32 >= 0 {
                self.mark = None;
            }
        }
        if self.mark.is_none() && head != tail {
            self.mark = Some((tail, now));
        }
        now.saturating_duration_since(self.since) >= Calm::LENGTH
    }
}
