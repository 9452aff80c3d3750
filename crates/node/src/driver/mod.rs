//! Who turns the loop: a native thread of its own, or Node's own loop on the JS thread.

#[cfg(unix)]
pub mod embedded;
pub mod thread;
#[cfg(unix)]
mod uv;
