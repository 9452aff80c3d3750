//! TCP servers on [`miolo`]'s event loop.
//!
//! [`TcpServer`] accepts connections, reads, cuts what comes into frames, buffers what is written, and keeps its
//! limits: how many connections there are, how long they may be silent or last, how much may wait to be sent. It calls
//! a [`ConnectionHandler`]. It runs inside anybody's [`EventLoop`](miolo::EventLoop), beside the sockets, messages and
//! timeouts that the program has there of its own.
//!
//! - [`TcpServer`]: one server, and the handler of its connections
//! - [`Connections`]: several servers, and connections that this side begins, in one table; closing a server with a
//!   deadline
//! - [`Connection`]: what a callback can do to one of them
//! - [`Framing`], [`Framer`]: cutting bytes into frames, for use anywhere
//!
//! Readiness is edge-triggered, so the layer remembers what may still be read or written. What a connection may bring
//! in one iteration is limited, and what is left waits for its turn, behind the others.

mod accepted;
mod close_reason;
mod connection;
mod connection_timeout;
mod connections;
mod framing;
mod handler;
mod options;
mod outbox;
mod servers;
mod tcp_server;

pub use accepted::Accepted;
pub use close_reason::CloseReason;
pub use connection::{Connection, ConnectionId};
pub use connection_timeout::ConnectionTimeout;
pub use connections::Connections;
pub use framing::{Endian, Fed, FrameError, Framer, Framing, LengthBytes, LengthPrefix};
pub use handler::{ConnectionHandler, Received};
pub use options::{ConnectionOptions, MAX_CONNECTIONS, ServerOptions};
pub use servers::ServerId;
pub use tcp_server::TcpServer;

// Compiles the program in README.md with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;

// The same of the Rust programs in the repository's README.md. That is not in the crate's package: only these tests
// look for it.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct RepositoryReadmeDoctests;
