//! The functions behind TypeScript's `EventLoop`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::c_void;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use miolo_bridge::{Layout, layout};
use miolo_server::ServerId;
use napi::bindgen_prelude::{Buffer, Function};
use napi::{Either, Env, Error, JsValue, Result, Status, sys};
use napi_derive::napi;

use crate::crank::{Crank, Settings, Turner};
#[cfg(unix)]
use crate::driver::embedded::Embedded;
use crate::driver::thread::LoopThread;
use crate::errno::errno;
use crate::handle::{Give, Handle, Held};
use crate::lanes::{self, Lanes};
use crate::memory::{Pinned, View};

/// A JS thread that sleeps in the poll looks up this often, so that `worker.terminate()` is seen.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// A loop as its isolate holds it.
pub struct LoopHandle {
    env: sys::napi_env,
    pub crank: Arc<Crank>,
    driver_kind: u32,
    driver: RefCell<Option<Driver>>,
    lanes: RefCell<Option<Shared>>,
    connections: RefCell<Option<Pinned>>,
    /// How many connections each server had refused when the loop was closed.
    pub refused_at_close: RefCell<HashMap<ServerId, u64>>,
    /// Dropped last: everything else may look into it.
    memory: RefCell<Option<Pinned>>,
    closed: Cell<bool>,
}

enum Driver {
    Thread(LoopThread),
    #[cfg(unix)]
    Embedded(Embedded),
    #[cfg(unix)]
    Auto(Embedded, LoopThread),
}

impl Driver {
    /// Whether it has a thread, which rings the doorbell.
    fn has_thread(&self) -> bool {
        match self {
            Driver::Thread(_) => true,
            #[cfg(unix)]
            Driver::Embedded(_) => false,
            #[cfg(unix)]
            Driver::Auto(..) => true,
        }
    }
}

/// A native thread turns the loop.
#[napi]
pub const DRIVER_THREAD: u32 = 0;
/// The JS thread does, out of Node's own loop.
#[napi]
pub const DRIVER_EMBEDDED: u32 = 1;
/// It does, and a native thread relieves it when it is busy with something else.
#[napi]
pub const DRIVER_AUTO: u32 = 2;

struct Shared {
    id: u32,
    lanes: Arc<Lanes>,
    memory: Pinned,
}

impl Held for LoopHandle {
    const TAG: u64 = 0x6d69_6f6c_6f01;

    fn released(&self) {
        self.close();
    }
}

/// The configuration, checked by TypeScript.
#[napi(object)]
pub struct LoopSettings {
    pub event_records: u32,
    pub command_records: u32,
    pub registrations: u32,
    pub notify_capacity: u32,
    pub messages_per_tick: u32,
    pub timer_tick_ms: u32,
    pub spin_us: u32,
    /// One of the `DRIVER_…` numbers.
    pub driver: u32,
}

/// Opens a loop over `memory`, which has the size of the settings' layout; or tells the errno.
#[napi(catch_unwind)]
pub fn loop_open(
    env: Env,
    settings: LoopSettings,
    memory: View,
) -> Result<Either<Give<LoopHandle>, i32>> {
    let layout = Layout::new(
        settings.event_records,
        settings.command_records,
        settings.registrations,
    );
    if memory.bytes().length < layout.words * 4 {
        return Err(Error::new(
            Status::InvalidArg,
            "the shared memory is too small",
        ));
    }
    let memory = memory.pin()?;
    let settings_of_crank = Settings {
        layout,
        notify_capacity: settings.notify_capacity,
        messages_per_tick: settings.messages_per_tick,
        timer_tick: Duration::from_millis(settings.timer_tick_ms.into()),
        spin: Duration::from_micros(settings.spin_us.into()),
    };
    let crank = match Crank::new(settings_of_crank, memory.words()) {
        Ok(crank) => crank,
        Err(error) => return Ok(Either::B(errno(&error))),
    };
    if settings.driver != DRIVER_THREAD {
        crank.set_turner(Turner::Js);
    }
    Ok(Either::A(Give(LoopHandle {
        env: env.raw(),
        crank: Arc::new(crank),
        driver_kind: settings.driver,
        driver: RefCell::new(None),
        lanes: RefCell::new(None),
        connections: RefCell::new(None),
        refused_at_close: RefCell::default(),
        memory: RefCell::new(Some(memory)),
        closed: Cell::new(false),
    })))
}

