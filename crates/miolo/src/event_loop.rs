use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::channel::{Channel, NotifyError, Sender};
use crate::config::EventLoopConfig;
use crate::error::Error;
use crate::poller::Poller;
use crate::registry::{self, Registrar, RegistrationId};
use crate::timer::Timers;
use crate::wakeup::{Bed, Wakeup};
use crate::{EventSet, Evented, Handler, PollOpt, Timeout, TimerResult, Token};

/// The loop: it waits for events, messages and timers, and calls a [`Handler`].
///
/// See the [crate's documentation](crate) for the order of an iteration.
///
/// # Turning the loop by hand
///
/// [`run_once`](EventLoop::run_once) is [`prepare`](EventLoop::prepare), [`Poller::wait`] and
/// [`dispatch`](EventLoop::dispatch). A program that needs the loop while its poll sleeps, say to set
/// timers from another thread, calls the three itself, and keeps the loop unlocked in between:
///
/// ```
/// use std::sync::Mutex;
/// # use miolo::{EventLoop, Handler, Room};
/// #
/// # struct Count(u32);
/// #
/// # impl Handler for Count {
/// #     type Timeout = ();
/// #     type Message = ();
/// #
/// #     fn timeout(&mut self, _: &mut EventLoop<Self>, _: ()) {
/// #         self.0 += 1;
/// #     }
/// # }
///
/// let event_loop = Mutex::new(EventLoop::new()?);
/// let mut handler = Count(0);
/// let mut poller = event_loop.lock().unwrap().take_poller().unwrap();
/// let wakeup = event_loop.lock().unwrap().wakeup();
///
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         event_loop.lock().unwrap().timeout_ms((), 5).unwrap();
///         wakeup.wake(); // it may be sleeping past that deadline
///     });
///     while handler.0 == 0 {
///         let room = Room { messages: 256, timeouts: usize::MAX };
///         let sleep = event_loop.lock().unwrap().prepare(None, room);
///         poller.wait(sleep)?; // unlocked
///         event_loop.lock().unwrap().dispatch(Some(&mut poller), &mut handler, room);
///     }
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct EventLoop<H: Handler> {
    room: Room,
    registrar: Registrar,
    /// `None` while somebody has taken it.
    poller: Option<Poller>,
    channel: Arc<Channel<H::Message>>,
    bed: Arc<Bed>,
    timers: Timers<H::Timeout>,
    /// The registrations that have news, in the order reported.
    ready: Vec<RegistrationId>,
    /// How many of `ready` have had their turn; less than all of them only if a callback panicked.
    delivered: usize,
    /// The level registrations that have been delivered, to be asked for again before the next poll.
    levels: Vec<RegistrationId>,
    running: bool,
    /// `shutdown` was called, and no `run` has ended since.
    stop: bool,
    /// In a callback.
    dispatching: bool,
}

/// How many messages and timeouts a handler can take in one iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// At most so many messages are delivered. If 0, the poll sleeps though messages wait.
    pub messages: usize,
    /// At most so many timeouts are delivered. If 0, the poll sleeps though timers are due.
    pub timeouts: usize,
}

impl From<&EventLoopConfig> for Room {
    /// What `run` gives its handler: `messages_per_tick` messages, and every timeout.
    fn from(config: &EventLoopConfig) -> Room {
        Room {
            messages: config.messages_per_tick,
            timeouts: usize::MAX,
        }
    }
}

impl Default for Room {
    /// That of the default config.
    fn default() -> Room {
        Room::from(&EventLoopConfig::new())
    }
}

/// What one [`dispatch`](EventLoop::dispatch) delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dispatched {
    /// Calls of `ready`.
    pub readies: usize,
    /// Calls of `notify`.
    pub messages: usize,
    /// Calls of `timeout`.
    pub timeouts: usize,
    /// Whether `interrupted` was called.
    pub interrupted: bool,
}

impl<H: Handler> EventLoop<H> {
    /// A loop with the default config.
    ///
    /// # Errors
    ///
    /// What the system says, when it is out of descriptors for example.
    pub fn new() -> io::Result<EventLoop<H>> {
        EventLoop::configured(EventLoopConfig::new())
    }

