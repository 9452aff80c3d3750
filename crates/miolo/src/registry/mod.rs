//! Registrations: what a loop watches, changed from any thread.
//!
//! Locks are taken in this order: a source's, then the table's or the poll's, never both. No source is
//! dropped under the table's lock, since dropping one takes that lock.

mod table;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, RwLock};

use mio::event::Source as MioSource;

use crate::error::Error;
use crate::source::{Association, Evented};
use crate::sync::{lock, read, write};
use crate::{EventSet, PollOpt, Token};

pub(crate) use table::Ready;
use table::{Registration, Table};

/// Names one registration, for as long as it lasts: from `register` to `deregister`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RegistrationId(u64);

impl RegistrationId {
    fn new(slot: usize, generation: u32) -> RegistrationId {
        RegistrationId(slot as u64 | u64::from(generation) << 32)
    }

    fn slot(self) -> usize {
        self.0 as u32 as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Registers sources with a loop from any thread, also while the loop sleeps in its poll.
///
/// ```
/// use miolo::tcp::TcpListener;
/// use miolo::{EventLoop, EventSet, Handler, PollOpt, Token};
///
/// struct Idle;
///
/// impl Handler for Idle {
///     type Timeout = ();
///     type Message = ();
/// }
///
/// let event_loop = EventLoop::<Idle>::new()?;
/// let registrar = event_loop.registrar();
/// std::thread::spawn(move || {
///     let listener = TcpListener::bind(&"127.0.0.1:0".parse().unwrap())?;
///     registrar.register(&listener, Token(0), EventSet::readable(), PollOpt::edge())
/// })
/// .join()
/// .unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Registrar {
    core: Arc<Core>,
}

impl Registrar {
    pub(crate) fn new(poll: mio::Registry) -> Registrar {
        let core = Core {
            poll: RwLock::new(Some(poll)),
            table: Mutex::new(Table::new()),
        };
        Registrar {
            core: Arc::new(core),
        }
    }

    /// As [`EventLoop::register`](crate::EventLoop::register).
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the source, or a clone of it, is registered with this loop; `Other` if with
    /// another; `NotConnected` if the loop has been dropped; or what the system says.
    pub fn register<E: Evented + ?Sized>(
        &self,
        io: &E,
        token: Token,
        interest: EventSet,
        opt: PollOpt,
    ) -> io::Result<()> {
        let body = &io.source().body;
        let mut state = body.write();
        if let Some(association) = &state.association {
            let error = if self.has(association) {
                Error::AlreadyRegistered
            } else {
                Error::RegisteredElsewhere
            };
            return Err(error.into());
        }
        let registration = Registration::new(token, interest, opt);
        let id = lock(&self.core.table).insert(Arc::downgrade(body), registration)?;
        let done = match mio_interest(interest) {
            Some(wanted) => self
                .core
                .at_poll(|poll| poll.register(&mut state.io, mio_token(id), wanted)),
            None => Ok(()),
        };
        if done.is_err() {
            lock(&self.core.table).remove(id);
            return done;
        }
        state.association = Some(Association {
            registry: Arc::downgrade(&self.core),
            id,
            interest,
        });
        Ok(())
    }

    /// As [`EventLoop::reregister`](crate::EventLoop::reregister).
    ///
    /// # Errors
    ///
    /// `NotFound` if the source is not registered; `Other` if it is registered with another loop; or
    /// what the system says: the registration is then as it was.
    pub fn reregister<E: Evented + ?Sized>(
        &self,
        io: &E,
        token: Token,
        interest: EventSet,
        opt: PollOpt,
    ) -> io::Result<()> {
        let mut state = io.source().body.write();
        let (id, before) = self.check(&state.association)?;
        // Before the poll is told: what it then reports must find the new interest.
        let registration = Registration::new(token, interest, opt);
        let old = lock(&self.core.table)
            .replace(id, registration)
            .ok_or(Error::Closed)?;
        let done = self.core.at_poll(
            |poll| match (mio_interest(before), mio_interest(interest)) {
                (None, None) => Ok(()),
                (None, Some(wanted)) => poll.register(&mut state.io, mio_token(id), wanted),
                (Some(_), Some(wanted)) => poll.reregister(&mut state.io, mio_token(id), wanted),
                (Some(_), None) => poll.deregister(&mut state.io),
            },
        );
        if done.is_err() {
            lock(&self.core.table).replace(id, old);
            return done;
        }
        if let Some(association) = &mut state.association {
            association.interest = interest;
        }
        Ok(())
    }

    /// As [`EventLoop::deregister`](crate::EventLoop::deregister).
    ///
    /// # Errors
    ///
    /// `NotFound` if the source is not registered; `Other` if it is registered with another loop; or
    /// what the system says: the registration is gone nevertheless.
    pub fn deregister<E: Evented + ?Sized>(&self, io: &E) -> io::Result<()> {
        let mut state = io.source().body.write();
        self.check(&state.association)?;
        match state.association.take() {
            Some(association) => self.core.forget(&association, &mut state.io),
            None => Ok(()),
        }
    }

    /// The registration of a source with this loop.
    pub fn registration<E: Evented + ?Sized>(&self, io: &E) -> Option<RegistrationId> {
        let state = read(&io.source().body.state);
        state
            .association
            .as_ref()
            .filter(|association| self.has(association))
            .map(|it| it.id)
    }

    /// Asks anew for what the registration was last registered with: if it is ready, `ready` is called
    /// again, also for an edge; a oneshot is armed again. `false` if the registration is gone.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn rearm(&self, id: RegistrationId) -> io::Result<bool> {
        self.core.rearm(id, |registration| {
            registration.rearm();
            true
        })
    }

