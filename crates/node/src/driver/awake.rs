//! Since when the JS thread has been awake: what tells one that sleeps in libuv from one that computes elsewhere than
//! in the loop.
//!
//! libuv keeps count of the time that its loop has slept. The rest is the time that it was awake; how much that was
//! when it last went to sleep, it notes here.

use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::uv::Uv;

/// Kept by the JS thread, read by any.
pub struct Awake {
    uv: &'static Uv,
    /// `None` once it may go.
    uv_loop: Mutex<Option<UvLoop>>,
    epoch: Instant,
    /// How long the thread had been awake when it last went to sleep, in nanoseconds: see [`awake`](Self::awake).
    before_sleep: AtomicU64,
}

struct UvLoop(*mut c_void);

// SAFETY: other threads use the loop for nothing but `uv_metrics_idle_time`, which libuv allows any thread.
unsafe impl Send for UvLoop {}

impl Awake {
    /// # Safety
    /// The loop is there until [`close`](Self::close).
    pub unsafe fn new(uv: &'static Uv, uv_loop: *mut c_void) -> Self {
        Self {
            uv,
            uv_loop: Mutex::new(Some(UvLoop(uv_loop))),
            epoch: Instant::now(),
            before_sleep: AtomicU64::new(0),
        }
    }

    /// The JS thread is about to sleep, or to look whether it may.
    pub fn note_sleep(&self) {
        if let Some(asleep) = self.asleep() {
            let awake = self.awake(asleep, Instant::now());
            self.before_sleep.store(awake, Ordering::Release);
        }
    }

    /// Since when the JS thread has been awake; `now` where it sleeps, and where libuv keeps no count.
    pub fn since(&self, now: Instant) -> Instant {
        let Some(asleep @ 1..) = self.asleep() else {
            return now;
        };
        // Read last: if it has gone to sleep meanwhile, the difference is below zero.
        let before_sleep = self.before_sleep.load(Ordering::Acquire);
        let spell = self.awake(asleep, now).wrapping_sub(before_sleep) as i64;
        let spell = Duration::from_nanos(spell.max(0) as u64);
        now.checked_sub(spell).unwrap_or(now)
    }

    /// The loop is going.
    pub fn close(&self) {
        self.lock().take();
    }

    /// For how long libuv's loop has slept, in nanoseconds.
    fn asleep(&self) -> Option<u64> {
        let uv_loop = self.lock();
        let UvLoop(uv_loop) = uv_loop.as_ref()?;
        // SAFETY: the loop is there, as it is not closed here.
        Some(unsafe { (self.uv.uv_metrics_idle_time)(*uv_loop) })
    }

    /// For how long it has not, since the epoch; a count that wraps, as it may have slept before.
    fn awake(&self, asleep: u64, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.epoch).as_nanos() as u64;
        elapsed.wrapping_sub(asleep)
    }

    fn lock(&self) -> MutexGuard<'_, Option<UvLoop>> {
        self.uv_loop.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
