//! What the bench programs share: the bytes of a message, and the CPU clock of a process.
//!
//! The programs are `load`, a load generator for echo servers, and `epoll_echo`, the plain epoll
//! server that is the floor to compare with. `bench/` in the root of the repository runs them.

pub mod cpu;
pub mod payload;