    /// Rearms a level registration that has been delivered and not reregistered since.
    pub(crate) fn rearm_level(&self, id: RegistrationId) -> io::Result<bool> {
        self.core.rearm(id, Registration::rearm_level)
    }

    /// Takes in what a poll has reported, and lists the registrations that have news by it.
    pub(crate) fn collect(&self, events: &mio::Events, ready: &mut Vec<RegistrationId>) {
        let mut table = lock(&self.core.table);
        for event in events {
            if event.token() == WAKE {
                continue;
            }
            if let Some(id) = table.named(event.token())
                && table.hold(id, event_set(event))
            {
                ready.push(id);
            }
        }
    }

    /// Adds to what is held for a registration. Whether it is to be listed as ready.
    pub(crate) fn hold(&self, id: RegistrationId, events: EventSet) -> bool {
        lock(&self.core.table).hold(id, events)
    }

    /// What is to be delivered now to a registration that was listed as ready, if anything.
    pub(crate) fn take_ready(&self, id: RegistrationId) -> Option<Ready> {
        lock(&self.core.table).take_ready(id)
    }

    /// Whether this is a handle of the same loop.
    pub(crate) fn is(&self, other: &Registrar) -> bool {
        Arc::ptr_eq(&self.core, &other.core)
    }

    /// Deregisters everything and lets go of the poll's descriptor.
    pub(crate) fn close(&self) {
        let entries = lock(&self.core.table).close();
        for (id, source) in entries {
            let Some(body) = source.upgrade() else {
                continue;
            };
            let mut state = body.write();
            if state
                .association
                .as_ref()
                .is_some_and(|it| self.has(it) && it.id == id)
                && let Some(association) = state.association.take()
            {
                // There is nobody to be told; the poll is about to be closed.
                let _ = self.core.forget(&association, &mut state.io);
            }
        }
        write(&self.core.poll).take();
    }

    fn has(&self, association: &Association) -> bool {
        association.registry.as_ptr() == Arc::as_ptr(&self.core)
    }

    fn check(
        &self,
        association: &Option<Association>,
    ) -> Result<(RegistrationId, EventSet), Error> {
        match association {
            None => Err(Error::NotRegistered),
            Some(association) if self.has(association) => {
                Ok((association.id, association.interest))
            }
            Some(_) => Err(Error::RegisteredElsewhere),
        }
    }
}

impl fmt::Debug for Registrar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registrar").finish_non_exhaustive()
    }
}

/// What the handles of one loop share.
pub(crate) struct Core {
    /// `None` once the loop is gone, so that whoever still holds a handle holds no descriptor.
    poll: RwLock<Option<mio::Registry>>,
    table: Mutex<Table>,
}

impl Core {
    fn at_poll(&self, f: impl FnOnce(&mio::Registry) -> io::Result<()>) -> io::Result<()> {
        match read(&self.poll).as_ref() {
            Some(poll) => f(poll),
            None => Err(Error::Closed.into()),
        }
    }

    /// Ends a registration whose association has been taken out of the source.
    pub(crate) fn forget<S>(&self, association: &Association, io: &mut S) -> io::Result<()>
    where
        S: MioSource + ?Sized,
    {
        lock(&self.table).remove(association.id);
        if association.interest.is_empty() {
            return Ok(());
        }
        match read(&self.poll).as_ref() {
            Some(poll) => poll.deregister(io),
            None => Ok(()),
        }
    }

    fn rearm(
        &self,
        id: RegistrationId,
        arm: impl FnOnce(&mut Registration) -> bool,
    ) -> io::Result<bool> {
        let Some(body) = lock(&self.table).arm(id, arm) else {
            return Ok(false);
        };
        let mut state = body.write();
        let wanted = match &state.association {
            Some(association) if association.id == id => mio_interest(association.interest),
            _ => return Ok(false),
        };
        match (wanted, read(&self.poll).as_ref()) {
            (Some(wanted), Some(poll)) => poll
                .reregister(&mut state.io, mio_token(id), wanted)
                .map(|()| true),
            (None, Some(_)) => Ok(true),
            (_, None) => Ok(false),
        }
    }
}

/// The token of the loop's own waker: no slot is that far.
pub(crate) const WAKE: mio::Token = mio::Token(usize::MAX);

/// How many bits of mio's token hold the slot; the others hold what there is room for of the generation.
const SLOT_BITS: u32 = if usize::BITS < 64 { 24 } else { 32 };

fn mio_token(id: RegistrationId) -> mio::Token {
    mio::Token(id.slot() | (id.generation() as usize) << SLOT_BITS)
}

fn slot_of(token: mio::Token) -> usize {
    token.0 & ((1 << SLOT_BITS) - 1)
}

/// `None` for an empty interest, which mio does not know.
fn mio_interest(interest: EventSet) -> Option<mio::Interest> {
    if interest.is_empty() {
        None
    } else if interest.is_writable() {
        // Always READABLE too: only with it does mio ask for the peer's hang-up.
        Some(mio::Interest::READABLE | mio::Interest::WRITABLE)
    } else {
        Some(mio::Interest::READABLE)
    }
}

fn event_set(event: &mio::event::Event) -> EventSet {
    let mut set = EventSet::none();
    if event.is_readable() {
        set |= EventSet::readable();
    }
    if event.is_writable() {
        set |= EventSet::writable();
    }
    if event.is_error() {
        set |= EventSet::error();
    }
    // mio takes an error for a closed writing half; that is no hang-up.
    if event.is_read_closed() || (event.is_write_closed() && !event.is_error()) {
        set |= EventSet::hup();
    }
    set
}