    /// A loop with this config.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if a setting is out of range; or what the system says.
    pub fn configured(config: EventLoopConfig) -> io::Result<EventLoop<H>> {
        config.check()?;
        let poll = mio::Poll::new()?;
        let bed = Arc::new(Bed::new(mio::Waker::new(poll.registry(), registry::WAKE)?));
        let registrar = Registrar::new(poll.registry().try_clone()?);
        Ok(EventLoop {
            room: Room::from(&config),
            poller: Some(Poller::new(poll, registrar.clone())),
            registrar,
            channel: Arc::new(Channel::new(config.notify_capacity, Arc::clone(&bed))),
            bed,
            timers: Timers::new(Instant::now(), config.timer_tick_ms, config.timer_capacity),
            ready: Vec::new(),
            delivered: 0,
            levels: Vec::new(),
            running: true,
            stop: false,
            dispatching: false,
        })
    }

    /// A sender of messages to this loop, for any thread.
    pub fn channel(&self) -> Sender<H::Message> {
        Sender::new(Arc::clone(&self.channel))
    }

    /// Sets a timer: `timeout` is called with `payload` once `delay` milliseconds have passed, rounded
    /// up as [`timer_tick_ms`](EventLoopConfig::timer_tick_ms) says.
    ///
    /// # Errors
    ///
    /// If as many timers are set as
    /// [`timer_capacity`](EventLoopConfig::timer_capacity) allows.
    pub fn timeout_ms(&mut self, payload: H::Timeout, delay: u64) -> TimerResult<Timeout> {
        self.timers.set_after(payload, delay, Instant::now())
    }

    /// Sets a timer for an instant, rounded up likewise. One in the past is due now.
    ///
    /// # Errors
    ///
    /// As [`timeout_ms`](EventLoop::timeout_ms).
    pub fn timeout_at(&mut self, payload: H::Timeout, deadline: Instant) -> TimerResult<Timeout> {
        self.timers.set_at(payload, deadline)
    }

    /// Clears a timer. Whether it had been set and neither delivered nor cleared: if so, it will not be
    /// delivered, though it may be due in this very iteration.
    pub fn clear_timeout(&mut self, timeout: Timeout) -> bool {
        self.timers.clear(timeout).is_some()
    }

    /// Ends [`run`](EventLoop::run) after the iteration in progress: its messages, its timeouts and its
    /// tick still come. If the loop is not running, the next `run` returns at once; not so if the run
    /// that it was called in has panicked since, or failed.
    pub fn shutdown(&mut self) {
        self.running = false;
        self.stop = true;
    }

    /// Whether `shutdown` has not been called: true from the start, and again once `run` goes on.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Watches a source: `ready` is called with `token` when something of `interest`, an error or a
    /// hang-up happens to it.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the source, or a clone of it, is registered with this loop; `Other` if with
    /// another; or what the system says.
    pub fn register<E: Evented + ?Sized>(
        &self,
        io: &E,
        token: Token,
        interest: EventSet,
        opt: PollOpt,
    ) -> io::Result<()> {
        self.registrar.register(io, token, interest, opt)
    }

    /// Changes a registration, or arms a oneshot again. What the source is ready for by then is
    /// reported anew, also for an edge.
    ///
    /// # Errors
    ///
    /// `NotFound` if the source is not registered; `Other` if it is registered with another loop; or
    /// what the system says: the registration is then as it was.
    pub fn reregister<E: Evented + ?Sized>(
        &self,
        io: &E,
        token: Token,
        interest: EventSet,
        opt: PollOpt,
    ) -> io::Result<()> {
        self.registrar.reregister(io, token, interest, opt)
    }

    /// Ends a registration. Nothing of it is delivered any more, whatever has been reported.
    ///
    /// # Errors
    ///
    /// `NotFound` if the source is not registered; `Other` if it is registered with another loop; or
    /// what the system says: the registration is gone nevertheless.
    pub fn deregister<E: Evented + ?Sized>(&self, io: &E) -> io::Result<()> {
        self.registrar.deregister(io)
    }

    /// Registers sources from any thread.
    pub fn registrar(&self) -> Registrar {
        self.registrar.clone()
    }

    /// Wakes the loop from any thread.
    pub fn wakeup(&self) -> Wakeup {
        Wakeup {
            bed: Arc::clone(&self.bed),
        }
    }

