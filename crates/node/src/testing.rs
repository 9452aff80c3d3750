//! Exports that only the tests and the benches use.

use std::sync::atomic::Ordering;
use std::thread;

use napi::Status;
use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunctionCallMode, UnknownReturnValue};
use napi::{Error, Result};
use napi_derive::napi;

use crate::event_loop::LoopHandle;
use crate::handle::Handle;

/// Calls `callback` with 0, 1, … `count - 1` from another thread, by one call of a threadsafe
/// function each: what a bridge without rings would do.
#[napi(catch_unwind)]
pub fn call_per_event(
    count: u32,
    callback: Function<'static, u32, UnknownReturnValue>,
) -> Result<()> {
    let function = callback
        .build_threadsafe_function::<u32>()
        .callee_handled::<false>()
        .build()?;
    thread::Builder::new()
        .spawn(move || {
            for event in 0..count {
                function.call(event, ThreadsafeFunctionCallMode::NonBlocking);
            }
        })
        .map_err(|error| Error::new(Status::GenericFailure, error.to_string()))?;
    Ok(())
}

/// Has the loop thread panic at its next turn.
#[napi(catch_unwind)]
pub fn loop_panic(handle: Handle<LoopHandle>) {
    handle.crank.panics.store(true, Ordering::Relaxed);
    handle.crank.wake();
}
