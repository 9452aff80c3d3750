use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign, BitXor, Not, Sub};

const READABLE: usize = 1;
const WRITABLE: usize = 2;
const ERROR: usize = 4;
const HUP: usize = 8;
const ALL: usize = READABLE | WRITABLE | ERROR | HUP;

/// A set of events: what a registration asks for, and what [`Handler::ready`](crate::Handler::ready) is
/// told.
///
/// Errors and hang-ups are delivered whether they are asked for or not.
///
/// ```
/// use miolo::EventSet;
///
/// let interest = EventSet::readable() | EventSet::hup();
/// assert!(interest.is_readable() && !interest.is_writable());
/// assert_eq!(format!("{interest:?}"), "Readable | Hup");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventSet(usize);

impl EventSet {
    /// Nothing. As an interest: nothing is delivered until the next `reregister`.
    pub const fn none() -> EventSet {
        EventSet(0)
    }

    /// There is something to read or to accept, or the end of the stream.
    pub const fn readable() -> EventSet {
        EventSet(READABLE)
    }

    /// There is room to write, or a connect has come to its end.
    pub const fn writable() -> EventSet {
        EventSet(WRITABLE)
    }

    /// The source has failed; reading, writing or `take_socket_error` tells how.
    pub const fn error() -> EventSet {
        EventSet(ERROR)
    }

    /// The peer has hung up: it has shut down its writing half, or the connection is gone.
    ///
    /// There may still be bytes to read.
    pub const fn hup() -> EventSet {
        EventSet(HUP)
    }

    /// All four.
    pub const fn all() -> EventSet {
        EventSet(ALL)
    }

    /// The set with these bits, as [`bits`](EventSet::bits) gives them; `None` if there are others among
    /// them.
    pub const fn from_bits(bits: usize) -> Option<EventSet> {
        if bits & !ALL == 0 {
            Some(EventSet(bits))
        } else {
            None
        }
    }

    /// Whether `readable` is in the set.
    pub const fn is_readable(self) -> bool {
        self.0 & READABLE != 0
    }

    /// Whether `writable` is in the set.
    pub const fn is_writable(self) -> bool {
        self.0 & WRITABLE != 0
    }

    /// Whether `error` is in the set.
    pub const fn is_error(self) -> bool {
        self.0 & ERROR != 0
    }

    /// Whether `hup` is in the set.
    pub const fn is_hup(self) -> bool {
        self.0 & HUP != 0
    }

    /// Whether nothing is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether everything in `other` is in the set.
    pub const fn contains(self, other: EventSet) -> bool {
        self.0 & other.0 == other.0
    }

    /// Adds what is in `other`.
    pub fn insert(&mut self, other: EventSet) {
        self.0 |= other.0;
    }

    /// Removes what is in `other`.
    pub fn remove(&mut self, other: EventSet) {
        self.0 &= !other.0;
    }

    /// The set as bits: readable 1, writable 2, error 4, hup 8.
    pub const fn bits(self) -> usize {
        self.0
    }
}

impl BitOr for EventSet {
    type Output = EventSet;

    fn bitor(self, other: EventSet) -> EventSet {
        EventSet(self.0 | other.0)
    }
}

impl BitOrAssign for EventSet {
    fn bitor_assign(&mut self, other: EventSet) {
        self.0 |= other.0;
    }
}

impl BitXor for EventSet {
    type Output = EventSet;

    fn bitxor(self, other: EventSet) -> EventSet {
        EventSet(self.0 ^ other.0)
    }
}

impl BitAnd for EventSet {
    type Output = EventSet;

    fn bitand(self, other: EventSet) -> EventSet {
        EventSet(self.0 & other.0)
    }
}

impl Sub for EventSet {
    type Output = EventSet;

    fn sub(self, other: EventSet) -> EventSet {
        EventSet(self.0 & !other.0)
    }
}

impl Not for EventSet {
    type Output = EventSet;

    fn not(self) -> EventSet {
        EventSet(!self.0 & ALL)
    }
}

/// With mio's names; nothing for the empty set.
impl fmt::Debug for EventSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_flags(
            f,
            self.0,
            &[
                (READABLE, "Readable"),
                (WRITABLE, "Writable"),
                (ERROR, "Error"),
                (HUP, "Hup"),
            ],
        )
    }
}

/// Writes the names of the flags that are set: `A | B`.
pub(crate) fn write_flags(
    f: &mut fmt::Formatter<'_>,
    bits: usize,
    names: &[(usize, &str)],
) -> fmt::Result {
    let mut separator = "";
    for (_, name) in names.iter().filter(|(flag, _)| bits & flag != 0) {
        write!(f, "{separator}{name}")?;
        separator = " | ";
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_those_of_mio() {
        assert_eq!(EventSet::none().bits(), 0);
        assert_eq!(EventSet::readable().bits(), 1);
        assert_eq!(EventSet::writable().bits(), 2);
        assert_eq!(EventSet::error().bits(), 4);
        assert_eq!(EventSet::hup().bits(), 8);
        assert_eq!(EventSet::all().bits(), 15);
    }

    #[test]
    fn every_set_survives_the_way_through_its_bits() {
        for bits in 0..16 {
            assert_eq!(EventSet::from_bits(bits).map(EventSet::bits), Some(bits));
        }
        assert_eq!(EventSet::from_bits(16), None);
        assert_eq!(EventSet::from_bits(usize::MAX), None);
    }

    #[test]
    fn operators_are_those_of_sets() {
        let both = EventSet::readable() | EventSet::writable();
        assert!(both.contains(EventSet::readable()) && both.contains(both));
        assert!(!EventSet::readable().contains(both));
        assert_eq!(both & EventSet::writable(), EventSet::writable());
        assert_eq!(
            both ^ (EventSet::writable() | EventSet::hup()),
            EventSet::readable() | EventSet::hup()
        );
        assert_eq!(EventSet::all() ^ both, !both);
        assert_eq!(both - EventSet::writable(), EventSet::readable());
        assert_eq!(!both, EventSet::error() | EventSet::hup());
        assert_eq!(!EventSet::all(), EventSet::none());

        let mut set = EventSet::none();
        set.insert(both);
        set |= EventSet::hup();
        set.remove(EventSet::readable());
        assert!(set.is_writable() && set.is_hup() && !set.is_readable() && !set.is_error());
        assert!(!set.is_empty() && EventSet::none().is_empty());
    }

    #[test]
    fn debug_names_what_is_in_the_set_as_mio_did() {
        assert_eq!(
            format!("{:?}", EventSet::readable() | EventSet::hup()),
            "Readable | Hup"
        );
        assert_eq!(
            format!("{:?}", EventSet::all()),
            "Readable | Writable | Error | Hup"
        );
        assert_eq!(format!("{:?}", EventSet::none()), "");
    }
}
