//! The driver `embedded`: libuv watches the loop's descriptor and its next deadline, and the JS
//! thread turns the loop when there is something to do. No thread, no hand-over.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use napi::{Error, Result, Status, sys};

use super::awake::Awake;
use super::clock::Clock;
use super::uv::{self, Uv};
use crate::crank::{Crank, Turner};

type Handles = [*mut uv::Handle; 4];

/// What the handles take, in words of 64 bits, in the order in which they are listed.
fn sizes(uv: &Uv) -> [usize; 4] {
    // SAFETY: asks libuv for the size of one of its own handle types.
    let size = |kind| unsafe { (uv.uv_handle_size)(kind) }.div_ceil(8);
    // The alarm's is either of two.
    let alarm = size(uv::POLL).max(size(uv::TIMER));
    [size(uv::POLL), alarm, size(uv::IDLE), size(uv::PREPARE)]
}

/// A loop inside Node's. Everything here happens on its JS thread.
pub struct Embedded(Rc<Watch>);

struct Watch {
    uv: &'static Uv,
    env: sys::napi_env,
    uv_loop: *mut c_void,
    /// The handles live in memory of libuv's size, from `open` until libuv has closed them.
    poll: *mut uv::Handle,
    /// Watches the clock, or is a timer where there is none.
    alarm: *mut uv::Handle,
    clock: Option<Clock>,
    /// Runs when the loop has something to do right away, once Node has had a turn.
    idle: *mut uv::Handle,
    /// Runs before libuv sleeps, for `awake`.
    prepare: *mut uv::Handle,
    awake: Arc<Awake>,
    crank: Arc<Crank>,
    pump: sys::napi_ref,
    context: sys::napi_async_context,
    cleanup: Cell<sys::napi_async_cleanup_hook_handle>,
    /// The deadline that the alarm is set to.
    armed: Cell<Option<Instant>>,
    running: Cell<bool>,
    /// libuv watches the descriptor.
    watching: Cell<bool>,
    closed: Cell<bool>,
    open_handles: Cell<u8>,
}

