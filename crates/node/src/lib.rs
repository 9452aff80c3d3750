//! The Node.js binding of miolo: the only crate that knows Node-API, and a thin one.
//!
//! ```text
//!   ts/bridge ── free functions (this crate) ─┬─ miolo (the loop), miolo-server (connections)
//!                                              └─ miolo-bridge (the shared memory)
//! ```
//!
//! - [`crank`]: one loop, its [`forwarder`] and the shared memory; what a turn is.
//! - [`outlet`]: the event ring; [`connections`]: what connections put there; [`spread`]: which loop gets them.
//! - [`driver`]: who turns it: a native thread, or Node's own loop.
//! - [`event_loop`], [`sender`], [`server`], [`tcp`]: the functions that TypeScript calls.
//! - [`lanes`]: where the messages of other isolates wait.
//! - [`doorbell`]: how a sleeping JS thread is woken; [`bell`](mod@bell): how the thread that stands by is.
//! - [`handle`], [`memory`], [`errno`]: how natives, memory and errors cross.
//!
//! The functions are not the package's public API: `ts/` checks every argument before it calls
//! them. They still check what would be unsafe to take on trust.

#![deny(clippy::all)]
// Windows has the driver `thread` alone, and nobody calls there what the others use.
#![cfg_attr(not(unix), allow(dead_code, unused_imports))]

#[cfg(unix)]
mod bell;
mod connections;
mod crank;
mod doorbell;
mod driver;
mod errno;
mod event_loop;
mod forwarder;
mod handle;
mod lanes;
mod memory;
mod outlet;
mod sender;
mod server;
mod spread;
mod tcp;
#[cfg(feature = "testing")]
mod testing;
