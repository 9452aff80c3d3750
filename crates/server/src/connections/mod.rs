//! All connections of one loop.

mod accepting;
mod reading;
mod sending;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use miolo::tcp::TcpStream;
use miolo::{EventLoop, EventSet, Handler, PollOpt, Token};

use crate::connection::Body;
use crate::connection_timeout::Timed;
use crate::outbox::Pool;
use crate::servers::Servers;
use crate::{
    Accepted, CloseReason, Connection, ConnectionHandler, ConnectionId, ConnectionOptions,
    ConnectionTimeout, MAX_CONNECTIONS, ServerId, ServerOptions,
};

/// The connections and listeners of one loop, for a program that handles those of several servers, or begins
/// connections itself. [`TcpServer`](crate::TcpServer) is the simple case.
///
/// The loop's [`Handler`] passes on to it what is its own: [`ready`](Connections::ready) where it
/// [`owns`](Connections::owns) the token, [`timeout`](Connections::timeout) and every [`tick`](Connections::tick).
pub struct Connections {
    first: usize,
    slots: Vec<Slot>,
    /// Slots that are free, oldest first.
    free: VecDeque<u32>,
    open: usize,
    servers: Servers,
    /// Those that have something to send or to finish at the end of the iteration.
    dirty: VecDeque<ConnectionId>,
    /// Those that may have more to read than an iteration's budget, or than there was room for.
    hungry: VecDeque<ConnectionId>,
    /// Listeners that may have more to accept than an iteration's budget, or than was let in.
    crowded: Vec<u32>,
    /// Those that other tables have accepted.
    adopted: VecDeque<(ServerId, Accepted)>,
    /// There was no room for what has come: it waits for some.
    starved: bool,
    /// Nor for those who come.
    blocked: bool,
    /// Which iteration this is: they end with their `tick`.
    iteration: u64,
    scratch: Vec<u8>,
    pool: Pool,
}

struct Slot {
    generation: u32,
    body: Option<Box<Body>>,
}

impl Connections {
    /// A table whose tokens are those from `first` on.
    pub fn new(first: Token) -> Connections {
        Connections {
            first: first.as_usize(),
            slots: Vec::new(),
            free: VecDeque::new(),
            open: 0,
            servers: Servers::default(),
            dirty: VecDeque::new(),
            hungry: VecDeque::new(),
            crowded: Vec::new(),
            adopted: VecDeque::new(),
            starved: false,
            blocked: false,
            iteration: 0,
            scratch: Vec::new(),
            pool: Pool::default(),
        }
    }

    /// How many connections there are, those that are being made among them.
    pub fn len(&self) -> usize {
        self.open
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// An open connection; `None` if that one has ended.
    pub fn get(&mut self, id: ConnectionId) -> Option<Connection<'_>> {
        self.is_current(id)
            .then_some(Connection { table: self, id })
    }

    /// Adds a server, which does not listen yet.
    pub fn add_server(&mut self, options: ServerOptions) -> ServerId {
        self.servers.add(options)
    }

    /// Has a server listen at an address, or at one more; the address is returned as the system has chosen it.
    ///
    /// # Errors
    ///
    /// What the system says; `NotFound` if the server has been removed.
    pub fn listen<H: Handler>(
        &mut self,
        event_loop: &EventLoop<H>,
        server: ServerId,
        addr: &SocketAddr,
    ) -> io::Result<SocketAddr> {
        let (index, listener) = self.servers.listen(server, addr)?;
        let token = Token(self.first + 2 * index as usize + 1);
        let registered =
            event_loop.register(listener, token, EventSet::readable(), PollOpt::edge());
        let address = registered.and_then(|()| listener.local_addr());
        if address.is_err() {
            self.servers.forget_listener(index);
        }
        address
    }

    /// Has a server accept no more. Its connections go on.
    pub fn stop_listening(&mut self, server: ServerId) {
        self.servers.stop(server);
    }

    /// Has a server accept no more, and ends its connections once what was written has been sent; those that have not
    /// ended when `patience` is over are cut.
    pub fn shut_down<H>(
        &mut self,
        event_loop: &mut EventLoop<H>,
        server: ServerId,
        patience: Option<Duration>,
    ) where
        H: Handler,
        H::Timeout: From<ConnectionTimeout>,
    {
        for id in self.of(server) {
            self.with(id.slot, |conn| conn.end());
        }
        self.cut_after(event_loop, server, patience);
    }

