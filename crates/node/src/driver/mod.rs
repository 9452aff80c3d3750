//! Who turns the loop: a native thread of its own, Node's own loop on the JS thread, or now the one, now the other.

#[cfg(unix)]
pub mod awake;
#[cfg(unix)]
mod clock;
#[cfg(unix)]
pub mod embedded;
#[cfg(unix)]
pub mod relief;
pub mod thread;
#[cfg(unix)]
mod uv;
