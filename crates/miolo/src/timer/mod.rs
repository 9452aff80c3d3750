//! Timers: instants in, payloads out. The [`wheel`] knows only ticks.

mod wheel;

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use wheel::Wheel;

/// A timer that was set, for [`EventLoop::clear_timeout`](crate::EventLoop::clear_timeout).
///
/// It names that timer only: once the timer has fired or was cleared, the handle names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timeout {
    /// The slot, plus one: so `Option<Timeout>` is no larger, of which users keep many.
    place: NonZeroU32,
    generation: u32,
}

impl Timeout {
    /// There are fewer than `u32::MAX` slots.
    fn new(slot: u32, generation: u32) -> Timeout {
        Timeout {
            place: NonZeroU32::MIN.saturating_add(slot),
            generation,
        }
    }

    fn slot(self) -> u32 {
        self.place.get() - 1
    }
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

/// What the wheel counts: half of the finest tick that can be set, so that rounding makes no timer
/// later than a setTimeout, which is rounded down as often as up.
const RESOLUTION: Duration = Duration::from_micros(500);
const STEPS_PER_MS: u64 = 2;

/// The timers of one loop. It never reads the clock: the time is a parameter.
pub(crate) struct Timers<T> {
    wheel: Wheel<T>,
    /// Step 0.
    epoch: Instant,
    /// Deadlines are rounded up to so many steps.
    tick: u64,
}

impl<T> Timers<T> {
    pub(crate) fn new(epoch: Instant, tick_ms: u64, capacity: usize) -> Timers<T> {
        Timers {
            wheel: Wheel::new(capacity),
            epoch,
            tick: if tick_ms == 1 {
                1
            } else {
                tick_ms.saturating_mul(STEPS_PER_MS)
            },
        }
    }

    pub(crate) fn set_after(
        &mut self,
        payload: T,
        delay_ms: u64,
        now: Instant,
    ) -> TimerResult<Timeout> {
        let delay = delay_ms.saturating_mul(STEPS_PER_MS);
        self.set(payload, self.steps_rounded_up(now).saturating_add(delay))
    }

    pub(crate) fn set_at(&mut self, payload: T, deadline: Instant) -> TimerResult<Timeout> {
        self.set(payload, self.steps_rounded_up(deadline))
    }

    fn set(&mut self, payload: T, step: u64) -> TimerResult<Timeout> {
        let step = step.div_ceil(self.tick).saturating_mul(self.tick);
        self.wheel.set(payload, step)
    }

    pub(crate) fn clear(&mut self, timeout: Timeout) -> Option<T> {
        self.wheel.clear(timeout)
    }

    pub(crate) fn epoch(&self) -> Instant {
        self.epoch
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.wheel.is_empty()
    }

    /// Makes every timer due whose deadline is not after `now`.
    pub(crate) fn advance(&mut self, now: Instant) {
        let (passed, _) = self.steps(now);
        self.wheel.advance(passed);
    }

    /// The payload of the first of the timers that are due.
    pub(crate) fn pop_due(&mut self) -> Option<T> {
        self.wheel.pop_due()
    }

    /// The deadline of the earliest timer.
    pub(crate) fn next_deadline(&mut self) -> Option<Instant> {
        let step = self.wheel.find_next()?;
        let since =
            Duration::from_millis(step / STEPS_PER_MS) + RESOLUTION * (step % STEPS_PER_MS) as u32;
        // `None` for an instant so far that it cannot be expressed: it will not come.
        self.epoch.checked_add(since)
    }

    /// Up, so that no timer is early.
    fn steps_rounded_up(&self, instant: Instant) -> u64 {
        let (whole, rest) = self.steps(instant);
        whole.saturating_add(u64::from(rest))
    }

