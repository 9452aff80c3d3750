//! One loop, the shared memory beside it, and what it means to turn it once.
//!
//! Two locks: the *baton* (the poller) belongs to whoever turns the loop, the *state* (everything
//! else) is free while the poll sleeps. So a thread that is awake can do the loop's work without
//! waking it: [`Crank::flush`].

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(unix)]
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use miolo::{EventLoop, EventLoopConfig, Poller, Registrar, Wakeup};
use miolo_bridge::{Layout, Parking, Unpublished, Words, layout};

#[cfg(unix)]
use crate::bell::Bell;
use crate::doorbell::Doorbell;
use crate::forwarder::{Forwarder, ROOM};

/// One for each connection, some for listeners, and one for all of JavaScript's timeouts.
const TIMERS: usize = layout::MAX_CONNECTIONS + 1024;

/// What TypeScript configures, checked there.
pub struct Settings {
    pub layout: Layout,
    pub notify_capacity: u32,
    pub messages_per_tick: u32,
    pub timer_tick: Duration,
    pub spin: Duration,
}

/// A loop that can be turned by one thread and fed by others.
pub struct Crank {
    /// `None` once the loop is closed.
    state: Mutex<Option<State>>,
    /// `None` once the loop is closed.
    baton: Mutex<Option<Poller>>,
    /// JavaScript has read all, or there is something else to wake for; with the state.
    read: Condvar,
    memory: Words,
    js_parking: Parking,
    loop_parking: Parking,
    /// Of whoever looks for what JavaScript has written and not published.
    lookout: Parking,
    /// Wakes the JS thread out of Node's own loop.
    pub doorbell: Doorbell,
    /// The JS thread sleeps in the loop's poll, or watches it, rather than waiting for the doorbell.
    js_polls: AtomicBool,
    pub wakeup: Wakeup,
    pub registrar: Registrar,
    epoch: Instant,
    /// The poll's, which is open for as long as somebody may have the baton.
    #[cfg(unix)]
    descriptor: std::os::fd::RawFd,
    /// When the JS thread last began a turn, or ended it, in nanoseconds since the epoch.
    js_turn_at: AtomicU64,
    spin: Duration,
    #[cfg(feature = "testing")]
    pub panics: AtomicBool,
}

/// Whose turn it is to turn the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turner {
    /// A native thread.
    Thread,
    /// The JS thread, in the loop's poll or in libuv, which watches it.
    Js,
}

struct State {
    event_loop: EventLoop<Forwarder>,
    forwarder: Forwarder,
    /// Of the thread that holds the baton.
    sleep: Sleep,
    /// Of the thread that stands by.
    watch: Sleep,
    /// That thread's, if there is one.
    #[cfg(unix)]
    bell: Option<Arc<Bell>>,
    fault: Option<String>,
}

/// Whether a thread is to be woken for a deadline.
#[derive(Clone, Copy, PartialEq)]
enum Sleep {
    Awake,
    /// It sleeps until an event or this deadline.
    Until(Option<Instant>),
    /// It sleeps for a moment, beside the poll: see [`Crank::wait_until_read`].
    UntilRead,
}

impl Sleep {
    /// Whether it lasts beyond a deadline; from now on it does not.
    fn shorten(&mut self, next: Instant) -> bool {
        let is_beyond = matches!(*self, Self::Until(until) if until.is_none_or(|it| next < it));
        if is_beyond {
            *self = Self::Until(Some(next));
        }
        is_beyond
    }
}

