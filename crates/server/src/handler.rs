use std::io;

use miolo::tcp::TcpStream;

use crate::{Accepted, CloseReason, Connection, ConnectionId, ServerId};

/// What happens to connections. Every callback has an empty default.
///
/// For each connection there is one `open`, then what comes, then one `close`. A callback may do anything to the
/// connection that it is given, and, through [`Connection::other`], to others.
///
/// One that panics ends [`EventLoop::run`](miolo::EventLoop::run) with that panic. The loop can be run again; then the
/// connection that it was called for is closed with [`CloseReason::Error`], and the others go on.
pub trait ConnectionHandler {
    /// A connection was accepted, or one that this side began has been made.
    fn open(&mut self, conn: &mut Connection<'_>) {
        let _ = conn;
    }

    /// A server has accepted a connection, which is opened here if it is returned. A handler that serves several loops
    /// may keep it, and have the table of another one [adopt](crate::Connections::adopt) it.
    fn accepted(&mut self, server: ServerId, accepted: Accepted) -> Option<Accepted> {
        let _ = server;
        Some(accepted)
    }

    /// Bytes have come; a whole frame, where there is framing.
    fn data(&mut self, conn: &mut Connection<'_>, data: &[u8]) {
        let _ = (conn, data);
    }

    /// The peer will send no more. Unless half-open connections are allowed, this side ends as well, once what was
    /// written has been sent.
    fn end(&mut self, conn: &mut Connection<'_>) {
        let _ = conn;
    }

    /// After a `write` that was `false`: few enough bytes wait to be sent for more to be written. On a connection that
    /// was ended from this side: all has been sent.
    fn drain(&mut self, conn: &mut Connection<'_>) {
        let _ = conn;
    }

    /// The connection has ended. Nothing more of it comes, and its name is no longer good for anything.
    fn close(&mut self, conn: ConnectionId, reason: CloseReason) {
        let _ = (conn, reason);
    }

    /// A connection that this side began could not be made.
    fn connect_failed(&mut self, conn: ConnectionId, error: io::Error) {
        let _ = (conn, error);
    }

    /// A server cannot accept; told once until it can again, which it tries by itself. Or a connection that waited
    /// was gone before it could be accepted.
    fn error(&mut self, server: ServerId, error: io::Error) {
        let _ = (server, error);
    }

    /// The system has taken so many bytes more of a connection's.
    fn sent(&mut self, conn: ConnectionId, count: usize) {
        let _ = (conn, count);
    }

    /// Whether `data` may be called now. If not, nothing is read until a later [`tick`](crate::Connections::tick)
    /// finds that it may, and the peers come to feel it.
    fn has_room(&mut self) -> bool {
        true
    }

    /// Whether `open` may be called now. If not, those who come wait to be accepted, for a later
    /// [`tick`](crate::Connections::tick).
    fn may_open(&mut self) -> bool {
        true
    }

    /// For a handler that has a place of its own for bytes that are not framed: reads `limit` bytes at most from the
    /// stream. `None`: it has not, and is called with [`data`](ConnectionHandler::data) instead.
    fn receive(
        &mut self,
        conn: ConnectionId,
        stream: &TcpStream,
        limit: usize,
    ) -> Option<io::Result<Received>> {
        let _ = (conn, stream, limit);
        None
    }
}

/// What [`ConnectionHandler::receive`] has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// How many bytes; 0: the peer has ended its side.
    pub count: usize,
    /// How many were asked for. Fewer mean that there are no more.
    pub asked: usize,
}