    /// Steps from the epoch, and whether some part of another has passed.
    fn steps(&self, instant: Instant) -> (u64, bool) {
        let since = instant.saturating_duration_since(self.epoch);
        let (step, nanos) = (RESOLUTION.subsec_nanos(), since.subsec_nanos());
        let whole = since
            .as_secs()
            .saturating_mul(1000 * STEPS_PER_MS)
            .saturating_add(u64::from(nanos / step));
        (whole, nanos % step != 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The payloads due at `now`.
    fn fired(timers: &mut Timers<u32>, now: Instant) -> Vec<u32> {
        timers.advance(now);
        std::iter::from_fn(|| timers.pop_due()).collect()
    }

    #[test]
    fn deadlines_are_rounded_up_to_a_tick() {
        let epoch = Instant::now();
        let at = |micros| epoch + Duration::from_micros(micros);
        let mut timers = Timers::new(epoch, 10, 100);
        timers.set_after(1, 0, epoch).unwrap();
        timers.set_after(2, 10, epoch).unwrap();
        timers.set_after(3, 9, at(1_001)).unwrap();
        timers.set_at(4, at(20_000)).unwrap();
        timers.set_at(5, at(20_001)).unwrap();
        assert_eq!(fired(&mut timers, epoch), [1]);
        assert_eq!(timers.next_deadline(), Some(at(10_000)));
        assert_eq!(fired(&mut timers, at(9_999)), []);
        assert_eq!(fired(&mut timers, at(10_000)), [2]);
        assert_eq!(timers.next_deadline(), Some(at(20_000)));
        assert_eq!(fired(&mut timers, at(29_999)), [3, 4]);
        assert_eq!(timers.next_deadline(), Some(at(30_000)));
        assert_eq!(fired(&mut timers, at(30_000)), [5]);
        assert_eq!(timers.next_deadline(), None);
    }

    #[test]
    fn a_tick_of_a_millisecond_is_halved() {
        let epoch = Instant::now();
        let at = |micros| epoch + Duration::from_micros(micros);
        let mut timers = Timers::new(epoch, 1, 100);
        timers.set_after(1, 1, at(400)).unwrap();
        timers.set_at(2, at(1_501)).unwrap();
        timers.set_at(3, at(2_000)).unwrap();
        assert_eq!(timers.next_deadline(), Some(at(1_500)));
        assert_eq!(fired(&mut timers, at(1_499)), []);
        assert_eq!(fired(&mut timers, at(1_500)), [1]);
        assert_eq!(timers.next_deadline(), Some(at(2_000)));
        assert_eq!(fired(&mut timers, at(2_000)), [2, 3]);
    }

    #[test]
    fn a_deadline_before_the_epoch_is_due() {
        let before = Instant::now();
        let epoch = before + Duration::from_secs(1);
        let mut timers = Timers::new(epoch, 1, 1);
        timers.set_at(1, before).unwrap();
        assert_eq!(fired(&mut timers, before), [1]);
    }

    #[test]
    fn the_farthest_deadline_does_not_overflow() {
        let epoch = Instant::now();
        for tick_ms in [1, 1000, u64::MAX] {
            let mut timers = Timers::new(epoch, tick_ms, 10);
            timers
                .set_after(1, u64::MAX, epoch + Duration::from_secs(1))
                .unwrap();
            assert_eq!(fired(&mut timers, epoch + Duration::from_secs(1 << 30)), []);
            timers.next_deadline();
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_timer_is_never_early_and_less_than_a_tick_late(
            set_at_nanos in 0..10_000_000_000_u64,
            delay_ms in 0..100_000_u64,
            tick_ms in 1..300_u64,
        ) {
            let epoch = Instant::now();
            let now = epoch + Duration::from_nanos(set_at_nanos);
            let asked = now + Duration::from_millis(delay_ms);
            let mut timers = Timers::new(epoch, tick_ms, 2);
            timers.set_after(1, delay_ms, now).unwrap();
            let deadline = timers.next_deadline().unwrap();
            let late = if tick_ms == 1 { RESOLUTION } else { Duration::from_millis(tick_ms) };
            prop_assert!(deadline >= asked);
            prop_assert!(deadline < asked + late + RESOLUTION);
            prop_assert_eq!(fired(&mut timers, deadline - Duration::from_nanos(1)), []);
            prop_assert_eq!(fired(&mut timers, deadline), [1]);
        }
    }
}