/// Has the loop's driver turn it, and `pump` called when there is something for JavaScript.
/// Returns 0, or the errno where there is no thread to be had.
#[napi(catch_unwind)]
pub fn loop_run(handle: Handle<LoopHandle>, pump: Function<'_, (), ()>) -> Result<i32> {
    let mut driver = handle.driver.borrow_mut();
    if driver.is_none() {
        match handle.start(pump.raw())? {
            Ok(started) => *driver = Some(started),
            Err(error) => return Ok(errno(&error)),
        }
    }
    match driver.as_ref() {
        #[cfg(unix)]
        Some(Driver::Embedded(embedded)) => {
            handle.crank.set_turner(Turner::Js);
            embedded.run();
        }
        #[cfg(unix)]
        Some(Driver::Auto(embedded, thread)) => {
            handle.crank.set_turner(Turner::Js);
            handle.crank.note_js_turn();
            embedded.run();
            thread.run();
        }
        Some(Driver::Thread(thread)) => {
            handle.crank.set_turner(Turner::Thread);
            thread.run();
        }
        None => {}
    }
    Ok(0)
}

/// Has the driver rest.
#[napi(catch_unwind)]
pub fn loop_rest(handle: Handle<LoopHandle>) {
    handle.crank.unpark_js();
    match handle.driver.borrow().as_ref() {
        Some(Driver::Thread(thread)) => thread.rest(),
        #[cfg(unix)]
        Some(Driver::Embedded(embedded)) => embedded.rest(),
        #[cfg(unix)]
        Some(Driver::Auto(embedded, thread)) => {
            thread.rest();
            embedded.rest();
        }
        None => {}
    }
}

/// Turns the loop once on the JS thread, which sleeps for `milliseconds` at most (negative: as
/// long as it likes, but it looks up now and then). Not to be mixed with a driver that runs.
#[napi(catch_unwind)]
pub fn loop_turn(handle: Handle<LoopHandle>, milliseconds: f64) {
    let crank = &handle.crank;
    crank.set_turner(Turner::Js);
    let mut poller = crank.baton();
    crank.set_turner(Turner::Js);
    let timeout = if !crank.park_js() {
        Duration::ZERO
    } else if milliseconds < 0.0 {
        LONGEST_SLEEP
    } else {
        Duration::try_from_secs_f64(milliseconds / 1e3)
            .unwrap_or(LONGEST_SLEEP)
            .min(LONGEST_SLEEP)
    };
    crank.guard(|| crank.turn(&mut poller, Some(timeout)));
    crank.unpark_js();
}

/// Has commands and messages taken in, and delivers what needs no poll.
#[napi(catch_unwind)]
pub fn loop_flush(handle: Handle<LoopHandle>) {
    handle.crank.flush();
    handle.sleep_in_libuv();
}

/// Wakes whoever turns the loop.
#[napi(catch_unwind)]
pub fn loop_wake(handle: Handle<LoopHandle>) {
    handle.crank.wake();
}

/// Has a native thread, if there is one, look for what is written and not published.
#[napi(catch_unwind)]
pub fn loop_look_out(handle: Handle<LoopHandle>) {
    match handle.driver.borrow().as_ref() {
        Some(Driver::Thread(thread)) => thread.look_out(),
        #[cfg(unix)]
        Some(Driver::Auto(_, thread)) => thread.look_out(),
        #[cfg(unix)]
        Some(Driver::Embedded(_)) => {}
        None => {}
    }
}