    /// Has a server accept no more, and cuts those of its connections that have not ended when `patience` is over. To
    /// [`end`](Connection::end) them is left to whoever still has something to write.
    pub fn cut_after<H>(
        &mut self,
        event_loop: &mut EventLoop<H>,
        server: ServerId,
        patience: Option<Duration>,
    ) where
        H: Handler,
        H::Timeout: From<ConnectionTimeout>,
    {
        self.stop_listening(server);
        self.adopted.retain(|(of, _)| *of != server);
        let by = patience.and_then(|patience| Instant::now().checked_add(patience));
        for id in self.of(server) {
            let body = self.body_mut(id.slot);
            body.cut_by = by;
            if let Some(timer) = body.timer.take() {
                event_loop.clear_timeout(timer);
            }
            self.arm(event_loop, id.slot);
        }
    }

    /// Removes a server, which listens no more. Its connections go on.
    pub fn remove_server(&mut self, server: ServerId) {
        self.servers.stop(server);
        self.servers.remove(server);
    }

    /// How many connections a server has refused because of its limits.
    pub fn refused(&self, server: ServerId) -> u64 {
        self.servers.refused(server)
    }

    /// The same of each server that has not been removed.
    pub fn refusals(&self) -> HashMap<ServerId, u64> {
        self.servers.refusals()
    }

    /// How many connections of a server's there are in this table.
    pub fn count_of(&self, server: ServerId) -> usize {
        let adopted = self.adopted.iter().filter(|(of, _)| *of == server);
        self.servers.open(server) + adopted.count()
    }

    /// The connections that a server has accepted and that have not ended.
    pub fn of(&self, server: ServerId) -> Vec<ConnectionId> {
        let of_server = |body: &Body| body.server == Some(server);
        self.slots
            .iter()
            .zip(0..)
            .filter(|(slot, _)| slot.body.as_deref().is_some_and(of_server))
            .map(|(slot, index)| ConnectionId::new(index, slot.generation))
            .collect()
    }

    /// Begins a connection. Its handler's `open` is called when it is made, `connect_failed` if it cannot be, or not
    /// within `patience`. What is written meanwhile waits.
    ///
    /// # Errors
    ///
    /// What the system says at once; `OutOfMemory` if the table is full.
    pub fn connect<H>(
        &mut self,
        event_loop: &mut EventLoop<H>,
        addr: &SocketAddr,
        options: Arc<ConnectionOptions>,
        patience: Option<Duration>,
    ) -> io::Result<ConnectionId>
    where
        H: Handler,
        H::Timeout: From<ConnectionTimeout>,
    {
        if self.is_full() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let stream = TcpStream::connect(addr)?;
        options.set_up(&stream)?;
        // Not the iteration's: this may come between two of them, and the next may be a long time off.
        let now = Instant::now();
        let mut body = Body::new(stream, *addr, None, options, now);
        body.connect_by = patience.and_then(|patience| now.checked_add(patience));
        self.insert(event_loop, body)
    }

    /// Whether a token is one of this table's.
    pub fn owns(&self, token: Token) -> bool {
        token.as_usize() >= self.first
    }

    /// To be called with each `ready` of a token that the table owns.
    pub fn ready<H, C>(
        &mut self,
        event_loop: &mut EventLoop<H>,
        token: Token,
        events: EventSet,
        handler: &mut C,
    ) where
        H: Handler,
        H::Timeout: From<ConnectionTimeout>,
        C: ConnectionHandler,
    {
        let index = token.as_usize().wrapping_sub(self.first);
        let (place, listens) = ((index >> 1) as u32, index & 1 == 1);
        if listens {
            self.guarded(event_loop, None, |table, event_loop| {
                table.accept(event_loop, place, handler);
            });
        } else if self.body_of(place).is_some() {
            let id = self.id(place);
            self.guarded(event_loop, Some(id), |table, event_loop| {
                table.heed(event_loop, place, events, handler);
            });
        }
    }

    /// What a connection's events have to be followed by.
    fn heed<H, C>(
        &mut self,
        event_loop: &mut EventLoop<H>,
        slot: u32,
        events: EventSet,
        handler: &mut C,
    ) where
        H: Handler,
        H::Timeout: From<ConnectionTimeout>,
        C: ConnectionHandler,
    {
        let body = self.body_mut(slot);
        body.readable |= events != EventSet::writable();
        body.hung_up |= events.is_hup() || events.is_error();
        if events.is_writable() || events.is_error() {
            if body.connecting {
                return self.finish_connecting(event_loop, slot, handler);
            }
            body.writable = true;
            if !body.outbox.is_empty() || body.ending {
                self.mark_dirty(slot);
            }
        }
        self.read(slot, handler);
        if events.is_error() {
            self.look_for_error(slot);
        }
    }

