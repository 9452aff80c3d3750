//! Timers: instants in, payloads out. The [`wheel`] knows only ticks.

mod wheel;

use std::time::{Duration, Instant};

use wheel::Wheel;

/// A timer that was set, for [`EventLoop::clear_timeout`](crate::EventLoop::clear_timeout).
///
/// It names that timer only: once the timer has fired or was cleared, the handle names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timeout {
    slot: u32,
    generation: u32,
}

/// Why a timer was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimerError {
    /// As many timers are set as
    /// [`timer_capacity`](crate::EventLoopConfig::timer_capacity) allows.
    #[error("as many timers are set as the event loop's timer_capacity allows")]
    Overflow,
}

/// What setting a timer returns.
pub type TimerResult<T> = Result<T, TimerError>;

/// The timers of one loop. It never reads the clock: the time is a parameter.
pub(crate) struct Timers<T> {
    wheel: Wheel<T>,
    /// Tick 0.
    epoch: Instant,
    tick_ms: u64,
}

impl<T> Timers<T> {
    pub(crate) fn new(epoch: Instant, tick_ms: u64, capacity: usize) -> Timers<T> {
        Timers {
            wheel: Wheel::new(capacity),
            epoch,
            tick_ms,
        }
    }

    pub(crate) fn set_after(
        &mut self,
        payload: T,
        delay_ms: u64,
        now: Instant,
    ) -> TimerResult<Timeout> {
        let deadline_ms = self.ms_rounded_up(now).saturating_add(delay_ms);
        self.wheel.set(payload, deadline_ms.div_ceil(self.tick_ms))
    }

    pub(crate) fn set_at(&mut self, payload: T, deadline: Instant) -> TimerResult<Timeout> {
        self.wheel
            .set(payload, self.ms_rounded_up(deadline).div_ceil(self.tick_ms))
    }

    pub(crate) fn clear(&mut self, timeout: Timeout) -> Option<T> {
        self.wheel.clear(timeout)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.wheel.is_empty()
    }

    /// Makes every timer due whose deadline is not after `now`.
    pub(crate) fn advance(&mut self, now: Instant) {
        let ms = now.saturating_duration_since(self.epoch).as_millis();
        self.wheel
            .advance(u64::try_from(ms).unwrap_or(u64::MAX) / self.tick_ms);
    }

    /// The payload of the first of the timers that are due.
    pub(crate) fn pop_due(&mut self) -> Option<T> {
        self.wheel.pop_due()
    }

    /// The deadline of the earliest timer.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.wheel.peek().and_then(|tick| self.instant(tick))
    }

    /// As [`next_deadline`](Timers::next_deadline), and makes it cheap to ask again.
    pub(crate) fn find_next_deadline(&mut self) -> Option<Instant> {
        self.wheel.find_next().and_then(|tick| self.instant(tick))
    }

    /// `None` for an instant so far that it cannot be expressed: it will not come.
    fn instant(&self, tick: u64) -> Option<Instant> {
        self.epoch
            .checked_add(Duration::from_millis(tick.saturating_mul(self.tick_ms)))
    }

    /// Milliseconds from the epoch; up, so that no timer is early.
    fn ms_rounded_up(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.epoch);
        since
            .as_secs()
            .saturating_mul(1000)
            .saturating_add(u64::from(since.subsec_nanos().div_ceil(1_000_000)))
    }
}
