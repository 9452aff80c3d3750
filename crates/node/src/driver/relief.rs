//! The driver `auto`: the JS thread turns the loop, embedded in Node's, and a native thread stands by. When the JS
//! thread does not get to it for some milliseconds, the native thread relieves it, and gives the loop back when
//! JavaScript keeps up again.
//!
//! ```text
//!             something to do, and no turn of the JS thread's for GRACE
//!    stands by ────────────────────────────────────────────────────────► turns
//!        ▲                                                                 │
//!        └─────────────────────────────────────────────────────────────────┘
//!             JavaScript has kept up for long enough: see `Calm`
//! ```
//!
//! Standing by costs next to nothing: while the JS thread is busy it looks up every GRACE, and otherwise it sleeps. When it
//! looks up, it sends what a callback has written that goes on computing.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use miolo_bridge::Calm;

use crate::crank::{Crank, Turner};

/// How long the JS thread may leave something undone.
const GRACE: Duration = Duration::from_millis(4);

/// Where a thread stands by, and how it is called away from there.
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
    fn wait(&self, descriptor: Option<RawFd>, timeout: Option<Duration>) -> (bool, bool) {
        let mut polled = [self.hear.as_raw_fd(), descriptor.unwrap_or(-1)].map(|fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        });
        let milliseconds = match timeout {
            // Rounded up: it is not to come round for nothing.
            Some(timeout) => i32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(i32::MAX),
            None => -1,
        };
        // SAFETY: the array is there for the length of the call, and its length is right; a negative descriptor is
        // looked over.
        let count = unsafe { libc::poll(polled.as_mut_ptr(), 2, milliseconds) };
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

/// Waits until the JS thread is to be relieved. False: the bell was rung.
pub fn stand_by(crank: &Crank, bell: &Bell) -> bool {
    let descriptor = crank.descriptor();
    loop {
        let turn = crank.js_turn_at();
        let deadline = crank.next_deadline();
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        // What a callback writes before it goes on computing makes nothing readable.
        let left = crank.look_out(left);
        let (rung, readable) = bell.wait(Some(descriptor), left);
        if rung {
            return false;
        }
        let now = Instant::now();
        if !readable && deadline.is_none_or(|at| at > now) {
            continue;
        }
        // There is something to do. The JS thread may have been busy since its last turn, or may have slept until now.
        let since = if crank.is_parked() { now } else { turn };
        let patience = GRACE.saturating_sub(now.saturating_duration_since(since));
        if !patience.is_zero() && bell.wait(None, Some(patience)).0 {
            return false;
        }
        if crank.js_turn_at() == turn {
            return true;
        }
    }
}

/// Turns the loop in the JS thread's place until that keeps up again, or `goes_on` says no.
pub fn relieve(crank: &Crank, goes_on: impl Fn() -> bool) -> io::Result<()> {
    // Only in its own turns does the JS thread hold the baton.
    let mut poller = crank.baton();
    if !goes_on() {
        return Ok(());
    }
    crank.hand_over(Turner::Thread);
    // A Sender that has seen that JavaScript sleeps may just be waking it where it slept until now, which is here.
    crank.doorbell.ring();
    let mut calm = Calm::new(crank.event_counts().1, Instant::now());
    let is_calm = |calm: &mut Calm| {
        let (head, tail) = crank.event_counts();
        calm.look(head, tail, Instant::now())
    };
    let mut done = Ok(());
    // A run may end and another begin meanwhile: then the loop is the JS thread's again, without a word from here.
    while done.is_ok() && goes_on() && crank.turner() == Turner::Thread && !is_calm(&mut calm) {
        done = crank.turn(&mut poller, Some(Calm::LENGTH));
    }
    drop(poller);
    // Its time begins anew: it has had no turn while it was relieved.
    crank.note_js_turn();
    crank.hand_over(Turner::Js);
    crank.doorbell.ring();
    done
}
