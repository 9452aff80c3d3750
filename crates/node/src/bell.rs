//! Where the thread of the driver `auto` stands by, and how it is called away from there.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
#[cfg(target_os = "linux")]
use std::ptr;
use std::time::Duration;

/// Rung from any thread, heard by one.
pub struct Bell {
    ring: UnixStream,
    hear: UnixStream,
}

impl Bell {
    pub fn new() -> io::Result<Self> {
        let (ring, hear) = UnixStream::pair()?;
        ring.set_nonblocking(true)?;
        hear.set_nonblocking(true)?;
        Ok(Self { ring, hear })
    }

    /// Ends the wait that is going on, or the next one.
    pub fn ring(&self) {
        // If it cannot be written, it is full: then it has been rung.
        let _ = (&self.ring).write(&[1]);
    }

    /// Waits for the bell, or for `descriptor`. Whether the bell was rung, and whether the descriptor is readable.
    pub fn wait(&self, descriptor: Option<RawFd>, timeout: Option<Duration>) -> (bool, bool) {
        let mut polled = [self.hear.as_raw_fd(), descriptor.unwrap_or(-1)].map(|fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        });
        let count = poll(&mut polled, timeout);
        if count <= 0 {
            return (false, false);
        }
        let rung = polled[0].revents != 0;
        if rung {
            // All of it: it may have been rung more than once.
            let _ = (&self.hear).read(&mut [0; 64]);
        }
        (rung, polled[1].revents != 0)
    }
}

/// `poll(2)`, to the nanosecond.
#[cfg(target_os = "linux")]
fn poll(polled: &mut [libc::pollfd], timeout: Option<Duration>) -> libc::c_int {
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: timeout.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the array and the time are there for the length of the call, and the length is right; a negative descriptor
    // is looked over.
    unsafe { libc::ppoll(polled.as_mut_ptr(), polled.len() as _, timeout, ptr::null()) }
}

/// `poll(2)`, which knows whole milliseconds: rounded up, as it is not to come round for nothing.
#[cfg(not(target_os = "linux"))]
fn poll(polled: &mut [libc::pollfd], timeout: Option<Duration>) -> libc::c_int {
    let milliseconds = timeout.map_or(-1, |timeout| {
        i32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
    });
    // SAFETY: the array is there for the length of the call, and its length is right; a negative descriptor is looked over.
    unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as _, milliseconds) }
}
