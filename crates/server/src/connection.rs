use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use miolo::Timeout;
use miolo::tcp::TcpStream;

use crate::accepted::Place;
use crate::outbox::{Outbox, Pool};
use crate::{CloseReason, ConnectionOptions, Connections, Framer, Framing, ServerId};

/// Names one connection, also when it has ended: then it names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl ConnectionId {
    /// The bits of a generation: no more than a record in shared memory has for it.
    pub const GENERATION_MASK: u32 = 0xff_ffff;

    /// A name by its parts, which may be anybody's: at worst it names nothing.
    pub fn new(slot: u32, generation: u32) -> ConnectionId {
        ConnectionId { slot, generation }
    }

    /// The place in the table, which is used again.
    pub fn slot(self) -> u32 {
        self.slot
    }

    /// How many names this place has had: 24 bits, never 0.
    pub fn generation(self) -> u32 {
        self.generation
    }
}

/// An open connection, for as long as a callback lasts.
pub struct Connection<'a> {
    pub(crate) table: &'a mut Connections,
    pub(crate) id: ConnectionId,
}

impl Connection<'_> {
    /// Its name.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// The server that accepted it; `None` if this side began it.
    pub fn server(&self) -> Option<ServerId> {
        self.body().server
    }

    /// Has bytes sent, in order, at the end of this iteration: all that is written in one iteration leaves in one
    /// system call. What the system does not take waits. `false` says that much waits: go on after
    /// [`drain`](crate::ConnectionHandler::drain). On a connection that has ended, or was ended from this side, it
    /// does nothing and is `false`.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        if !self.takes(bytes.len()) {
            return false;
        }
        let (body, pool) = self.parts();
        body.outbox.push(bytes, pool);
        self.wrote()
    }

    /// As [`write`](Connection::write), without copying what can be sent in this iteration.
    ///
    /// # Safety
    ///
    /// The bytes can be read until the next [`tick`](Connections::tick) or [`flush`](Connections::flush) has
    /// returned. Others may write to them meanwhile; then it is undefined what is sent.
    pub unsafe fn write_lent(&mut self, start: *const u8, len: usize) -> bool {
        if !self.takes(len) {
            return false;
        }
        let (body, pool) = self.parts();
        // SAFETY: as the caller promises.
        unsafe { body.outbox.lend(start, len, pool) };
        self.wrote()
    }

    /// Whether so many bytes more may wait. If they are too many, the connection is closed.
    fn takes(&mut self, count: usize) -> bool {
        let body = self.body();
        if body.closing.is_some() || body.ending {
            return false;
        }
        let fits = count
            <= body
                .options
                .max_write_buffer
                .saturating_sub(body.outbox.len());
        if !fits {
            self.close(CloseReason::Overflow);
        }
        fits
    }

    fn wrote(&mut self) -> bool {
        let body = self.body_mut();
        body.wants_drain |= body.outbox.len() > body.options.high_water_mark;
        let goes_on = !body.wants_drain;
        self.table.mark_dirty(self.id.slot);
        goes_on
    }

    /// Has [`drain`](crate::ConnectionHandler::drain) called when few enough bytes wait, as after a `write` that was
    /// `false`.
    pub fn want_drain(&mut self) {
        self.body_mut().wants_drain = true;
        self.table.mark_dirty(self.id.slot);
    }

    /// Ends this side, once what was written has been sent. The connection ends when the peer's side has, too.
    pub fn end(&mut self) {
        self.body_mut().ending = true;
        self.table.mark_dirty(self.id.slot);
    }

    /// Cuts the connection off: the peer sees a reset, and what was not sent is lost.
    pub fn abort(&mut self) {
        self.close(CloseReason::Aborted);
    }

    /// Closes the connection for this reason, at the end of this iteration. The first reason stays.
    pub fn close(&mut self, reason: CloseReason) {
        self.table.close(self.id.slot, reason);
    }

    /// Reads nothing more for now, so that the peer comes to feel it.
    pub fn pause(&mut self) {
        self.body_mut().paused = true;
    }

    /// Reads again.
    pub fn resume(&mut self) {
        let body = self.body_mut();
        if std::mem::take(&mut body.paused) && body.may_have_input() {
            self.table.mark_hungry(self.id.slot);
        }
    }

    /// How many bytes wait to be sent.
    pub fn buffered(&self) -> usize {
        self.body().outbox.len()
    }

    /// How many bytes the system has taken since the connection began; a count that wraps.
    pub fn sent(&self) -> u32 {
        self.body().sent
    }

    /// The peer's address.
    pub fn peer_addr(&self) -> SocketAddr {
        self.body().peer
    }

    /// The address on this side.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.body().stream.local_addr()
    }

    /// Another connection of the same table.
    pub fn other(&mut self, id: ConnectionId) -> Option<Connection<'_>> {
        self.table.get(id)
    }

    fn body(&self) -> &Body {
        self.table.body(self.id.slot)
    }

    fn body_mut(&mut self) -> &mut Body {
        self.table.body_mut(self.id.slot)
    }

    fn parts(&mut self) -> (&mut Body, &mut Pool) {
        self.table.body_and_pool(self.id.slot)
    }
}