    /// Turns the loop until [`shutdown`](EventLoop::shutdown). It can be run again afterwards;
    /// registrations, timers and messages are still there.
    ///
    /// # Errors
    ///
    /// What the system says of the poll; `ResourceBusy` if the loop is running already, which is to say
    /// in a callback, or has no poller.
    pub fn run(&mut self, handler: &mut H) -> io::Result<()> {
        self.check()?;
        self.running = !self.stop;
        let done = catch_unwind(AssertUnwindSafe(|| {
            while !self.stop {
                self.run_once(handler, None)?;
            }
            Ok(())
        }));
        // However the run has ended: a shutdown that came during it was not for the next one.
        self.stop = false;
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Turns the loop once. Waits for something to happen, but no longer than `timeout_ms`
    /// milliseconds (`None`: as long as it takes).
    ///
    /// # Errors
    ///
    /// As [`run`](EventLoop::run).
    pub fn run_once(&mut self, handler: &mut H, timeout_ms: Option<usize>) -> io::Result<()> {
        self.check()?;
        let timeout = timeout_ms.map(|ms| Duration::from_millis(ms as u64));
        let sleep = self.prepare(timeout, self.room);
        let poller = self.poller.as_mut().ok_or(Error::PollerTaken)?;
        poller.wait(sleep)?;
        let interrupted = collect(poller, &self.bed, &mut self.ready);
        self.deliver(handler, self.room, interrupted);
        Ok(())
    }

    /// Takes the poll out of the loop, so that it can sleep while the loop is in other hands. `None` if
    /// somebody has it. Until it is restored, `run` and `run_once` fail.
    pub fn take_poller(&mut self) -> Option<Poller> {
        self.poller.take()
    }

    /// Puts the poll back.
    ///
    /// # Panics
    ///
    /// If it is another loop's.
    pub fn restore_poller(&mut self, poller: Poller) {
        self.check_poller(&poller);
        self.poller = Some(poller);
    }

    /// To be called before the poll sleeps: how long it may.
    ///
    /// That is until `timeout` has passed or the next timer is due; not at all if messages wait, if
    /// events are held that a panic kept from being delivered, or if the loop has been woken. What the
    /// handler has no room for does not count. Asks the system anew for the level registrations that
    /// have been delivered.
    ///
    /// If the answer is not zero, messages and [`Wakeup`]s end the sleep from now on, until the next
    /// `prepare`, or `dispatch` with a poller. A timer that is set meanwhile does not: compare
    /// [`next_deadline`](EventLoop::next_deadline) before and after, and wake the loop.
    pub fn prepare(&mut self, timeout: Option<Duration>, room: Room) -> Option<Duration> {
        self.rearm_levels();
        // Both, and an interrupt until it is delivered: who asks a second time has not delivered it.
        let woken = self.bed.unpark() | self.bed.is_interrupted();
        let held = self.delivered < self.ready.len();
        let heeds_messages = room.messages > 0;
        if woken || held || (heeds_messages && !self.channel.is_empty()) {
            return Some(Duration::ZERO);
        }
        let mut sleep = timeout;
        if room.timeouts > 0
            && let Some(deadline) = self.timers.next_deadline()
        {
            let until = deadline.saturating_duration_since(Instant::now());
            sleep = Some(sleep.map_or(until, |sleep| sleep.min(until)));
        }
        if sleep == Some(Duration::ZERO) {
            return sleep;
        }
        if !self.bed.park(heeds_messages) || (heeds_messages && !self.channel.is_empty()) {
            self.bed.unpark();
            return Some(Duration::ZERO);
        }
        sleep
    }

    /// The deadline of the earliest timer. After [`prepare`](EventLoop::prepare): what the poll was
    /// told not to sleep past.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    /// The moment that the ticks are counted from to which deadlines are rounded up.
    pub fn epoch(&self) -> Instant {
        self.timers.epoch()
    }

    /// Calls the callbacks of one iteration, in order, `tick` last.
    ///
    /// `poller` brings what its last [`wait`](Poller::wait) collected, which is taken out of it before
    /// the first callback. Without one, it is an iteration without a poll, which leaves alone whoever
    /// sleeps in it.
    ///
    /// From within a callback it does nothing.
    ///
    /// # Panics
    ///
    /// If the poller is another loop's; and with whatever a callback panics.
    pub fn dispatch(
        &mut self,
        poller: Option<&mut Poller>,
        handler: &mut H,
        room: Room,
    ) -> Dispatched {
        if self.dispatching {
            return Dispatched::default();
        }
        let interrupted = match poller {
            Some(poller) => {
                self.check_poller(poller);
                collect(poller, &self.bed, &mut self.ready)
            }
            None => self.bed.take_interrupt(),
        };
        self.deliver(handler, room, interrupted)
    }

    /// Queues a message, as [`Sender::send`] does, but wakes nobody: for whoever holds the loop.
    ///
    /// # Errors
    ///
    /// [`NotifyError::Full`], with the message.
    pub fn post(&mut self, message: H::Message) -> Result<(), NotifyError<H::Message>> {
        self.channel.push(message)
    }

    fn check(&self) -> Result<(), Error> {
        if self.dispatching {
            Err(Error::Running)
        } else if self.poller.is_none() {
            Err(Error::PollerTaken)
        } else {
            Ok(())
        }
    }

    fn check_poller(&self, poller: &Poller) {
        assert!(
            self.registrar.is(&poller.registrar),
            "the poller is another event loop's"
        );
    }

    fn rearm_levels(&mut self) {
        for id in self.levels.drain(..) {
            // A level that cannot be asked for again would be silent for good; let its handler know.
            if self.registrar.rearm_level(id).is_err() && self.registrar.hold(id, EventSet::error())
            {
                self.ready.push(id);
            }
        }
    }

    /// Calls the callbacks, and notes that it does, also when one panics.
    fn deliver(&mut self, handler: &mut H, room: Room, interrupted: bool) -> Dispatched {
        self.dispatching = true;
        let done = catch_unwind(AssertUnwindSafe(|| {
            self.call_back(handler, room, interrupted)
        }));
        self.dispatching = false;
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn call_back(&mut self, handler: &mut H, room: Room, interrupted: bool) -> Dispatched {
        let messages = self.channel.len().min(room.messages);
        let mut done = Dispatched {
            interrupted,
            ..Dispatched::default()
        };
        if interrupted {
            handler.interrupted(self);
        }
        done.readies = self.call_ready(handler);
        for _ in 0..messages {
            let Some(message) = self.channel.pop() else {
                break;
            };
            handler.notify(self, message);
            done.messages += 1;
        }
        if room.timeouts > 0 && !self.timers.is_empty() {
            done.timeouts = self.call_timeout(handler, room.timeouts, Instant::now());
        }
        handler.tick(self);
        done
    }

    fn call_ready(&mut self, handler: &mut H) -> usize {
        let mut readies = 0;
        while let Some(&id) = self.ready.get(self.delivered) {
            self.delivered += 1;
            // Looked up only now: a callback before this one may have changed or ended it.
            let Some(ready) = self.registrar.take_ready(id) else {
                continue;
            };
            if ready.level {
                self.levels.push(id);
            }
            handler.ready(self, ready.token, ready.events);
            readies += 1;
        }
        self.ready.clear();
        self.delivered = 0;
        readies
    }

    /// A timer set by one of these callbacks is not among them, though it may be due.
    fn call_timeout(&mut self, handler: &mut H, room: usize, now: Instant) -> usize {
        let mut timeouts = 0;
        self.timers.advance(now);
        while timeouts < room
            && let Some(payload) = self.timers.pop_due()
        {
            handler.timeout(self, payload);
            timeouts += 1;
        }
        timeouts
    }
}

/// Takes what the poll has brought, before the first callback. Whether to call `interrupted`.
fn collect(poller: &mut Poller, bed: &Bed, ready: &mut Vec<RegistrationId>) -> bool {
    bed.unpark();
    if !poller.events.is_empty() {
        poller.registrar.collect(&poller.events, ready);
        poller.events.clear();
    }
    std::mem::take(&mut poller.interrupted) | bed.take_interrupt()
}

impl<H: Handler> Drop for EventLoop<H> {
    fn drop(&mut self) {
        self.registrar.close();
        self.bed.close();
        // Last, since what a message does when it is dropped is not ours to know.
        self.channel.close();
    }
}

impl<H: Handler> fmt::Debug for EventLoop<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}
