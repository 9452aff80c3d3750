//! The loop's own thread, which rests while the loop is not running: in the driver `thread` it turns the loop, in the
//! driver `auto` it stands by.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::crank::{Crank, Turner};
#[cfg(unix)]
use crate::{
    bell::Bell,
    driver::{awake::Awake, relief},
};

/// So many records keep JavaScript busy for a while.
const PLENTY: u32 = 16;
/// For how long each of them does, about.
const EACH: Duration = Duration::from_micros(6);
/// What happens meanwhile waits for no longer than this.
const LONGEST_REST: Duration = Duration::from_micros(400);

/// The loop thread, `miolo-N`. Dropping it stops and joins it.
pub struct LoopThread {
    gate: Arc<Gate>,
    crank: Arc<Crank>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is told to do.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    Rest,
    Run,
    Stop,
}

struct Gate {
    order: Mutex<Order>,
    changed: Condvar,
    /// For a thread that stands by.
    #[cfg(unix)]
    stand_by: Option<StandBy>,
}

/// What a thread that stands by listens to, and looks at.
#[cfg(unix)]
struct StandBy {
    bell: Arc<Bell>,
    awake: Arc<Awake>,
}

impl LoopThread {
    /// Starts a thread that turns the loop; at rest.
    pub fn spawn(crank: &Arc<Crank>) -> io::Result<Self> {
        Self::start(crank, Gate::new())
    }

    /// Starts a thread that stands by; at rest.
    #[cfg(unix)]
    pub fn spawn_for_relief(crank: &Arc<Crank>, awake: Arc<Awake>) -> io::Result<Self> {
        let bell = Arc::new(Bell::new()?);
        crank.set_bell(bell.clone());
        let gate = Gate {
            stand_by: Some(StandBy { bell, awake }),
            ..Gate::new()
        };
        Self::start(crank, gate)
    }

    fn start(crank: &Arc<Crank>, gate: Gate) -> io::Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(1);
        let name = format!("miolo-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let gate = Arc::new(gate);
        let thread = Builder::new().name(name).spawn({
            let (gate, crank) = (gate.clone(), crank.clone());
            move || main(&gate, &crank)
        })?;
        Ok(Self {
            gate,
            crank: crank.clone(),
            thread: Some(thread),
        })
    }

    /// Has the thread turn the loop.
    pub fn run(&self) {
        self.gate.give(Order::Run);
    }

    /// Has it rest after the turn under way. Does not wait for it.
    pub fn rest(&self) {
        self.gate.give(Order::Rest);
        self.crank.wake();
    }

    /// Has the thread look for what JavaScript has written and not published.
    pub fn look_out(&self) {
        match self.crank.turner() {
            Turner::Thread => self.crank.wake(),
            Turner::Js => self.gate.ring(),
        }
    }
}

impl Drop for LoopThread {
    fn drop(&mut self) {
        self.gate.give(Order::Stop);
        self.crank.wake();
        if let Some(thread) = self.thread.take() {
            // It never waits for JavaScript, so this ends; a panic was caught at its root.
            let _ = thread.join();
        }
    }
}

impl Gate {
    /// For a thread that turns the loop; at rest.
    fn new() -> Self {
        Self {
            order: Mutex::new(Order::Rest),
            changed: Condvar::new(),
            #[cfg(unix)]
            stand_by: None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, order: Order) {
        *self.lock() = order;
        self.changed.notify_one();
        self.ring();
    }

    /// Calls away a thread that stands by.
    fn ring(&self) {
        #[cfg(unix)]
        if let Some(stand_by) = &self.stand_by {
            stand_by.bell.ring();
        }
    }

    /// Waits while the order is to rest.
    fn wait(&self) -> Order {
        let order = self.lock();
        let order = self
            .changed
            .wait_while(order, |order| *order == Order::Rest);
        *order.unwrap_or_else(PoisonError::into_inner)
    }
}

fn main(gate: &Gate, crank: &Crank) {
    let is_to_run = || *gate.lock() == Order::Run;
    crank.guard(|| {
        while gate.wait() == Order::Run {
            #[cfg(unix)]
            if let Some(StandBy { bell, awake }) = &gate.stand_by {
                if let Some(last_turn) = relief::stand_by(crank, bell, awake) {
                    relief::relieve(crank, last_turn, is_to_run)?;
                }
                continue;
            }
            let mut poller = crank.baton();
            while is_to_run() {
                crank.turn(&mut poller, None)?;
                rest_while_js_is_busy(crank);
            }
        }
        Ok(())
    });
}

/// Does not look for more while JavaScript has plenty to read: what happens meanwhile comes in one poll, where each event
/// would have woken this thread, and would have had to wait for JavaScript all the same.
fn rest_while_js_is_busy(crank: &Crank) {
    let (head, tail) = crank.event_counts();
    let unread = tail.wrapping_sub(head);
    if unread >= PLENTY {
        crank.wait_until_read(EACH.saturating_mul(unread).min(LONGEST_REST));
    }
}
