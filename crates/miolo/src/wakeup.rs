use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering, fence};
use std::sync::{Arc, RwLock};

use crate::sync::{read, write};

/// The loop is not in its poll, or about to leave it.
const AWAKE: u8 = 0;
/// The loop sleeps; a message is to wake it.
const PARKED: u8 = 1;
/// The loop sleeps, and has no room for messages.
const DEAF: u8 = 2;
/// The loop has been told to wake up.
const WOKEN: u8 = 3;

/// Wakes an [`EventLoop`](crate::EventLoop) from its poll, from any thread.
///
/// Waking costs a system call only while the loop sleeps. Once the loop is gone, it does nothing.
#[derive(Clone)]
pub struct Wakeup {
    pub(crate) bed: Arc<Bed>,
}

impl Wakeup {
    /// Ends the poll that is going on, or else the next one, at once.
    pub fn wake(&self) {
        self.bed.wake();
    }

    /// As [`wake`](Wakeup::wake), and has the next iteration call
    /// [`interrupted`](crate::Handler::interrupted), as a signal would.
    pub fn interrupt(&self) {
        self.bed.interrupt.store(true, Ordering::Release);
        self.bed.wake();
    }
}

impl fmt::Debug for Wakeup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wakeup").finish_non_exhaustive()
    }
}

/// Where a loop sleeps, and how it is woken there.
pub(crate) struct Bed {
    state: AtomicU8,
    interrupt: AtomicBool,
    /// `None` once the loop is gone, so that whoever still holds a handle holds no descriptor.
    waker: RwLock<Option<mio::Waker>>,
}

impl Bed {
    pub(crate) fn new(waker: mio::Waker) -> Bed {
        Bed {
            state: AtomicU8::new(AWAKE),
            interrupt: AtomicBool::new(false),
            waker: RwLock::new(Some(waker)),
        }
    }

    /// To be called before the loop looks for the last time whether messages wait; if some do, it takes
    /// it back with [`unpark`](Bed::unpark). `false`: somebody has called `wake`, do not sleep.
    pub(crate) fn park(&self, wants_messages: bool) -> bool {
        let state = if wants_messages { PARKED } else { DEAF };
        let parked = self
            .state
            .compare_exchange(AWAKE, state, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok();
        // With the fence in `message`: either the sender sees that the loop is parked, or the loop
        // sees the message.
        fence(Ordering::SeqCst);
        parked
    }

    /// The loop is up. Whether somebody had called `wake`.
    pub(crate) fn unpark(&self) -> bool {
        self.state.load(Ordering::SeqCst) != AWAKE
            && self.state.swap(AWAKE, Ordering::SeqCst) == WOKEN
    }

    /// A message has been queued: wakes the loop if it sleeps and wants messages.
    pub(crate) fn message(&self) {
        fence(Ordering::SeqCst);
        if self.state.load(Ordering::SeqCst) == PARKED
            && self
                .state
                .compare_exchange(PARKED, WOKEN, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
        {
            self.ring();
        }
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupt.load(Ordering::Acquire)
    }

    pub(crate) fn take_interrupt(&self) -> bool {
        self.interrupt.load(Ordering::Relaxed) && self.interrupt.swap(false, Ordering::Acquire)
    }

    /// Lets go of the waker's descriptor.
    pub(crate) fn close(&self) {
        write(&self.waker).take();
    }

    fn wake(&self) {
        if matches!(self.state.swap(WOKEN, Ordering::SeqCst), PARKED | DEAF) {
            self.ring();
        }
    }

    fn ring(&self) {
        if let Some(waker) = read(&self.waker).as_ref() {
            // It fails only for want of memory in the kernel; whoever sleeps then sleeps until the next
            // event, which is all that can be done.
            let _ = waker.wake();
        }
    }
}