/// Looks for events for at most `spinUs` microseconds, on a JS thread that is about to sleep.
#[napi(catch_unwind)]
pub fn loop_spin(handle: Handle<LoopHandle>) {
    let crank = &handle.crank;
    if crank.turner() == Turner::Js
        && let Some(mut poller) = crank.try_baton()
    {
        let started = Instant::now();
        while !crank.has_events() && started.elapsed() < crank.spin() {
            crank.note_js_turn();
            crank.guard(|| crank.turn(&mut poller, Some(Duration::ZERO)));
        }
        drop(poller);
        handle.sleep_in_libuv();
    } else {
        crank.spin_for_records();
    }
}

/// Milliseconds since the loop's epoch, by the clock that its deadlines go by.
#[napi(catch_unwind)]
pub fn loop_now(handle: Handle<LoopHandle>) -> f64 {
    handle.crank.now()
}

/// Whether the running loop keeps the process alive.
#[napi(catch_unwind)]
pub fn loop_keep_alive(env: Env, handle: Handle<LoopHandle>, keep: bool) {
    match handle.driver.borrow().as_ref() {
        // SAFETY: this is the JS thread that the doorbell was opened on.
        Some(Driver::Thread(_)) => unsafe { handle.crank.doorbell.keep_alive(env.raw(), keep) },
        #[cfg(unix)]
        Some(Driver::Embedded(embedded)) => embedded.keep_alive(keep),
        #[cfg(unix)]
        Some(Driver::Auto(embedded, _)) => {
            embedded.keep_alive(keep);
            // SAFETY: this is the JS thread that the doorbell was opened on.
            unsafe { handle.crank.doorbell.keep_alive(env.raw(), keep) };
        }
        None => {}
    }
}

/// Ends the poll as a signal would.
#[napi(catch_unwind)]
pub fn loop_interrupt(handle: Handle<LoopHandle>) {
    handle.crank.wakeup.interrupt();
}

/// Why the loop has failed, if it has.
#[napi(catch_unwind)]
pub fn loop_why(handle: Handle<LoopHandle>) -> Option<String> {
    handle.crank.why()
}

/// Lets Senders in other isolates reach the loop through `memory`, the lanes; once.
#[napi(catch_unwind)]
pub fn loop_share(handle: Handle<LoopHandle>, memory: View, capacity: u32) -> Result<u32> {
    let mut shared = handle.lanes.borrow_mut();
    if let Some(shared) = &*shared {
        return Ok(shared.id);
    }
    if memory.bytes().length < layout::LANES_WORDS * 4 {
        return Err(Error::new(
            Status::InvalidArg,
            "the lanes' memory is too small",
        ));
    }
    let memory = memory.pin()?;
    let own = handle.memory.borrow();
    let address = own
        .as_ref()
        .map(Pinned::address)
        .ok_or_else(|| Error::new(Status::InvalidArg, "the loop is closed"))?;
    let lanes = Arc::new(Lanes::new(
        Arc::downgrade(&handle.crank),
        (address, memory.address()),
        capacity,
    ));
    handle
        .crank
        .with_forwarder(|forwarder| forwarder.set_lanes(memory.words()));
    let id = lanes::publish(lanes.clone());
    *shared = Some(Shared { id, lanes, memory });
    Ok(id)
}

/// The oldest spilled messages of a lane.
#[napi(catch_unwind)]
pub fn loop_take_spilled(handle: Handle<LoopHandle>, lane: u32) -> Option<Buffer> {
    let shared = handle.lanes.borrow();
    let shared = shared.as_ref()?;
    let messages = shared
        .lanes
        .unspill(&shared.memory.words(), lane as usize)?;
    Some(messages.into())
}

/// Stops the driver for good and lets go of the memory.
#[napi(catch_unwind)]
pub fn loop_close(handle: Handle<LoopHandle>) {
    handle.close();
}

