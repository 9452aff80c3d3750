//! mio's classic event loop, [`EventLoop`] and [`Handler`], revived on mio 1.x.
//!
//! A program implements [`Handler`]; the loop calls it: [`ready`](Handler::ready) when a registered
//! socket can be read or written, [`notify`](Handler::notify) for a message from a [`Sender`],
//! [`timeout`](Handler::timeout) when a timer is due, and [`tick`](Handler::tick) at the end of every
//! iteration.
//!
//! ```
//! use miolo::{EventLoop, Handler};
//!
//! struct Greeter;
//!
//! impl Handler for Greeter {
//!     type Timeout = &'static str;
//!     type Message = ();
//!
//!     fn timeout(&mut self, event_loop: &mut EventLoop<Self>, text: &'static str) {
//!         println!("{text}");
//!         event_loop.shutdown();
//!     }
//! }
//!
//! let mut event_loop = EventLoop::new()?;
//! event_loop.timeout_ms("ten milliseconds later", 10).unwrap();
//! event_loop.run(&mut Greeter)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # An iteration
//!
//! In this order: [`interrupted`](Handler::interrupted), if a signal ended the poll; `ready`, once for
//! each registration that has news, its events merged; `notify`, for exactly the messages that were
//! waiting when the callbacks began; `timeout`, for every timer due at one reading of the clock; `tick`.
//!
//! # What is better than in mio 0.5
//!
//! - An event of a registration that is gone is never delivered, whatever became of its token.
//! - A registration gets at most one `ready` in an iteration.
//! - The channel's capacity is exact.
//! - Timers are never early, and wake the loop when they are due and not before. With a tick of 1 ms, the
//!   default, deadlines are rounded up to half a millisecond.
//! - [`EventLoop::shutdown`] before [`EventLoop::run`] is not lost.
//! - [`Registrar`] registers from other threads, also while the loop sleeps in its poll.
//!
//! # Sockets
//!
//! [`tcp`] has non-blocking sockets with mio 0.5's signatures. Any source that mio knows can be wrapped
//! in a [`Shared`] and registered.

mod channel;
mod config;
mod error;
mod event_loop;
mod event_set;
mod handler;
mod net;
mod poll_opt;
mod poller;
mod registry;
mod source;
mod sync;
mod timer;
mod token;
mod try_io;
mod wakeup;

pub use channel::{NotifyError, Sender};
pub use config::EventLoopConfig;
pub use error::Error;
pub use event_loop::{Dispatched, EventLoop, Room};
pub use event_set::EventSet;
pub use handler::Handler;
pub use net::tcp;
pub use poll_opt::PollOpt;
pub use poller::Poller;
pub use registry::{Registrar, RegistrationId};
pub use source::{Evented, Shared, Source};
pub use timer::{Timeout, TimerError, TimerResult};
pub use token::Token;
pub use try_io::{TryAccept, TryRead, TryWrite};
pub use wakeup::Wakeup;

// Compiles and runs the program in README.md with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
