//! A deadline as a descriptor, which libuv can watch like a socket. Linux has such, to the microsecond, where libuv's own
//! timers know whole milliseconds.

use std::os::fd::RawFd;
use std::time::Duration;

#[cfg(target_os = "linux")]
pub use timerfd::Clock;

/// There is none.
#[cfg(not(target_os = "linux"))]
pub enum Clock {}

#[cfg(not(target_os = "linux"))]
impl Clock {
    pub fn open() -> Option<Self> {
        None
    }

    pub fn descriptor(&self) -> RawFd {
        match *self {}
    }

    pub fn set(&self, _left: Duration) {
        match *self {}
    }

    pub fn hear(&self) {
        match *self {}
    }
}

#[cfg(target_os = "linux")]
mod timerfd {
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    use std::ptr;

    use super::{Duration, RawFd};

    /// Becomes readable when the time it was set to has passed.
    pub struct Clock(OwnedFd);

    impl Clock {
        /// `None` where the system does not give one.
        pub fn open() -> Option<Self> {
            let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
            // SAFETY: takes no pointers.
            let descriptor = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
            // SAFETY: the descriptor was opened just now and is nobody else's.
            (descriptor >= 0).then(|| Self(unsafe { OwnedFd::from_raw_fd(descriptor) }))
        }

        pub fn descriptor(&self) -> RawFd {
            self.0.as_raw_fd()
        }

        /// Sets it to go off when `left` has passed; what it was set to before is forgotten.
        pub fn set(&self, left: Duration) {
            // Zero would mean never.
            let left = left.max(Duration::from_nanos(1));
            let once = libc::itimerspec {
                it_interval: libc::timespec {
                    tv_sec: 0,
                    tv_nsec: 0,
                },
                it_value: libc::timespec {
                    tv_sec: left.as_secs().try_into().unwrap_or(libc::time_t::MAX),
                    tv_nsec: left.subsec_nanos().into(),
                },
            };
            // It fails for a wrong descriptor or time only.
            // SAFETY: the time is there for the length of the call.
            unsafe { libc::timerfd_settime(self.descriptor(), 0, &once, ptr::null_mut()) };
        }

        /// It has gone off: is readable no more.
        pub fn hear(&self) {
            let mut times = 0u64;
            // Where it was set anew meanwhile there is nothing to read, which is as good.
            // SAFETY: the eight bytes that are read have a place of that size.
            unsafe { libc::read(self.descriptor(), ptr::from_mut(&mut times).cast(), 8) };
        }
    }
}
