use std::fmt;
use std::io;
use std::time::Duration;

use crate::registry::Registrar;

/// How many events one poll takes at most; the others come with the next.
const EVENTS: usize = 1024;

/// The poll of an [`EventLoop`](crate::EventLoop), which may sleep on a thread of its own while another
/// holds the loop. See [Turning the loop by hand](crate::EventLoop#turning-the-loop-by-hand).
pub struct Poller {
    poll: mio::Poll,
    pub(crate) events: mio::Events,
    pub(crate) interrupted: bool,
    pub(crate) registrar: Registrar,
}

impl Poller {
    pub(crate) fn new(poll: mio::Poll, registrar: Registrar) -> Poller {
        Poller {
            poll,
            events: mio::Events::with_capacity(EVENTS),
            interrupted: false,
            registrar,
        }
    }

    /// Sleeps until something happens, the timeout has passed (`None`: never) or the loop is woken.
    ///
    /// Never returns before the timeout without a reason, and after it by microseconds, not
    /// milliseconds, on Linux. A signal ends it too; the next
    /// [`dispatch`](crate::EventLoop::dispatch) calls `interrupted`. What has happened is kept for that
    /// `dispatch`; until then a further `wait` returns at once.
    ///
    /// # Errors
    ///
    /// What the system says, but for `Interrupted`.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if !self.is_empty() {
            return Ok(());
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(timeout) = timeout
            && timeout.subsec_nanos() % 1_000_000 != 0
        {
            return self.wait_precisely(timeout);
        }
        self.poll(timeout)
    }

    /// Whether there is nothing that a `dispatch` would take: neither an event nor a signal.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && !self.interrupted
    }

    /// mio rounds the timeout up to whole milliseconds. So this sleeps whole ones, then the rest with
    /// ppoll(2), which counts nanoseconds.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn wait_precisely(&mut self, timeout: Duration) -> io::Result<()> {
        let mut rest = timeout;
        if timeout >= Duration::from_millis(1) {
            let start = std::time::Instant::now();
            let whole =
                timeout - Duration::from_nanos(u64::from(timeout.subsec_nanos() % 1_000_000));
            self.poll(Some(whole))?;
            rest = timeout.saturating_sub(start.elapsed());
            if !self.is_empty() || rest.is_zero() {
                return Ok(());
            }
        }
        match ppoll(self.poll_fd(), rest) {
            Ok(true) => self.poll(Some(Duration::ZERO)),
            Ok(false) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.interrupted = true;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.interrupted = true;
                Ok(())
            }
            done => done,
        }
    }

    #[cfg(unix)]
    fn poll_fd(&self) -> std::os::fd::RawFd {
        use std::os::fd::AsRawFd;
        self.poll.as_raw_fd()
    }
}

/// The epoll or kqueue descriptor: readable when [`wait`](Poller::wait) would not sleep.
#[cfg(unix)]
impl std::os::fd::AsRawFd for Poller {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.poll_fd()
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").finish_non_exhaustive()
    }
}

/// Whether the descriptor became readable before the timeout, which is less than a second.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn ppoll(fd: std::os::fd::RawFd, timeout: Duration) -> io::Result<bool> {
    let mut pollfd = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    let timeout = libc::timespec {
        tv_sec: timeout.as_secs() as libc::time_t,
        tv_nsec: timeout.subsec_nanos() as libc::c_long,
    };
    // SAFETY: both pointers are to locals that outlive the call, the count is that of `pollfd`, and a
    // null signal mask leaves the mask as it is.
    let n = unsafe { libc::ppoll(&mut pollfd, 1, &timeout, std::ptr::null()) };
    match n {
        -1 => Err(io::Error::last_os_error()),
        n => Ok(n > 0),
    }
}
