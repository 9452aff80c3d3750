//! Connections, between the table of `miolo-server` and JavaScript: what comes is written into the inbound arena and
//! told by records, what JavaScript writes is sent out of the outbound arena.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::Ordering;

use miolo::tcp::TcpStream;
use miolo::{EventLoop, EventSet, Token};
use miolo_bridge::{ArenaReader, ArenaWriter, Record, Words, layout};
use miolo_server::{
    Accepted, CloseReason, Connection, ConnectionHandler, ConnectionId, ConnectionTimeout,
    Received, ServerId,
};

use crate::errno::errno;
use crate::forwarder::Forwarder;
use crate::outlet::Outlet;
use crate::spread::Spread;

/// The loop's tokens from here on are connections', those below are registrations' of JavaScript's.
pub const FIRST_TOKEN: Token = Token(1 << 63);

/// Less room than this in the inbound arena is none: short reads cost more than they bring.
const LEAST_READ: usize = 4 * 1024;

/// The bytes of large frames that may wait for JavaScript.
const LARGE_BYTES: usize = 4 * 1024 * 1024;

// Each slot of the table has its place in the memory, and its generation one in a record.
const _: () = assert!(
    miolo_server::MAX_CONNECTIONS == layout::MAX_CONNECTIONS
        && ConnectionId::GENERATION_MASK == layout::GENERATION_MASK
);

/// The connections of one loop.
pub struct Connections {
    pub table: miolo_server::Connections,
    outbound: ArenaReader,
    /// What was written since the last flush ends there: the position and length of the last span.
    written: Option<(u32, usize)>,
    inlet: Inlet,
}

/// What the table calls, but for the event ring, which is everybody's.
struct Inlet {
    inbound: ArenaWriter,
    sent: Words,
    /// What stands there: how many bytes the system has taken of all that had the slot. JavaScript may still look at the
    /// last one's when the next one has it.
    totals: Vec<u32>,
    /// Records that found no room in the ring. At most four for each connection.
    deferred: VecDeque<Record>,
    /// Frames that the arena is too small for.
    large: VecDeque<Vec<u8>>,
    large_bytes: usize,
    /// Of servers that several loops serve.
    spreads: HashMap<ServerId, Spread>,
}

impl Connections {
    /// Over `memory`, which has the layout's size.
    pub fn new(memory: &Words) -> Self {
        let arena = |start| memory.window(start, layout::ARENA_BYTES / 4);
        Self {
            table: miolo_server::Connections::new(FIRST_TOKEN),
            outbound: ArenaReader::new(
                arena(layout::OUTBOUND),
                memory.window(layout::OUTBOUND_HEAD, 1),
            ),
            written: None,
            inlet: Inlet {
                inbound: ArenaWriter::new(
                    arena(layout::INBOUND),
                    memory.window(layout::INBOUND_HEAD, 1),
                ),
                sent: memory.window(layout::SENT, layout::MAX_CONNECTIONS),
                totals: Vec::new(),
                deferred: VecDeque::new(),
                large: VecDeque::new(),
                large_bytes: 0,
                spreads: HashMap::new(),
            },
        }
    }

    pub fn ready(
        &mut self,
        event_loop: &mut EventLoop<Forwarder>,
        token: Token,
        events: EventSet,
        outlet: &mut Outlet,
    ) {
        let (table, mut sink) = self.split(outlet);
        table.ready(event_loop, token, events, &mut sink);
    }

    pub fn timeout(
        &mut self,
        event_loop: &mut EventLoop<Forwarder>,
        timeout: ConnectionTimeout,
        outlet: &mut Outlet,
    ) {
        let (table, mut sink) = self.split(outlet);
        table.timeout(event_loop, timeout, &mut sink);
    }

    pub fn tick(&mut self, event_loop: &mut EventLoop<Forwarder>, outlet: &mut Outlet) {
        let (table, mut sink) = self.split(outlet);
        table.tick(event_loop, &mut sink);
    }

    /// Obeys a command, if it is one for a connection.
    pub fn obey(&mut self, command: Record, outlet: &mut Outlet) {
        let id = ConnectionId::new(command.slot, command.generation);
        let (low, high) = (command.argument as u32, (command.argument >> 32) as usize);
        if command.kind == layout::COMMAND_WRITE {
            let Ok(span) = self.outbound.span(low, high) else {
                return outlet.corrupt("the outbound arena");
            };
            self.written = Some((low, high));
            if let Some(mut conn) = self.table.get(id) {
                // SAFETY: the span lies in memory that outlives the forwarder, and `flush` comes before JavaScript
                // gets the room back.
                unsafe { conn.write_lent(span.start, span.len) };
            }
            return;
        }
        let Some(mut conn) = self.table.get(id) else {
            return;
        };
        match command.kind {
            layout::COMMAND_END => conn.end(),
            layout::COMMAND_CLOSE => match reason(low) {
                Some(reason) => conn.close(reason),
                None => outlet.corrupt("a reason to close"),
            },
            layout::COMMAND_PAUSE => conn.pause(),
            layout::COMMAND_RESUME => conn.resume(),
            layout::COMMAND_WANT_DRAIN => conn.want_drain(),
            _ => outlet.corrupt("a command"),
        }
    }