impl LoopHandle {
    fn start(&self, pump: sys::napi_value) -> Result<io::Result<Driver>> {
        if self.closed.get() {
            return Err(Error::new(Status::InvalidArg, "the loop is closed"));
        }
        #[cfg(unix)]
        let embedded = if self.driver_kind == DRIVER_THREAD {
            None
        } else {
            let descriptor = self.crank.descriptor();
            // SAFETY: both come from the call under way.
            unsafe { Embedded::open(self.env, pump, &self.crank, descriptor) }?
        };
        #[cfg(unix)]
        if self.driver_kind == DRIVER_EMBEDDED
            && let Some(embedded) = embedded
        {
            return Ok(Ok(Driver::Embedded(embedded)));
        }
        // SAFETY: both come from the call under way.
        unsafe { self.crank.doorbell.open(self.env, pump) }?;
        #[cfg(unix)]
        let spawned = match embedded {
            Some(embedded) => LoopThread::spawn_for_relief(&self.crank, embedded.note_sleeps())
                .map(|thread| Driver::Auto(embedded, thread)),
            None => LoopThread::spawn(&self.crank).map(Driver::Thread),
        };
        #[cfg(not(unix))]
        let spawned = LoopThread::spawn(&self.crank).map(Driver::Thread);
        let driver = match spawned {
            Ok(driver) => driver,
            Err(error) => {
                self.crank.doorbell.close();
                return Ok(Err(error));
            }
        };
        // Added after the threadsafe function, so it runs before that is taken away.
        // SAFETY: `close` removes the hook before this object goes.
        unsafe {
            sys::napi_add_env_cleanup_hook(self.env, Some(stop), self.as_data());
        }
        Ok(Ok(driver))
    }

    /// Has the loop sleep, until whoever has something for it wakes it, where libuv watches it.
    fn sleep_in_libuv(&self) {
        #[cfg(unix)]
        if let Some(Driver::Embedded(embedded) | Driver::Auto(embedded, _)) =
            self.driver.borrow().as_ref()
        {
            embedded.arm();
        }
    }

    fn as_data(&self) -> *mut c_void {
        std::ptr::from_ref(self).cast_mut().cast()
    }

    /// Stops and joins whoever turns the loop. Idempotent.
    fn stop(&self) {
        // Taken out first: dropping the driver may call back.
        let driver = self.driver.borrow_mut().take();
        let has_thread = driver.as_ref().is_some_and(Driver::has_thread);
        drop(driver);
        if has_thread {
            self.crank.doorbell.close();
            // SAFETY: added by `start` with the same arguments.
            unsafe {
                sys::napi_remove_env_cleanup_hook(self.env, Some(stop), self.as_data());
            }
        }
    }

    fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        self.stop();
        if let Some(memory) = &*self.memory.borrow() {
            // Senders that still have the memory learn that nobody reads any more.
            let words = memory.words();
            let left = words.get(layout::LEFT).load(Ordering::SeqCst);
            let closed = left.wrapping_add(layout::QUEUE_CLOSED);
            words.get(layout::ENTERED).store(closed, Ordering::SeqCst);
        }
        let refusals = self.crank.with_forwarder(|forwarder| {
            let connections = forwarder.connections()?;
            Some(connections.table.refusals())
        });
        self.refused_at_close
            .replace(refusals.flatten().unwrap_or_default());
        // Nothing looks into the memory from here on, so it may go.
        self.crank.end();
        if let Some(shared) = self.lanes.borrow_mut().take() {
            lanes::withdraw(shared.id);
        }
        self.connections.borrow_mut().take();
        self.memory.borrow_mut().take();
    }

    /// Gives the loop a table of connections, whose bytes lie in `memory`.
    pub fn open_connections(&self, memory: Pinned) {
        let mut connections = self.connections.borrow_mut();
        if connections.is_none() && !self.closed.get() {
            let words = memory.words();
            self.crank.open_connections(&words);
            *connections = Some(memory);
        }
    }
}

unsafe extern "C" fn stop(data: *mut c_void) {
    // SAFETY: the hook is removed before the LoopHandle goes.
    unsafe { &*data.cast::<LoopHandle>() }.stop();
}
