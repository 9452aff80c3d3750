use std::{fmt, io};

/// Why a connection has ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// Both sides have ended it, in order.
    End,
    /// The peer has reset it.
    Reset,
    /// [`Connection::abort`](crate::Connection::abort).
    Aborted,
    /// Nothing came and nothing could be sent for
    /// [`idle_timeout`](crate::ConnectionOptions::idle_timeout).
    Idle,
    /// It has lasted for [`lifetime`](crate::ConnectionOptions::lifetime).
    Lifetime,
    /// More than [`max_write_buffer`](crate::ConnectionOptions::max_write_buffer) waited to be sent.
    Overflow,
    /// A frame was longer than its maximum, or had an impossible length.
    FrameTooLong,
    /// There were as many connections as the server's limits allow. For those who say so themselves: the table refuses
    /// such connections before they are open, and only counts them ([`TcpServer::refused`](crate::TcpServer::refused)).
    OverLimit,
    /// The server was closed, and its patience has run out.
    Shutdown,
    /// The system has refused it something.
    Error(io::Error),
}

impl CloseReason {
    /// What an error of a read or a write means for its connection.
    pub(crate) fn of(error: io::Error) -> CloseReason {
        match error.kind() {
            // A peer that has reset it is EPIPE to the first writer and ECONNRESET to the first reader.
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected => CloseReason::Reset,
            _ => CloseReason::Error(error),
        }
    }

    /// Whether the peer is to see a reset: what was written for it is lost.
    pub(crate) fn resets(&self) -> bool {
        matches!(self, CloseReason::Aborted | CloseReason::Overflow)
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CloseReason::End => "end",
            CloseReason::Reset => "reset",
            CloseReason::Aborted => "aborted",
            CloseReason::Idle => "idle",
            CloseReason::Lifetime => "lifetime",
            CloseReason::Overflow => "overflow",
            CloseReason::FrameTooLong => "frame-too-long",
            CloseReason::OverLimit => "over-limit",
            CloseReason::Shutdown => "shutdown",
            CloseReason::Error(error) => return write!(f, "error: {error}"),
        })
    }
}