impl Embedded {
    /// Prepares to watch `descriptor`; `None` where this process has no libuv to offer.
    ///
    /// # Safety
    /// `env` and `pump`, a function, belong to the call that is under way.
    pub unsafe fn open(
        env: sys::napi_env,
        pump: sys::napi_value,
        crank: &Arc<Crank>,
        descriptor: RawFd,
    ) -> Result<Option<Self>> {
        let Some(uv) = Uv::get() else {
            return Ok(None);
        };
        let mut uv_loop = ptr::null_mut();
        // SAFETY: `env` is valid, as the caller promises.
        if unsafe { sys::napi_get_uv_event_loop(env, &mut uv_loop) } != sys::Status::napi_ok {
            return Ok(None);
        }
        let uv_loop: *mut c_void = uv_loop.cast();
        let mut clock = Clock::open();
        let handles @ [poll, alarm, idle, prepare] = sizes(uv).map(allocate);
        // SAFETY: the loop is that of `env`, the handles have the size that libuv asks for.
        unsafe {
            if (uv.uv_poll_init)(uv_loop, poll, descriptor) != 0 {
                release(uv, handles);
                return Ok(None);
            }
            clock.take_if(|it| (uv.uv_poll_init)(uv_loop, alarm, it.descriptor()) != 0);
            if clock.is_none() {
                (uv.uv_timer_init)(uv_loop, alarm);
            }
            (uv.uv_idle_init)(uv_loop, idle);
            (uv.uv_prepare_init)(uv_loop, prepare);
            for handle in handles {
                (uv.uv_unref)(handle);
            }
        }
        let (mut reference, mut context, mut name) =
            (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: `env` and `pump` are valid, as the caller promises; the name has 5 bytes.
        let status = unsafe {
            sys::napi_create_reference(env, pump, 1, &mut reference);
            sys::napi_create_string_utf8(env, c"miolo".as_ptr(), 5, &mut name);
            sys::napi_async_init(env, ptr::null_mut(), name, &mut context)
        };
        let watch = Rc::new(Watch {
            uv,
            env,
            uv_loop,
            poll,
            alarm,
            clock,
            idle,
            prepare,
            // SAFETY: the loop is there for as long as the handles are open; `close` closes both.
            awake: Arc::new(unsafe { Awake::new(uv, uv_loop) }),
            crank: crank.clone(),
            pump: reference,
            context,
            cleanup: Cell::new(ptr::null_mut()),
            armed: Cell::new(None),
            running: Cell::new(false),
            watching: Cell::new(false),
            closed: Cell::new(false),
            open_handles: Cell::new(handles.len() as u8),
        });
        for handle in handles {
            let data = Rc::into_raw(watch.clone()).cast_mut().cast();
            // SAFETY: the handle is initialised; `on_closed` takes the reference back.
            unsafe { (uv.uv_handle_set_data)(handle, data) };
        }
        let mut cleanup = ptr::null_mut();
        // SAFETY: the hook is removed when all handles are closed, before the watch goes.
        unsafe {
            sys::napi_add_async_cleanup_hook(
                env,
                Some(on_cleanup),
                Rc::as_ptr(&watch).cast_mut().cast(),
                &mut cleanup,
            );
        }
        watch.cleanup.set(cleanup);
        let embedded = Self(watch);
        if status != sys::Status::napi_ok {
            return Err(Error::new(
                Status::from(status),
                "cannot open an async context",
            ));
        }
        Ok(Some(embedded))
    }

    /// Has libuv watch the loop.
    pub fn run(&self) {
        self.0.running.set(true);
        self.0.arm();
    }

    /// Has libuv look away.
    pub fn rest(&self) {
        self.0.rest();
    }

    /// Has the loop sleep in libuv, until its next deadline at most.
    pub fn arm(&self) {
        self.0.arm();
    }

    /// Has libuv call before each sleep of the JS thread's, and tells other threads since when that has been awake.
    pub fn note_sleeps(&self) -> Arc<Awake> {
        self.0.awake.note_sleep();
        // SAFETY: the handle is open: `close` consumes the driver.
        unsafe { (self.0.uv.uv_prepare_start)(self.0.prepare, on_prepare) };
        self.0.awake.clone()
    }

    /// Whether a running loop keeps the process alive.
    pub fn keep_alive(&self, keep: bool) {
        let (uv, poll) = (self.0.uv, self.0.poll);
        // SAFETY: the handle is open: `close` consumes the driver.
        unsafe {
            if keep {
                (uv.uv_ref)(poll);
            } else {
                (uv.uv_unref)(poll);
            }
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Watch {
    fn rest(&self) {
        self.running.set(false);
        self.look_away();
    }

    /// Somebody else turns the loop, or nobody.
    fn look_away(&self) {
        self.armed.set(None);
        self.watching.set(false);
        if !self.closed.get() {
            // SAFETY: the handles are open.
            unsafe {
                (self.uv.uv_poll_stop)(self.poll);
                match self.clock {
                    Some(_) => (self.uv.uv_poll_stop)(self.alarm),
                    None => (self.uv.uv_timer_stop)(self.alarm),
                };
                (self.uv.uv_idle_stop)(self.idle);
            }
        }
    }

    fn arm(&self) {
        if !self.running.get() || self.closed.get() {
            return;
        }
        if self.crank.turner() != Turner::Js {
            return self.look_away();
        }
        if !self.watching.replace(true) {
            // SAFETY: the handles are open; where there is a clock, both are of this type.
            unsafe {
                (self.uv.uv_poll_start)(self.poll, uv::READABLE, on_readable);
                if self.clock.is_some() {
                    (self.uv.uv_poll_start)(self.alarm, uv::READABLE, on_clock);
                }
            }
        }
        // From here on the loop sleeps in libuv, and whoever wakes it rings its descriptor.
        let next = match self.crank.settle(None) {
            Some(Duration::ZERO) => {
                // Not by a timer: libuv would go on with it and let nothing else have a turn.
                // SAFETY: the handle is open.
                unsafe { (self.uv.uv_idle_start)(self.idle, on_idle) };
                return;
            }
            Some(_) => self.crank.next_deadline(),
            None => None,
        };
        // It is not put off or turned off: to be called for nothing now and then costs less than to be exact about timeouts
        // that hardly ever come to pass, such as those of requests.
        if let Some(next) = next
            && self.armed.get().is_none_or(|armed| next < armed)
        {
            self.armed.set(Some(next));
            self.set_alarm(next);
        }
    }

    /// Has libuv call at `deadline`.
    fn set_alarm(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        if let Some(clock) = &self.clock {
            return clock.set(left);
        }
        // SAFETY: the handle is open, and a timer; the loop is that of this thread.
        unsafe {
            (self.uv.uv_update_time)(self.uv_loop);
            // At least one: see `arm`.
            let milliseconds = left.as_nanos().div_ceil(1_000_000).max(1) as u64;
            (self.uv.uv_timer_start)(self.alarm, on_timer, milliseconds, 0);
        }
    }

    /// Turns the loop without waiting and lets JavaScript have what came of it.
    fn turn(&self) {
        if !self.running.get() {
            return;
        }
        self.crank.unpark_js();
        // Where another thread has the baton, it turns.
        if let Some(mut baton) = self.crank.try_baton()
            && self.crank.turner() == Turner::Js
        {
            // At both ends: whoever has seen the one knows by the other whether the turn is over.
            self.crank.note_js_turn();
            self.crank
                .guard(|| self.crank.turn(&mut baton, Some(Duration::ZERO)));
            self.crank.note_js_turn();
        }
        if !self.crank.park_js() {
            self.call_pump();
        }
        self.arm();
    }

    /// The alarm has gone off: turns the loop, if there is a timeout left for which it did.
    fn on_alarm(&self) {
        self.armed.set(None);
        let next = self.crank.next_deadline();
        if next.is_some_and(|it| it <= Instant::now()) {
            self.turn();
        } else {
            self.arm();
        }
    }

    fn call_pump(&self) {
        let (mut scope, mut pump, mut receiver) =
            (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: this is the JS thread of a live environment (the watch is closed when it ends);
        // make_callback runs the microtasks, and a scope is open for its values.
        unsafe {
            sys::napi_open_handle_scope(self.env, &mut scope);
            sys::napi_get_reference_value(self.env, self.pump, &mut pump);
            sys::napi_get_global(self.env, &mut receiver);
            let status = sys::napi_make_callback(
                self.env,
                self.context,
                receiver,
                pump,
                0,
                ptr::null(),
                ptr::null_mut(),
            );
            if status == sys::Status::napi_pending_exception {
                let mut exception = ptr::null_mut();
                sys::napi_get_and_clear_last_exception(self.env, &mut exception);
                sys::napi_fatal_exception(self.env, exception);
            }
            sys::napi_close_handle_scope(self.env, scope);
        }
    }

    fn close(&self) {
        if self.closed.get() {
            return;
        }
        self.rest();
        self.closed.set(true);
        self.awake.close();
        // SAFETY: the handles are open and closed here once; the references were made by `open`.
        unsafe {
            for handle in self.handles() {
                (self.uv.uv_close)(handle, Some(on_closed));
            }
            sys::napi_delete_reference(self.env, self.pump);
            sys::napi_async_destroy(self.env, self.context);
        }
    }

    fn handles(&self) -> Handles {
        [self.poll, self.alarm, self.idle, self.prepare]
    }

    /// A handle is closed; after the last one the environment may go.
    fn handle_closed(&self) {
        self.open_handles.set(self.open_handles.get() - 1);
        if self.open_handles.get() == 0 {
            release(self.uv, self.handles());
            // SAFETY: the hook was added by `open` and is removed once.
            unsafe { sys::napi_remove_async_cleanup_hook(self.cleanup.get()) };
        }
    }
}

fn allocate(size: usize) -> *mut uv::Handle {
    // libuv's handles want the alignment of their pointers.
    Box::into_raw(vec![0u64; size].into_boxed_slice()).cast()
}

fn release(uv: &Uv, handles: Handles) {
    for (handle, size) in handles.into_iter().zip(sizes(uv)) {
        let memory = ptr::slice_from_raw_parts_mut(handle.cast::<u64>(), size);
        // SAFETY: `allocate` made it with this size, and libuv has let go of it.
        drop(unsafe { Box::from_raw(memory) });
    }
}

/// The watch that `handle` belongs to, kept alive for the length of a callback.
///
/// # Safety
/// The handle was opened by [`Embedded::open`] and is not closed.
unsafe fn watch(handle: *mut uv::Handle) -> Rc<Watch> {
    let uv = Uv::get().expect("a handle of libuv's comes from libuv");
    // SAFETY: `open` stored a reference there that only `on_closed` takes back.
    unsafe {
        let data = (uv.uv_handle_get_data)(handle).cast::<Watch>();
        Rc::increment_strong_count(data);
        Rc::from_raw(data)
    }
}

unsafe extern "C" fn on_readable(handle: *mut uv::Handle, _status: c_int, _events: c_int) {
    // SAFETY: libuv calls back only while the handle is open.
    unsafe { watch(handle) }.turn();
}

unsafe extern "C" fn on_timer(handle: *mut uv::Handle) {
    // SAFETY: libuv calls back only while the handle is open.
    unsafe { watch(handle) }.on_alarm();
}

unsafe extern "C" fn on_clock(handle: *mut uv::Handle, _status: c_int, _events: c_int) {
    // SAFETY: libuv calls back only while the handle is open.
    let watch = unsafe { watch(handle) };
    if let Some(clock) = &watch.clock {
        clock.hear();
    }
    watch.on_alarm();
}

unsafe extern "C" fn on_idle(handle: *mut uv::Handle) {
    // SAFETY: libuv calls back only while the handle is open.
    let watch = unsafe { watch(handle) };
    // SAFETY: as above.
    unsafe { (watch.uv.uv_idle_stop)(handle) };
    watch.turn();
}

unsafe extern "C" fn on_prepare(handle: *mut uv::Handle) {
    // SAFETY: libuv calls back only while the handle is open.
    unsafe { watch(handle) }.awake.note_sleep();
}

unsafe extern "C" fn on_closed(handle: *mut uv::Handle) {
    let uv = Uv::get().expect("a handle of libuv's comes from libuv");
    // SAFETY: takes back the reference that `open` stored.
    let watch = unsafe { Rc::from_raw((uv.uv_handle_get_data)(handle).cast::<Watch>()) };
    watch.handle_closed();
}

unsafe extern "C" fn on_cleanup(_: sys::napi_async_cleanup_hook_handle, data: *mut c_void) {
    // SAFETY: the hook is removed before the watch goes, so `data` is alive; Node calls it on the
    // JS thread.
    unsafe { &*data.cast::<Watch>() }.close();
}