impl fmt::Debug for Connection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .field("peer", &self.body().peer)
            .finish_non_exhaustive()
    }
}

/// What the table knows of a connection.
pub(crate) struct Body {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) server: Option<ServerId>,
    /// It is counted as one of its server's.
    pub(crate) _place: Option<Place>,
    pub(crate) options: Arc<ConnectionOptions>,
    /// `None` if bytes come as they are.
    pub(crate) framer: Option<Framer>,
    /// The framer may hold whole frames: nobody took any more.
    pub(crate) stopped: bool,
    pub(crate) outbox: Outbox,
    pub(crate) sent: u32,
    /// Not yet made; the reason why it is in the table is this side.
    pub(crate) connecting: bool,
    /// There may be something to read.
    pub(crate) readable: bool,
    /// The kernel may take something.
    pub(crate) writable: bool,
    /// The poll has told that the peer's side, or both, have ended.
    pub(crate) hung_up: bool,
    /// The end of the peer's side has been read.
    pub(crate) ended_in: bool,
    /// This side is to end when all is sent.
    pub(crate) ending: bool,
    /// This side has ended.
    pub(crate) ended_out: bool,
    pub(crate) paused: bool,
    /// `drain` is due when few enough bytes wait.
    pub(crate) wants_drain: bool,
    /// It is in the table's list of those that have something to be done at the end of the iteration.
    pub(crate) is_dirty: bool,
    /// It is in the table's list of those that are to be read from.
    pub(crate) is_hungry: bool,
    /// The iteration in which it was last read from.
    pub(crate) read_in: u64,
    /// How many bytes it has brought in that.
    pub(crate) brought: usize,
    pub(crate) closing: Option<CloseReason>,
    pub(crate) timer: Option<Timeout>,
    /// When an attempt to connect is given up.
    pub(crate) connect_by: Option<Instant>,
    /// When it is cut, if it has not ended.
    pub(crate) cut_by: Option<Instant>,
    pub(crate) opened_at: Instant,
    /// When something last came or went; kept only where there is an idle timeout.
    pub(crate) active_at: Instant,
}

impl Body {
    pub(crate) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        accepted: Option<(ServerId, Place)>,
        options: Arc<ConnectionOptions>,
        now: Instant,
    ) -> Body {
        let (server, place) = accepted.unzip();
        let framed = *options.framing != Framing::Raw;
        Body {
            framer: framed.then(|| Framer::new(Arc::clone(&options.framing))),
            stopped: false,
            stream,
            peer,
            server,
            _place: place,
            options,
            outbox: Outbox::default(),
            sent: 0,
            connecting: server.is_none(),
            readable: false,
            writable: server.is_some(),
            hung_up: false,
            ended_in: false,
            ending: false,
            ended_out: false,
            paused: false,
            wants_drain: false,
            is_dirty: false,
            is_hungry: false,
            read_in: 0,
            brought: 0,
            closing: None,
            timer: None,
            connect_by: None,
            cut_by: None,
            opened_at: now,
            active_at: now,
        }
    }

    /// Whether there may be something to hand over, in the socket or in the framer.
    pub(crate) fn may_have_input(&self) -> bool {
        let has_some = self.readable || self.stopped;
        has_some && !self.ended_in && !self.connecting && self.closing.is_none()
    }

    /// When something is due, if nothing happens before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.connecting {
            return self.connect_by;
        }
        [self.idle_by(), self.ends_by(), self.cut_by]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether bytes have come that wait for the handler: in the framer, or in the system to be read.
    pub(crate) fn has_unread_input(&self) -> bool {
        !self.paused && (self.stopped || matches!(self.stream.peek(&mut [0]), Ok(1..)))
    }

    /// Why its time is up, if it is.
    pub(crate) fn expired(&self, now: Instant) -> Option<CloseReason> {
        if self.connecting {
            let late = self.connect_by.is_some_and(|by| by <= now);
            return late.then(|| CloseReason::Error(io::ErrorKind::TimedOut.into()));
        }
        if self.cut_by.is_some_and(|by| by <= now) {
            Some(CloseReason::Shutdown)
        } else if self.ends_by().is_some_and(|by| by <= now) {
            Some(CloseReason::Lifetime)
        } else if self.idle_by().is_some_and(|by| by <= now) {
            Some(CloseReason::Idle)
        } else {
            None
        }
    }

    /// `None` too where that is beyond all time.
    fn idle_by(&self) -> Option<Instant> {
        self.active_at.checked_add(self.options.idle_timeout?)
    }

    fn ends_by(&self) -> Option<Instant> {
        self.opened_at.checked_add(self.options.lifetime?)
    }
}
