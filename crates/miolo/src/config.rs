use crate::error::Error;

/// How an [`EventLoop`](crate::EventLoop) is made.
///
/// | setting | default |
/// |---|---|
/// | [`notify_capacity`](EventLoopConfig::notify_capacity) | 4096 messages |
/// | [`messages_per_tick`](EventLoopConfig::messages_per_tick) | 256 messages |
/// | [`timer_tick_ms`](EventLoopConfig::timer_tick_ms) | 1 ms |
/// | [`timer_capacity`](EventLoopConfig::timer_capacity) | 65 536 timers |
///
/// ```
/// use miolo::{EventLoop, EventLoopConfig, Handler};
///
/// struct Idle;
///
/// impl Handler for Idle {
///     type Timeout = ();
///     type Message = ();
/// }
///
/// let mut config = EventLoopConfig::new();
/// config.notify_capacity(1_048_576).messages_per_tick(64);
/// let event_loop = EventLoop::<Idle>::configured(config)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct EventLoopConfig {
    pub(crate) notify_capacity: usize,
    pub(crate) messages_per_tick: usize,
    pub(crate) timer_tick_ms: u64,
    pub(crate) timer_capacity: usize,
}

/// The most messages or timers that may wait: what their 32-bit indices, and sane memory, allow.
pub(crate) const MAX_CAPACITY: usize = 1 << 24;

impl EventLoopConfig {
    /// The defaults.
    pub fn new() -> EventLoopConfig {
        EventLoopConfig {
            notify_capacity: 4096,
            messages_per_tick: 256,
            timer_tick_ms: 1,
            timer_capacity: 65_536,
        }
    }

    /// How many messages may wait in the channel, exactly: 1 to 2^24.
    pub fn notify_capacity(&mut self, messages: usize) -> &mut Self {
        self.notify_capacity = messages;
        self
    }

    /// How many messages one iteration delivers at most: 1 or more.
    pub fn messages_per_tick(&mut self, messages: usize) -> &mut Self {
        self.messages_per_tick = messages;
        self
    }

    /// The resolution of timers, in milliseconds: 1 or more. Deadlines are rounded up to it, so that none
    /// is early; with 1, to half a millisecond.
    pub fn timer_tick_ms(&mut self, milliseconds: u64) -> &mut Self {
        self.timer_tick_ms = milliseconds;
        self
    }

    /// Without effect: the wheel here is hierarchical and needs no size. For programs written for mio.
    pub fn timer_wheel_size(&mut self, slots: usize) -> &mut Self {
        let _ = slots;
        self
    }

    /// How many timers may be set at a time: up to 2^24.
    pub fn timer_capacity(&mut self, timers: usize) -> &mut Self {
        self.timer_capacity = timers;
        self
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if !(1..=MAX_CAPACITY).contains(&self.notify_capacity) {
            return Err(Error::Config("notify_capacity must be 1 to 2^24"));
        }
        if self.messages_per_tick == 0 {
            return Err(Error::Config("messages_per_tick must be 1 or more"));
        }
        if self.timer_tick_ms == 0 {
            return Err(Error::Config("timer_tick_ms must be 1 or more"));
        }
        if self.timer_capacity > MAX_CAPACITY {
            return Err(Error::Config("timer_capacity must be at most 2^24"));
        }
        Ok(())
    }
}

impl Default for EventLoopConfig {
    fn default() -> EventLoopConfig {
        EventLoopConfig::new()
    }
}