impl Crank {
    /// A loop over `memory`, which must outlive every use of the result but
    /// [`ring_js`](Self::ring_js).
    pub fn new(settings: Settings, memory: Words) -> io::Result<Self> {
        let mut config = EventLoopConfig::new();
        config
            // One message of the loop is a batch of JavaScript's: a lane has one a count.
            .notify_capacity(2 * layout::LANES + 2)
            .messages_per_tick(usize::MAX)
            .timer_tick_ms(settings.timer_tick.as_millis() as u64)
            .timer_capacity(TIMERS);
        let mut event_loop = EventLoop::configured(config)?;
        // JavaScript rounds deadlines up to the same ticks.
        let epoch = event_loop.epoch();
        let registrar = event_loop.registrar();
        let wakeup = event_loop.wakeup();
        let poller = event_loop
            .take_poller()
            .ok_or_else(|| io::Error::other("a new loop has its poller"))?;
        let forwarder = Forwarder::new(
            &memory,
            &settings.layout,
            registrar.clone(),
            epoch,
            settings.messages_per_tick as usize,
            settings.notify_capacity,
        );
        #[cfg(unix)]
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&poller);
        Ok(Self {
            state: Mutex::new(Some(State {
                event_loop,
                forwarder,
                sleep: Sleep::Awake,
                watch: Sleep::Awake,
                #[cfg(unix)]
                bell: None,
                fault: None,
            })),
            baton: Mutex::new(Some(poller)),
            read: Condvar::new(),
            js_parking: Parking::new(memory.window(layout::JS_PARKED, 1)),
            loop_parking: Parking::new(memory.window(layout::LOOP_PARKED, 1)),
            lookout: Parking::new(memory.window(layout::LOOKOUT_PARKED, 1)),
            memory,
            doorbell: Doorbell::new(),
            #[cfg(unix)]
            descriptor,
            js_polls: AtomicBool::new(false),
            js_turn_at: AtomicU64::new(0),
            wakeup,
            registrar,
            epoch,
            spin: settings.spin,
            #[cfg(feature = "testing")]
            panics: AtomicBool::new(false),
        })
    }

    /// Closes the loop: everything is deregistered, and `memory` is not looked at again. Whoever
    /// turned it has been stopped.
    pub fn end(&self) {
        let poller = self.baton().take();
        let state = self.lock().take();
        drop((state, poller));
    }

    /// The right to turn the loop. Waits for whoever has it.
    pub fn baton(&self) -> MutexGuard<'_, Option<Poller>> {
        self.baton.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to turn the loop, unless somebody has it.
    pub fn try_baton(&self) -> Option<MutexGuard<'_, Option<Poller>>> {
        match self.baton.try_lock() {
            Ok(baton) => Some(baton),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The descriptor that becomes readable when there is something to do.
    #[cfg(unix)]
    pub fn descriptor(&self) -> std::os::fd::RawFd {
        self.descriptor
    }

    /// One turn: take in commands and messages, sleep until an event, a deadline or `timeout`, and
    /// forward what happened. JavaScript is rung for if it is parked.
    pub fn turn(&self, baton: &mut Option<Poller>, timeout: Option<Duration>) -> io::Result<()> {
        #[cfg(feature = "testing")]
        assert!(!self.panics.load(Ordering::Relaxed), "a panic on purpose");
        let Some(poller) = baton else {
            return Ok(());
        };
        let mut sleep = self.settle(timeout);
        let asleep = Instant::now();
        if sleep != Some(Duration::ZERO) && !self.spin.is_zero() {
            sleep = self.spin_for_events(poller, asleep, sleep)?;
        }
        poller.wait(sleep)?;
        let slept = asleep.elapsed();
        let mut state = self.lock();
        let Some(state) = &mut *state else {
            return Ok(());
        };
        if state.sleep != Sleep::Awake {
            state.sleep = Sleep::Awake;
            self.loop_parking.unpark();
        }
        // What has woken the loop is delivered in this iteration, a message as much as an event.
        if state.forwarder.has_news() {
            state.forwarder.take_in(&mut state.event_loop);
        }
        let done = state
            .event_loop
            .dispatch(Some(poller), &mut state.forwarder, ROOM);
        state.count(&done);
        state
            .forwarder
            .add(layout::METRIC_POLL_TIME_NS, slept.as_nanos() as u64);
        if self.has_failed(state) {
            return Err(io::Error::other("the loop has failed"));
        }
        if state.forwarder.take_published() {
            self.ring_for_events(state);
        }
        // Before the next turn the JS thread has callbacks to run, however long they take.
        self.heed(state);
        Ok(())
    }

    /// What is to be done before the loop sleeps, in its poll or elsewhere: returns how long it may.
    pub fn settle(&self, timeout: Option<Duration>) -> Option<Duration> {
        let mut state = self.lock();
        let Some(state) = &mut *state else {
            return Some(Duration::ZERO);
        };
        let timeout = match self.turner() {
            Turner::Thread => {
                let (_, patience) = self.look_out_in(state);
                timeout.into_iter().chain(patience).min()
            }
            Turner::Js => timeout,
        };
        loop {
            state.forwarder.take_in(&mut state.event_loop);
            state.forwarder.take_earliest();
            if state.forwarder.take_published() {
                self.ring_for_events(state);
                if self.js_polls.load(Ordering::Relaxed) {
                    return Some(Duration::ZERO);
                }
            }
            state.forwarder.check_room();
            if self.has_failed(state) || state.forwarder.wants_turn() {
                return Some(Duration::ZERO);
            }
            let (free, starved) = (state.forwarder.free(), state.forwarder.is_starved());
            let sleep = state.event_loop.prepare(timeout, ROOM);
            if sleep == Some(Duration::ZERO) {
                return sleep;
            }
            let want_room = self.memory.get(layout::WANT_ROOM);
            if starved {
                want_room.store(1, Ordering::SeqCst);
                // JavaScript does not sleep beside what it has not read, unless somebody has overwritten how far that is.
                if self.turner() == Turner::Thread && self.has_events() {
                    self.ring_for_events(state);
                }
            }
            self.loop_parking.park();
            // Either we see what JavaScript has written and read by now, or it sees that we wait.
            let has_room_now = starved && state.forwarder.has_more_room(free);
            if !has_room_now && !state.forwarder.has_news() {
                state.sleep = Sleep::Until(state.event_loop.next_deadline());
                self.heed(state);
                return sleep;
            }
            self.loop_parking.unpark();
            want_room.store(0, Ordering::SeqCst);
        }
    }

    /// Sleeps, for `at_most` so long, until JavaScript has read all events. It does not where a spin was asked for, which
    /// is to find events at once, or where there are connections, whose bytes do not wait for JavaScript.
    pub fn wait_until_read(&self, at_most: Duration) {
        let mut state = self.lock();
        let Some(open) = &mut *state else {
            return;
        };
        if !self.spin.is_zero() || open.forwarder.connections().is_some() {
            return;
        }
        let want_room = self.memory.get(layout::WANT_ROOM);
        want_room.store(1, Ordering::SeqCst);
        // Either we see that JavaScript has read all, or it sees, when it has, that we wait.
        fence(Ordering::SeqCst);
        if self.has_events() {
            open.sleep = Sleep::UntilRead;
            let woken = self.read.wait_timeout(state, at_most);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        want_room.store(0, Ordering::SeqCst);
        if let Some(open) = &mut *state {
            open.sleep = Sleep::Awake;
        }
    }

    /// Publishes what JavaScript has written and does not get to publish: whether there was any. And for how long the
    /// thread that looks may sleep.
    fn look_out_in(&self, state: &mut State) -> (bool, Option<Duration>) {
        if state.forwarder.connections().is_none() {
            return (false, None);
        }
        let looked = state.forwarder.look_for_unpublished();
        if !looked.goes_on {
            self.lookout.park();
            // Either we see what JavaScript has written by now, or it sees that nobody looks.
            if !state.forwarder.has_unpublished() {
                return (false, None);
            }
        }
        self.lookout.unpark();
        (looked.published, Some(Unpublished::PATIENCE))
    }

    /// For the thread that stands by: has obeyed what JavaScript has written and does not get to publish. For how long it
    /// may sleep, unless its bell is rung: until the next deadline, and until it is to look again.
    #[cfg(unix)]
    pub fn look_out(&self) -> Option<Duration> {
        let mut state = self.lock();
        let state = state.as_mut()?;
        let (published, patience) = self.look_out_in(state);
        // What was published to a thread that has just handed the loop over, nobody else obeys either.
        if published || state.forwarder.has_commands() {
            self.work(state);
            state.forwarder.take_published();
            self.call_js(state);
            if self.try_baton().is_none() {
                // It sleeps in the poll itself, in a runSync that has just begun.
                self.wakeup.wake();
            }
        }
        let next = state.event_loop.next_deadline();
        state.watch = Sleep::Until(next);
        let left = next.map(|at| at.saturating_duration_since(Instant::now()));
        left.into_iter().chain(patience).min()
    }

    /// The thread that stands by is awake again. Whether a deadline has passed by `now`.
    #[cfg(unix)]
    pub fn end_look_out(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let Some(state) = &mut *state else {
            return false;
        };
        state.watch = Sleep::Awake;
        let next = state.event_loop.next_deadline();
        next.is_some_and(|at| at <= now)
    }

    /// Has JavaScript flush, and arm whatever it sleeps in. Until then only the doorbell may reach it.
    #[cfg(unix)]
    fn call_js(&self, state: &mut State) {
        state.forwarder.expect_messages();
        self.doorbell.ring();
    }

    /// Looks again for a while before it sleeps, which costs a wake-up.
    fn spin_for_events(
        &self,
        poller: &mut Poller,
        started: Instant,
        sleep: Option<Duration>,
    ) -> io::Result<Option<Duration>> {
        let spin = sleep.map_or(self.spin, |sleep| sleep.min(self.spin));
        loop {
            poller.wait(Some(Duration::ZERO))?;
            let spent = started.elapsed();
            if !poller.is_empty() || self.has_news() {
                return Ok(Some(Duration::ZERO));
            }
            if spent >= spin {
                return Ok(sleep.map(|sleep| sleep.saturating_sub(spent)));
            }
        }
    }

    fn has_news(&self) -> bool {
        let state = self.lock();
        state
            .as_ref()
            .is_some_and(|state| state.forwarder.has_news())
    }

    /// Does the loop's work but for the poll, on the thread that has just given it some: takes in
    /// the commands and delivers what needs no poll. A sleeping loop goes on sleeping, unless its
    /// next deadline is nearer now.
    pub fn flush(&self) {
        let mut state = self.lock();
        let Some(state) = &mut *state else {
            return;
        };
        self.work(state);
        // JavaScript, which has called, will see what there is.
        state.forwarder.take_published();
    }

    /// What [`flush`](Self::flush) does.
    fn work(&self, state: &mut State) {
        let mut earliest = None;
        loop {
            state.forwarder.take_in(&mut state.event_loop);
            if self.has_failed(state) {
                return;
            }
            if let Some(set) = state.forwarder.take_earliest() {
                earliest = Some(earliest.map_or(set, |at: Instant| at.min(set)));
            }
            let due = earliest.is_some_and(|deadline| deadline <= Instant::now());
            if state.forwarder.has_posted() || due {
                let done = state.event_loop.dispatch(None, &mut state.forwarder, ROOM);
                state.count(&done);
            }
            if !state.forwarder.has_backlog() {
                break;
            }
        }
        state.forwarder.check_room();
        if self.has_failed(state) {
            return;
        }
        let want_room = self.memory.get(layout::WANT_ROOM);
        let wanted = want_room.swap(0, Ordering::SeqCst) != 0;
        let wants_turn = state.forwarder.wants_turn();
        if wanted || (wants_turn && state.sleep != Sleep::Awake) {
            // What waits for room, or for its turn, is the turner's to see to.
            self.wake_loop(state);
        }
        if state.forwarder.is_starved() && !wants_turn {
            let free = state.forwarder.free();
            want_room.store(1, Ordering::SeqCst);
            // Either we see what JavaScript, if it is not what has called, has read by now, or it sees that room is wanted.
            fence(Ordering::SeqCst);
            if state.forwarder.has_more_room(free) {
                want_room.store(0, Ordering::SeqCst);
                self.wake_loop(state);
            }
        }
        self.heed(state);
    }

    /// Wakes who sleeps beyond the next deadline.
    fn heed(&self, state: &mut State) {
        if state.sleep == Sleep::Awake && state.watch == Sleep::Awake {
            return;
        }
        let Some(next) = state.event_loop.next_deadline() else {
            return;
        };
        if state.sleep.shorten(next) {
            self.wake_loop(state);
        }
        #[cfg(unix)]
        if state.watch.shorten(next)
            && let Some(bell) = &state.bell
        {
            bell.ring();
        }
    }

    /// Tells how a thread that stands by is called away.
    #[cfg(unix)]
    pub fn set_bell(&self, bell: Arc<Bell>) {
        if let Some(state) = &mut *self.lock() {
            state.bell = Some(bell);
        }
    }

    /// Lets `change` at the loop and the forwarder, from any thread; `None` once the loop is closed.
    pub fn change<R>(
        &self,
        change: impl FnOnce(&mut EventLoop<Forwarder>, &mut Forwarder) -> R,
    ) -> Option<R> {
        let mut state = self.lock();
        let state = state.as_mut()?;
        let result = change(&mut state.event_loop, &mut state.forwarder);
        self.heed(state);
        Some(result)
    }

    /// The earliest deadline, for those who sleep elsewhere than in the poll.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.lock().as_mut()?.event_loop.next_deadline()
    }

    /// Wakes whoever turns the loop.
    pub fn wake(&self) {
        if let Some(state) = &mut *self.lock() {
            self.wake_loop(state);
        }
    }

    fn wake_loop(&self, state: &mut State) {
        state.forwarder.add(layout::METRIC_DOORBELLS_TO_LOOP, 1);
        if state.sleep == Sleep::UntilRead {
            self.read.notify_one();
        } else {
            self.wakeup.wake();
        }
    }

    /// Something is in the event ring: rings for JavaScript if it has said that it sleeps.
    fn ring_for_events(&self, state: &mut State) {
        if self.js_parking.ring() && !self.js_polls.load(Ordering::Relaxed) {
            state.forwarder.add(layout::METRIC_DOORBELLS_TO_JS, 1);
            self.doorbell.ring();
        }
    }

    /// Wakes the JS thread, wherever it sleeps. For Senders, which have seen that it is parked.
    pub fn ring_js(&self) {
        if let Some(state) = &*self.lock() {
            state.forwarder.add(layout::METRIC_DOORBELLS_TO_JS, 1);
        }
        self.wake_js();
    }

    fn ring_js_if_parked(&self, state: &State) {
        if self.js_parking.ring() {
            state.forwarder.add(layout::METRIC_DOORBELLS_TO_JS, 1);
            self.wake_js();
        }
    }

    fn wake_js(&self) {
        if self.js_polls.load(Ordering::Relaxed) {
            self.wakeup.wake();
        } else {
            self.doorbell.ring();
        }
    }

    /// Says who turns the loop from now on, which says, too, where the JS thread sleeps.
    pub fn set_turner(&self, turner: Turner) {
        // Under the lock, so that nobody settles down to sleep who has just lost his turn.
        let _state = self.lock();
        let number = match turner {
            Turner::Thread => layout::TURNER_THREAD,
            Turner::Js => layout::TURNER_JS,
        };
        self.js_polls.store(turner == Turner::Js, Ordering::SeqCst);
        self.memory
            .get(layout::TURNER)
            .store(number, Ordering::SeqCst);
    }

    /// Who turns the loop.
    pub fn turner(&self) -> Turner {
        if self.js_polls.load(Ordering::SeqCst) {
            Turner::Js
        } else {
            Turner::Thread
        }
    }

    /// The JS thread begins a turn, or has had one.
    pub fn note_js_turn(&self) {
        let now = self.epoch.elapsed().as_nanos() as u64;
        self.js_turn_at.store(now, Ordering::Release);
    }

    /// When the JS thread last began a turn, or ended it.
    pub fn js_turn_at(&self) -> Instant {
        self.epoch + Duration::from_nanos(self.js_turn_at.load(Ordering::Acquire))
    }

    /// How far JavaScript has read the event ring, and how far it was written; counts that wrap.
    pub fn event_counts(&self) -> (u32, u32) {
        let word = |index| self.memory.get(index).load(Ordering::Acquire);
        (word(layout::EVENT_HEAD), word(layout::EVENT_TAIL))
    }

    /// The loop goes from one thread to the other.
    #[cfg(unix)]
    pub fn hand_over(&self, to: Turner) {
        self.set_turner(to);
        if let Some(state) = &mut *self.lock() {
            state.forwarder.add(layout::METRIC_HANDOVERS, 1);
            // A Sender that has seen that JavaScript sleeps may just be waking it where it slept until now.
            self.call_js(state);
        }
    }

    /// Marks the JS thread as asleep before it polls; false if somebody was faster who has something for it.
    pub fn park_js(&self) -> bool {
        self.js_parking.park();
        if self.memory.get(layout::MAIL).load(Ordering::SeqCst) != 0 || self.has_events() {
            self.js_parking.unpark();
            return false;
        }
        true
    }

    /// The JS thread is awake.
    pub fn unpark_js(&self) {
        self.js_parking.unpark();
    }

    /// Whether records wait in the event ring, or the loop has failed.
    pub fn has_events(&self) -> bool {
        let word = |index| self.memory.get(index).load(Ordering::Acquire);
        word(layout::EVENT_TAIL) != word(layout::EVENT_HEAD) || word(layout::FAULT) != 0
    }

    /// Spins, for at most the configured time, until records wait in the event ring.
    pub fn spin_for_records(&self) {
        let started = Instant::now();
        while !self.has_events()
            && self.memory.get(layout::MAIL).load(Ordering::Relaxed) == 0
            && started.elapsed() < self.spin
        {
            std::hint::spin_loop();
        }
    }

    /// How long [`turn`](Self::turn) looks again before it sleeps.
    pub fn spin(&self) -> Duration {
        self.spin
    }

    /// Turns the loop by `turning`, where nobody could take an error or a panic: JavaScript learns
    /// that the loop has failed.
    pub fn guard(&self, turning: impl FnOnce() -> io::Result<()>) {
        let why = match catch_unwind(AssertUnwindSafe(turning)) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => format!("the poll failed: {error}"),
            Err(panic) => format!("the loop panicked: {}", message(&*panic)),
        };
        if let Some(state) = &mut *self.lock() {
            self.fail(state, why);
        }
    }

    /// Whether the loop has failed, by now or before: then it is turned no more.
    fn has_failed(&self, state: &mut State) -> bool {
        if let Some(fault) = state.forwarder.take_fault() {
            self.fail(state, fault);
        }
        state.fault.is_some()
    }

    fn fail(&self, state: &mut State, why: String) {
        state.fault.get_or_insert(why);
        self.memory.get(layout::FAULT).store(1, Ordering::SeqCst);
        // Whoever turns the loop, this may be another thread.
        self.ring_js_if_parked(state);
    }

    /// Why the loop has failed, if it has.
    pub fn why(&self) -> Option<String> {
        self.lock().as_ref()?.fault.clone()
    }

    /// Milliseconds since the loop's epoch.
    pub fn now(&self) -> f64 {
        self.epoch.elapsed().as_secs_f64() * 1e3
    }

    /// Gives the loop its connections, over their memory.
    pub fn open_connections(&self, memory: &Words) {
        self.with_forwarder(|forwarder| forwarder.open_connections(memory));
        // A thread that sleeps by now has not looked for them.
        self.lookout.park();
    }

    /// Lets `change` at the forwarder; `None` once the loop is closed.
    pub fn with_forwarder<R>(&self, change: impl FnOnce(&mut Forwarder) -> R) -> Option<R> {
        Some(change(&mut self.lock().as_mut()?.forwarder))
    }

    fn lock(&self) -> MutexGuard<'_, Option<State>> {
        // A panic is caught at the root of the loop thread and ends the loop; until it is closed
        // the state is still good enough to be taken apart.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "no message"
    }
}

impl State {
    fn count(&mut self, done: &miolo::Dispatched) {
        self.forwarder.add(layout::METRIC_ITERATIONS, 1);
        if done.interrupted {
            self.forwarder.add(layout::METRIC_INTERRUPTED, 1);
        }
    }
}