    /// To be called with each timeout of the table's.
    pub fn timeout<H, C>(
        &mut self,
        event_loop: &mut EventLoop<H>,
        timeout: ConnectionTimeout,
        handler: &mut C,
    ) where
        H: Handler,
        H::Timeout: From<ConnectionTimeout>,
        C: ConnectionHandler,
    {
        match timeout.0 {
            Timed::Listener(index) => {
                self.servers.set_waiting(index, false);
                self.guarded(event_loop, None, |table, event_loop| {
                    table.accept(event_loop, index, handler);
                });
            }
            Timed::Connection(id) if self.is_current(id) => {
                let now = Instant::now();
                let body = self.body_mut(id.slot);
                body.timer = None;
                if body.is_hungry && body.has_unread_input() {
                    // It is the handler that has no room, not the peer that is silent.
                    body.active_at = now;
                }
                match body.expired(now) {
                    Some(reason) => self.close(id.slot, reason),
                    // It has been active since.
                    None => self.arm(event_loop, id.slot),
                }
            }
            Timed::Connection(_) => {}
        }
    }

    /// To be called in every `tick`: reads what was left over, sends what was written and ends what has ended.
    ///
    /// If it is `true`, something is left that needs no event: the loop is not to sleep before the next `tick`.
    pub fn tick<H, C>(&mut self, event_loop: &mut EventLoop<H>, handler: &mut C) -> bool
    where
        H: Handler,
        H::Timeout: From<ConnectionTimeout>,
        C: ConnectionHandler,
    {
        self.blocked = false;
        self.take_in_adopted(event_loop, handler);
        for index in self.crowded.clone() {
            self.guarded(event_loop, None, |table, event_loop| {
                table.accept(event_loop, index, handler);
            });
        }
        self.starved = false;
        for _ in 0..self.hungry.len() {
            // Before one is taken from the front, or it would lose its turn.
            self.starved |= !handler.has_room();
            if self.starved {
                break;
            }
            let Some(id) = self.hungry.pop_front() else {
                break;
            };
            if self.is_current(id) {
                self.body_mut(id.slot).is_hungry = false;
                self.guarded(event_loop, Some(id), |table, _| {
                    table.read(id.slot, handler)
                });
            }
        }
        self.flush(event_loop, handler);
        self.iteration += 1;
        self.wants_turn()
    }

    /// Whether something is left that a [`tick`](Connections::tick) would do without an event.
    pub fn wants_turn(&self) -> bool {
        !self.dirty.is_empty()
            || (!self.hungry.is_empty() && !self.starved)
            || (self.are_waiting() && !self.blocked)
    }

    /// Whether there are those who wait to be let in, or may be.
    fn are_waiting(&self) -> bool {
        !self.crowded.is_empty() || !self.adopted.is_empty()
    }

    /// Whether what has come, or who has, waits for the handler to have room.
    pub fn is_starved(&self) -> bool {
        (self.starved && !self.hungry.is_empty()) || (self.blocked && self.are_waiting())
    }

    /// Whether the handler has room now for what waits for it.
    pub fn is_fed<C: ConnectionHandler>(&self, handler: &mut C) -> bool {
        (self.starved && !self.hungry.is_empty() && handler.has_room())
            || (self.blocked && self.are_waiting() && handler.may_open())
    }

    /// Asks the handler again whether it has room: then the table [`wants_turn`](Connections::wants_turn).
    pub fn look_for_room<C: ConnectionHandler>(&mut self, handler: &mut C) {
        self.starved = self.starved && !handler.has_room();
        self.blocked = self.blocked && !handler.may_open();
    }

    /// Calls what calls the handler. If that panics, so does this; but nothing that others wait for is lost, the
    /// connection it was called for is closed, as nobody knows what it has missed, and the loop, if it is run again,
    /// does not sleep before the next tick.
    fn guarded<H: Handler>(
        &mut self,
        event_loop: &mut EventLoop<H>,
        id: Option<ConnectionId>,
        call: impl FnOnce(&mut Connections, &mut EventLoop<H>),
    ) {
        let done = catch_unwind(AssertUnwindSafe(|| call(self, event_loop)));
        let Err(panic) = done else {
            return;
        };
        if let Some(id) = id.filter(|&id| self.is_current(id)) {
            let error = io::Error::other("its handler has panicked");
            self.close(id.slot, CloseReason::Error(error));
        }
        // Whoever has lent bytes may take the panic for the end of the flush.
        self.keep_lent();
        event_loop.wakeup().wake();
        resume_unwind(panic)
    }

