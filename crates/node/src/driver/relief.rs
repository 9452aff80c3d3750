//! The driver `auto`: the JS thread turns the loop, embedded in Node's, and a native thread stands by. When the JS
//! thread does not get to it for some milliseconds, the native thread relieves it, and gives the loop back when
//! JavaScript keeps up again.
//!
//! ```text
//!             something to do, and the JS thread busy for GRACE without a turn
//!    stands by ────────────────────────────────────────────────────────► turns
//!        ▲                                                                 │
//!        └─────────────────────────────────────────────────────────────────┘
//!             JavaScript has kept up for long enough: see `Calm`
//! ```
//!
//! Standing by costs next to nothing: while the JS thread is busy it looks up every GRACE, and otherwise it sleeps. When it
//! looks up, it sends what a callback has written that goes on computing.

use std::io;
use std::time::{Duration, Instant};

use miolo_bridge::Calm;

use crate::bell::Bell;
use crate::crank::{Crank, Turner};
use crate::driver::awake::Awake;

/// How long the JS thread may leave something undone.
const GRACE: Duration = Duration::from_millis(4);
/// How long it has at least where it may be on its way to its turn: this thread itself may be what comes late.
const LAST_CHANCE: Duration = Duration::from_millis(1);

/// Waits until the JS thread is to be relieved, and tells when that had its last turn. `None`: the bell was rung.
pub fn stand_by(crank: &Crank, bell: &Bell, awake: &Awake) -> Option<Instant> {
    let descriptor = crank.descriptor();
    loop {
        // What a callback writes before it goes on computing makes nothing readable.
        let left = crank.look_out();
        let (rung, readable) = bell.wait(Some(descriptor), left);
        let turn = crank.js_turn_at();
        let now = Instant::now();
        let is_due = crank.end_look_out(now);
        if rung {
            return None;
        }
        if !readable && !is_due {
            continue;
        }
        // In the turn that it has had, or is having, the JS thread may have seen to what there was.
        let (rung, is_still_readable) = bell.wait(Some(descriptor), Some(Duration::ZERO));
        if rung {
            return None;
        }
        // There is something to do. The JS thread may have been busy since its last turn or, if it has slept since then,
        // for as long as it has been awake.
        let now = Instant::now();
        let awake_since = awake.since(now);
        let busy = now.saturating_duration_since(awake_since.max(turn));
        let chance = if awake_since > turn {
            LAST_CHANCE
        } else {
            Duration::ZERO
        };
        let patience = GRACE.saturating_sub(busy).max(chance);
        if !patience.is_zero() && bell.wait(None, Some(patience)).0 {
            return None;
        }
        if (is_still_readable || is_due) && crank.js_turn_at() == turn {
            return Some(turn);
        }
    }
}

/// Turns the loop in the JS thread's place, if that has had no turn since `last_turn`, until it keeps up again, or
/// `goes_on` says no.
pub fn relieve(crank: &Crank, last_turn: Instant, goes_on: impl Fn() -> bool) -> io::Result<()> {
    // Only in its own turns does the JS thread hold the baton.
    let mut poller = crank.baton();
    // On a busy machine this thread may have been held up until that was punctual again.
    if !goes_on() || crank.js_turn_at() != last_turn {
        return Ok(());
    }
    crank.hand_over(Turner::Thread);
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
    done
}
