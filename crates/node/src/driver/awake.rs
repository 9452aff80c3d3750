//! Since when the JS thread has been awake: what tells one that sleeps in libuv from one that computes elsewhere than
//! in the loop.
//!
//! libuv counts for how long its loop has slept, and tells any thread. Before each sleep the JS thread notes for how
//! long it had been awake by then: that, and the sleep since, is how far its present spell is from the epoch.

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
    /// For how long the thread had been awake, since the epoch, when it last went to sleep, in nanoseconds. It wraps: the
    /// sleep from before the epoch counts as well.
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
            let elapsed = self.epoch.elapsed().as_nanos() as u64;
            let awake = elapsed.wrapping_sub(asleep);
            self.before_sleep.store(awake, Ordering::Release);
        }
    }

    /// Since when the JS thread has been awake; `now` where it sleeps, and where libuv does not count.
    pub fn since(&self, now: Instant) -> Instant {
        let Some(asleep @ 1..) = self.asleep() else {
            return now;
        };
        // Read last: if it has gone to sleep meanwhile, the sum is later than now.
        let awake = self.before_sleep.load(Ordering::Acquire);
        let since = Duration::from_nanos(awake.wrapping_add(asleep));
        (self.epoch + since).min(now)
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

    fn lock(&self) -> MutexGuard<'_, Option<UvLoop>> {
        self.uv_loop.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
