//! How a JS thread that sleeps in Node's own loop is woken: one threadsafe-function call.
//!
//! The function carries nothing (a payload would leak when it is refused), its queue never blocks
//! and holds one call, and it is called when JavaScript has said that it is parked, or when the loop is handed over.

use std::ffi::c_void;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use napi::{Error, Result, Status, sys};

/// A threadsafe function that calls the loop's pump.
pub struct Doorbell(Mutex<Option<Function>>);

struct Function(sys::napi_threadsafe_function);

// SAFETY: Node allows calls to a threadsafe function from any thread; the mutex around it keeps
// them from overlapping its release.
unsafe impl Send for Function {}

impl Doorbell {
    /// A doorbell that is not there yet.
    pub fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Hangs the bell up: from now on [`ring`](Self::ring) has `pump` called on the JS thread.
    ///
    /// # Safety
    /// `env` and `pump`, a function, belong to the call that is under way.
    pub unsafe fn open(&self, env: sys::napi_env, pump: sys::napi_value) -> Result<()> {
        let mut slot = self.lock();
        if slot.is_some() {
            return Ok(());
        }
        let (mut name, mut function) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: as the caller promises; the name is a valid string of 5 bytes.
        let status = unsafe {
            sys::napi_create_string_utf8(env, c"miolo".as_ptr(), 5, &mut name);
            sys::napi_create_threadsafe_function(
                env,
                pump,
                ptr::null_mut(),
                name,
                // One call on its way is enough: what would come behind it finds nothing left to do.
                1,
                1,
                ptr::null_mut(),
                None,
                ptr::null_mut(),
                Some(call_pump),
                &mut function,
            )
        };
        if status != sys::Status::napi_ok {
            return Err(Error::new(
                Status::from(status),
                "cannot create a threadsafe function",
            ));
        }
        // SAFETY: just created, and this is its JS thread.
        unsafe { sys::napi_unref_threadsafe_function(env, function) };
        *slot = Some(Function(function));
        Ok(())
    }

    /// Has the pump called, soon. From any thread; nothing happens once the bell is closed.
    pub fn ring(&self) {
        if let Some(function) = &*self.lock() {
            // SAFETY: under the lock the function has not been released.
            unsafe {
                sys::napi_call_threadsafe_function(
                    function.0,
                    ptr::null_mut(),
                    sys::ThreadsafeFunctionCallMode::nonblocking,
                )
            };
        }
    }

    /// Whether the bell keeps the process alive.
    ///
    /// # Safety
    /// Called on the JS thread of `env`, the environment of [`open`](Self::open).
    pub unsafe fn keep_alive(&self, env: sys::napi_env, keep: bool) {
        if let Some(function) = &*self.lock() {
            // SAFETY: under the lock the function has not been released.
            unsafe {
                if keep {
                    sys::napi_ref_threadsafe_function(env, function.0);
                } else {
                    sys::napi_unref_threadsafe_function(env, function.0);
                }
            }
        }
    }

    /// Takes the bell down. Calls on their way are dropped.
    pub fn close(&self) {
        if let Some(function) = self.lock().take() {
            // SAFETY: taken out under the lock, so this is the last use.
            unsafe {
                sys::napi_release_threadsafe_function(
                    function.0,
                    sys::ThreadsafeFunctionReleaseMode::abort,
                )
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Function>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

unsafe extern "C" fn call_pump(
    env: sys::napi_env,
    pump: sys::napi_value,
    _: *mut c_void,
    _: *mut c_void,
) {
    if env.is_null() || pump.is_null() {
        return;
    }
    let mut receiver = ptr::null_mut();
    // SAFETY: Node calls this on the JS thread, in a handle scope, with a live environment.
    unsafe {
        sys::napi_get_undefined(env, &mut receiver);
        sys::napi_call_function(env, receiver, pump, 0, ptr::null(), ptr::null_mut());
    }
}