    /// Sends what the commands have written, and gives its room back.
    pub fn flush(&mut self, event_loop: &mut EventLoop<Forwarder>, outlet: &mut Outlet) {
        let (table, mut sink) = self.split(outlet);
        table.flush(event_loop, &mut sink);
        if let Some((position, len)) = self.written.take() {
            self.outbound.release(position, len);
        }
    }

    /// Writes the records that found no room, for which there is some now, and has the table go on where it found none.
    pub fn write_deferred(&mut self, outlet: &mut Outlet) {
        while !self.inlet.deferred.is_empty() && outlet.can_write() && outlet.has_room_to_spare() {
            if let Some(record) = self.inlet.deferred.pop_front() {
                outlet.write(record);
            }
        }
        if self.table.is_starved() {
            let (table, mut sink) = self.split(outlet);
            table.look_for_room(&mut sink);
        }
    }

    /// Whether something is left to do that needs neither an event nor room.
    pub fn wants_turn(&self) -> bool {
        self.table.wants_turn()
    }

    /// Whether something waits for JavaScript to read.
    pub fn is_starved(&self) -> bool {
        !self.inlet.deferred.is_empty() || self.table.is_starved()
    }

    /// Whether there is room, now that JavaScript may have read, for what waits for it.
    pub fn is_fed(&mut self, outlet: &mut Outlet) -> bool {
        if !self.is_starved() {
            return false;
        }
        let (table, mut sink) = self.split(outlet);
        sink.has_room_for_deferred() || table.is_fed(&mut sink)
    }

    /// Who beside this loop serves a server's connections.
    pub fn spread(&mut self, server: ServerId) -> &mut Spread {
        self.inlet.spreads.entry(server).or_default()
    }

    /// Forgets a server; its connections go on.
    pub fn remove_server(&mut self, server: ServerId) {
        self.table.remove_server(server);
        self.inlet.spreads.remove(&server);
    }

    /// The oldest of the large frames.
    pub fn take_large(&mut self) -> Option<Vec<u8>> {
        let frame = self.inlet.large.pop_front()?;
        self.inlet.large_bytes -= frame.len();
        Some(frame)
    }

    fn split<'a>(
        &'a mut self,
        outlet: &'a mut Outlet,
    ) -> (&'a mut miolo_server::Connections, Sink<'a>) {
        let inlet = &mut self.inlet;
        (&mut self.table, Sink { inlet, outlet })
    }
}

/// The handler of all connections.
struct Sink<'a> {
    inlet: &'a mut Inlet,
    outlet: &'a mut Outlet,
}

impl Sink<'_> {
    /// Tells of what is never dropped: at once, or behind what waits for room.
    fn tell(&mut self, kind: u8, id: ConnectionId, argument: u64) {
        let record = Record {
            kind,
            generation: id.generation(),
            slot: id.slot(),
            argument,
        };
        if self.has_room_for_record() {
            self.outlet.write(record);
        } else {
            self.inlet.deferred.push_back(record);
        }
    }

    fn has_room_for_record(&self) -> bool {
        self.inlet.deferred.is_empty() && self.outlet.has_room_to_spare()
    }

    fn has_room_for_deferred(&self) -> bool {
        !self.inlet.deferred.is_empty() && self.outlet.has_room_to_spare()
    }

    fn room(&mut self, least: usize) -> Option<miolo_bridge::Span> {
        self.inlet.inbound.room(least).unwrap_or_else(|_| {
            self.outlet.corrupt("the inbound arena");
            None
        })
    }

    fn tell_data(&mut self, id: ConnectionId, count: usize) {
        let position = self.inlet.inbound.take(count);
        let argument = u64::from(position) | (count as u64) << 32;
        self.tell(layout::EVENT_DATA, id, argument);
    }
}

