use std::sync::{Arc, Weak};

use slab::Slab;

use super::{RegistrationId, mio_token, slot_of};
use crate::error::Error;
use crate::source::AnyBody;
use crate::{EventSet, PollOpt, Token};

/// The registrations of one loop.
pub(super) struct Table {
    entries: Slab<Entry>,
    /// Of the next registration. It goes up with each, so a slot that is used again differs in it.
    generation: u32,
    closed: bool,
}

struct Entry {
    id: RegistrationId,
    source: Weak<AnyBody>,
    registration: Registration,
    /// Listed as ready and not yet looked at; the list has it once.
    listed: bool,
}

/// What was asked for, and how far it has been delivered.
#[derive(Clone, Copy)]
pub(super) struct Registration {
    token: Token,
    /// With errors and hang-ups, unless it is empty.
    wanted: EventSet,
    mode: Mode,
    /// What has been reported and not yet delivered.
    held: EventSet,
    /// `false` for a oneshot that has been delivered.
    armed: bool,
    /// A level that has been delivered, and must be asked for again before the next poll.
    owed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Edge,
    Level,
    Oneshot,
}

/// What `ready` is to be called with.
pub(crate) struct Ready {
    pub(crate) token: Token,
    pub(crate) events: EventSet,
    /// To be rearmed before the next poll.
    pub(crate) level: bool,
}

impl Table {
    pub(super) fn new() -> Table {
        Table {
            entries: Slab::new(),
            generation: 0,
            closed: false,
        }
    }

    pub(super) fn insert(
        &mut self,
        source: Weak<AnyBody>,
        registration: Registration,
    ) -> Result<RegistrationId, Error> {
        if self.closed {
            return Err(Error::Closed);
        }
        let vacant = self.entries.vacant_entry();
        let id = RegistrationId::new(vacant.key(), self.generation);
        self.generation = self.generation.wrapping_add(1);
        vacant.insert(Entry {
            id,
            source,
            registration,
            listed: false,
        });
        Ok(id)
    }

    pub(super) fn replace(
        &mut self,
        id: RegistrationId,
        registration: Registration,
    ) -> Option<Registration> {
        let entry = self.entry(id)?;
        Some(std::mem::replace(&mut entry.registration, registration))
    }

    pub(super) fn remove(&mut self, id: RegistrationId) {
        if self.entry(id).is_some() {
            self.entries.remove(id.slot());
        }
    }

    /// The registration that mio's token names.
    pub(super) fn named(&self, token: mio::Token) -> Option<RegistrationId> {
        let id = self.entries.get(slot_of(token))?.id;
        (mio_token(id) == token).then_some(id)
    }

    /// Adds to what is held. Whether the registration is to be listed as ready.
    pub(super) fn hold(&mut self, id: RegistrationId, events: EventSet) -> bool {
        let Some(entry) = self.entry(id) else {
            return false;
        };
        let registration = &mut entry.registration;
        let events = events & registration.wanted;
        if !registration.armed || events.is_empty() {
            return false;
        }
        registration.held |= events;
        !std::mem::replace(&mut entry.listed, true)
    }

    pub(super) fn take_ready(&mut self, id: RegistrationId) -> Option<Ready> {
        let entry = self.entry(id)?;
        entry.listed = false;
        let registration = &mut entry.registration;
        let events = std::mem::take(&mut registration.held);
        if events.is_empty() {
            return None;
        }
        registration.armed = registration.mode != Mode::Oneshot;
        registration.owed = registration.mode == Mode::Level;
        Some(Ready {
            token: registration.token,
            events,
            level: registration.owed,
        })
    }

    /// The source of a registration, if it is to be asked for again.
    pub(super) fn arm(
        &mut self,
        id: RegistrationId,
        arm: impl FnOnce(&mut Registration) -> bool,
    ) -> Option<Arc<AnyBody>> {
        let entry = self.entry(id)?;
        if arm(&mut entry.registration) {
            entry.source.upgrade()
        } else {
            None
        }
    }

    /// Refuses registrations from now on; the ones there are.
    pub(super) fn close(&mut self) -> Vec<(RegistrationId, Weak<AnyBody>)> {
        self.closed = true;
        self.entries
            .iter()
            .map(|(_, entry)| (entry.id, entry.source.clone()))
            .collect()
    }

    fn entry(&mut self, id: RegistrationId) -> Option<&mut Entry> {
        self.entries
            .get_mut(id.slot())
            .filter(|entry| entry.id == id)
    }
}

impl Registration {
    pub(super) fn new(token: Token, interest: EventSet, opt: PollOpt) -> Registration {
        let wanted = if interest.is_empty() {
            interest
        } else {
            interest | EventSet::error() | EventSet::hup()
        };
        let mode = if opt.is_oneshot() {
            Mode::Oneshot
        } else if opt.is_level() || !opt.is_edge() {
            Mode::Level
        } else {
            Mode::Edge
        };
        Registration {
            token,
            wanted,
            mode,
            held: EventSet::none(),
            armed: true,
            owed: false,
        }
    }

    pub(super) fn rearm(&mut self) {
        self.armed = true;
        self.owed = false;
    }

    /// Whether it is a level that has been delivered and not been asked for since.
    pub(super) fn rearm_level(&mut self) -> bool {
        std::mem::take(&mut self.owed)
    }
}