    fn insert<H>(&mut self, event_loop: &mut EventLoop<H>, body: Body) -> io::Result<ConnectionId>
    where
        H: Handler,
        H::Timeout: From<ConnectionTimeout>,
    {
        let slot = self.free.pop_front().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 1,
                body: None,
            });
            self.slots.len() as u32 - 1
        });
        let registered = event_loop.register(
            &body.stream,
            Token(self.first + 2 * slot as usize),
            EventSet::readable() | EventSet::writable(),
            PollOpt::edge(),
        );
        if let Err(error) = registered {
            self.free.push_back(slot);
            return Err(error);
        }
        let place = &mut self.slots[slot as usize];
        place.body = Some(Box::new(body));
        let id = ConnectionId::new(slot, place.generation);
        self.open += 1;
        self.arm(event_loop, slot);
        Ok(id)
    }

    /// Sets the connection's timer to when its time is up, if nothing happens before.
    fn arm<H>(&mut self, event_loop: &mut EventLoop<H>, slot: u32)
    where
        H: Handler,
        H::Timeout: From<ConnectionTimeout>,
    {
        let id = self.id(slot);
        let body = self.body_mut(slot);
        let Some(deadline) = body.deadline() else {
            return;
        };
        let timeout = ConnectionTimeout(Timed::Connection(id));
        match event_loop.timeout_at(timeout.into(), deadline) {
            Ok(timer) => body.timer = Some(timer),
            // A limit that cannot be kept is not silently dropped.
            Err(error) => self.close(slot, CloseReason::Error(io::Error::other(error))),
        }
    }

    pub(crate) fn close(&mut self, slot: u32, reason: CloseReason) {
        self.body_mut(slot).closing.get_or_insert(reason);
        self.mark_dirty(slot);
    }

    pub(crate) fn mark_dirty(&mut self, slot: u32) {
        let id = self.id(slot);
        if !std::mem::replace(&mut self.body_mut(slot).is_dirty, true) {
            self.dirty.push_back(id);
        }
    }

    pub(crate) fn mark_hungry(&mut self, slot: u32) {
        let id = self.id(slot);
        if !std::mem::replace(&mut self.body_mut(slot).is_hungry, true) {
            self.hungry.push_back(id);
            // Those that have ended are passed over only when there is room. They must not become many before; and
            // of those that have not, each is there once.
            if self.hungry.len() > 2 * self.open + 64 {
                let slots = &self.slots;
                self.hungry.retain(|id| holds(slots, *id));
            }
        }
    }

    fn with(&mut self, slot: u32, call: impl FnOnce(&mut Connection<'_>)) {
        let id = self.id(slot);
        call(&mut Connection { table: self, id });
    }

    /// The name of the connection in this slot.
    fn id(&self, slot: u32) -> ConnectionId {
        ConnectionId::new(slot, self.slots[slot as usize].generation)
    }

    fn is_full(&self) -> bool {
        self.open == MAX_CONNECTIONS
    }

    fn is_current(&self, id: ConnectionId) -> bool {
        holds(&self.slots, id)
    }

    fn body_of(&mut self, slot: u32) -> Option<&mut Body> {
        self.slots.get_mut(slot as usize)?.body.as_deref_mut()
    }

    /// A connection that was seen to be there.
    pub(crate) fn body(&self, slot: u32) -> &Body {
        let body = self.slots[slot as usize].body.as_deref();
        body.expect("connections go in `finish` only, which no callback calls")
    }

    pub(crate) fn body_mut(&mut self, slot: u32) -> &mut Body {
        self.body_and_pool(slot).0
    }

    pub(crate) fn body_and_pool(&mut self, slot: u32) -> (&mut Body, &mut Pool) {
        let body = self.slots[slot as usize].body.as_deref_mut();
        let body = body.expect("connections go in `finish` only, which no callback calls");
        (body, &mut self.pool)
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections")
            .field("open", &self.open)
            .field("unread", &self.hungry.len())
            .finish_non_exhaustive()
    }
}

/// Whether the connection of this name has not ended.
fn holds(slots: &[Slot], id: ConnectionId) -> bool {
    let slot = slots.get(id.slot as usize);
    slot.is_some_and(|slot| slot.generation == id.generation && slot.body.is_some())
}

/// The generation after this one, never 0.
fn next(generation: u32) -> u32 {
    generation % ConnectionId::GENERATION_MASK + 1
}