impl ConnectionHandler for Sink<'_> {
    fn open(&mut self, conn: &mut Connection<'_>) {
        let id = conn.id();
        let server = conn.server().map_or(0, ServerId::number);
        let argument = match conn.peer_addr() {
            std::net::SocketAddr::V4(peer) if server <= 0xffff => {
                let port = u32::from(peer.port()) << 16 | server;
                u64::from(u32::from(*peer.ip())) | u64::from(port) << 32
            }
            // JavaScript asks.
            _ => u64::from(server) << 32,
        };
        self.tell(layout::EVENT_OPEN, id, argument);
    }

    fn accepted(&mut self, server: ServerId, accepted: Accepted) -> Option<Accepted> {
        match self.inlet.spreads.get_mut(&server) {
            Some(spread) => spread.pass_on(accepted),
            None => Some(accepted),
        }
    }

    /// A frame; bytes that are not framed were read into the arena.
    fn data(&mut self, conn: &mut Connection<'_>, frame: &[u8]) {
        let id = conn.id();
        if frame.len() <= layout::ARENA_BYTES / 8
            && let Some(room) = self.room(frame.len().max(1))
        {
            // SAFETY: there is room for so many bytes, in shared memory that nobody has a reference to.
            unsafe {
                std::ptr::copy_nonoverlapping(frame.as_ptr(), room.start, frame.len());
            }
            return self.tell_data(id, frame.len());
        }
        self.inlet.large_bytes += frame.len();
        self.inlet.large.push_back(frame.to_vec());
        self.tell(layout::EVENT_LARGE, id, 0);
    }

    fn end(&mut self, conn: &mut Connection<'_>) {
        self.tell(layout::EVENT_END, conn.id(), 0);
    }

    fn drain(&mut self, conn: &mut Connection<'_>) {
        self.tell(layout::EVENT_DRAIN, conn.id(), 0);
    }

    fn close(&mut self, id: ConnectionId, reason: CloseReason) {
        let (number, error) = match &reason {
            CloseReason::End => (layout::CLOSE_END, 0),
            CloseReason::Reset => (layout::CLOSE_RESET, 0),
            CloseReason::Aborted => (layout::CLOSE_ABORTED, 0),
            CloseReason::Idle => (layout::CLOSE_IDLE, 0),
            CloseReason::Lifetime => (layout::CLOSE_LIFETIME, 0),
            CloseReason::Overflow => (layout::CLOSE_OVERFLOW, 0),
            CloseReason::FrameTooLong => (layout::CLOSE_FRAME_TOO_LONG, 0),
            CloseReason::OverLimit => (layout::CLOSE_OVER_LIMIT, 0),
            CloseReason::Shutdown => (layout::CLOSE_SHUTDOWN, 0),
            CloseReason::Error(error) => (layout::CLOSE_ERROR, errno(error)),
            _ => (layout::CLOSE_ERROR, 0),
        };
        let argument = u64::from(number) | u64::from(error as u32) << 32;
        self.tell(layout::EVENT_CLOSE, id, argument);
    }

    fn connect_failed(&mut self, id: ConnectionId, error: io::Error) {
        self.close(id, CloseReason::Error(error));
    }

    fn error(&mut self, server: ServerId, error: io::Error) {
        let id = ConnectionId::new(server.number(), 0);
        self.tell(
            layout::EVENT_SERVER_ERROR,
            id,
            u64::from(errno(&error) as u32),
        );
    }

    fn sent(&mut self, conn: ConnectionId, count: usize) {
        let slot = conn.slot() as usize;
        let totals = &mut self.inlet.totals;
        if slot >= totals.len() {
            totals.resize(slot + 1, 0);
        }
        totals[slot] = totals[slot].wrapping_add(count as u32);
        let word = self.inlet.sent.get(slot);
        word.store(totals[slot], Ordering::Release);
    }

    fn may_open(&mut self) -> bool {
        self.has_room_for_record()
    }

    fn has_room(&mut self) -> bool {
        self.has_room_for_record()
            && self.inlet.large_bytes <= LARGE_BYTES
            && self.room(LEAST_READ).is_some()
    }

    #[cfg(unix)]
    fn receive(
        &mut self,
        conn: ConnectionId,
        stream: &TcpStream,
        limit: usize,
    ) -> Option<io::Result<Received>> {
        use std::os::fd::AsRawFd;

        let room = self.room(LEAST_READ)?;
        let asked = room.len.min(limit);
        // By the system call: no slice may be made of memory that JavaScript shares.
        // SAFETY: there is room for so many bytes, and the stream is open.
        let count = unsafe { libc::recv(stream.as_raw_fd(), room.start.cast(), asked, 0) };
        let Ok(count) = usize::try_from(count) else {
            return Some(Err(io::Error::last_os_error()));
        };
        if count > 0 {
            self.tell_data(conn, count);
        }
        Some(Ok(Received { count, asked }))
    }
}

/// The reasons that JavaScript may have to close a connection.
fn reason(number: u32) -> Option<CloseReason> {
    Some(match number {
        // Without a reset.
        layout::CLOSE_END => CloseReason::End,
        layout::CLOSE_ABORTED => CloseReason::Aborted,
        layout::CLOSE_OVERFLOW => CloseReason::Overflow,
        layout::CLOSE_SHUTDOWN => CloseReason::Shutdown,
        layout::CLOSE_ERROR => CloseReason::Error(io::ErrorKind::Other.into()),
        _ => return None,
    })
}
