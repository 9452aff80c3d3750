//! Sockets, non-blocking.

pub mod tcp;
