//! The bridge between a JavaScript thread and a loop thread: rings, parking and readiness words over one block of
//! shared memory. It knows neither Node-API nor mio.
//!
//! ```text
//!  word 0            one 64-byte line each              240        304
//!  ┌────────────┬────────────┬─────────┬─────┬─────────┬──────────┬────────────┬──────────────┬───────────┐
//!  │ EVENT_HEAD │ EVENT_TAIL │ COMMAND │  …  │  MAIL   │ metrics  │ event ring │ command ring │ readiness │
//!  │     JS     │    Rust    │ …       │     │         │ 32 × u64 │ 4 words    │ 4 words      │ 1 word    │
//!  │   writes   │   writes   │         │     │         │          │ a record   │ a record     │ a slot    │
//!  └────────────┴────────────┴─────────┴─────┴─────────┴──────────┴────────────┴──────────────┴───────────┘
//!         the loop writes events ──► [event ring] ──► JavaScript delivers them
//!         the loop obeys ◄── [command ring] ◄── JavaScript writes commands
//! ```
//!
//! - [`layout`]: where everything is, for Rust and, generated from the same table, for TypeScript
//! - [`Words`]: the only way to the memory; every word of it is an atomic
//! - [`Record`], [`Producer`], [`Consumer`]: the rings
//! - [`Parking`]: sleeping and doorbells
//! - [`Readiness`]: the events of a registration, merged until they are delivered
//! - [`Calm`]: whether the reader of a ring keeps up
//! - [`Unpublished`]: what JavaScript has written into a ring and does not get to publish
//! - [`ArenaWriter`], [`ArenaReader`]: the bytes of connections, in memory of their own
//!
//! JavaScript can write anything anywhere at any time. No reference but to atomics is made to this memory, every
//! value read back is checked, and garbage is either harmless or reported as [`Corrupt`].

mod arena;
mod calm;
pub mod layout;
mod parking;
mod readiness;
mod record;
mod ring;
pub mod sync;
mod unpublished;
mod words;

pub use arena::{ArenaReader, ArenaWriter, Span};
pub use calm::Calm;
pub use layout::Layout;
pub use parking::Parking;
pub use readiness::{Merge, Readiness};
pub use record::Record;
pub use ring::{Consumer, Corrupt, Producer, PushError};
pub use unpublished::{Looked, Unpublished};
pub use words::Words;
