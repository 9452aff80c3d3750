use std::fmt;
use std::ops::{BitAnd, BitOr, BitXor, Not, Sub};

use crate::event_set::write_flags;

const EDGE: usize = 0x20;
const LEVEL: usize = 0x40;
const ONESHOT: usize = 0x80;
const ALL: usize = EDGE | LEVEL | ONESHOT;

/// How a registration is told of its events.
///
/// - [`edge`](PollOpt::edge): when something new has happened. Read or write until `WouldBlock`.
/// - [`level`](PollOpt::level): in every iteration, for as long as it is so. Costs one more system call
///   an event.
/// - [`oneshot`](PollOpt::oneshot): once; then nothing until the next `reregister`.
///
/// `oneshot` may come together with one of the others, and then prevails; `level` prevails over `edge`.
/// The empty set is `level`, as it was in mio.
///
/// ```
/// use miolo::PollOpt;
///
/// let opt = PollOpt::edge() | PollOpt::oneshot();
/// assert!(opt.is_edge() && opt.is_oneshot() && !opt.is_level());
/// assert_eq!(format!("{opt:?}"), "Edge-Triggered | OneShot");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PollOpt(usize);

impl PollOpt {
    /// None of the three; the same as `level`.
    pub const fn empty() -> PollOpt {
        PollOpt(0)
    }

    /// Edge-triggered.
    pub const fn edge() -> PollOpt {
        PollOpt(EDGE)
    }

    /// Level-triggered.
    pub const fn level() -> PollOpt {
        PollOpt(LEVEL)
    }

    /// Delivered once.
    pub const fn oneshot() -> PollOpt {
        PollOpt(ONESHOT)
    }

    /// All three.
    pub const fn all() -> PollOpt {
        PollOpt(ALL)
    }

    /// The options with these bits, as [`bits`](PollOpt::bits) gives them; `None` if there are others
    /// among them.
    pub const fn from_bits(bits: usize) -> Option<PollOpt> {
        if bits & !ALL == 0 {
            Some(PollOpt(bits))
        } else {
            None
        }
    }

    /// Whether `edge` is in the set.
    pub const fn is_edge(self) -> bool {
        self.0 & EDGE != 0
    }

    /// Whether `level` is in the set.
    pub const fn is_level(self) -> bool {
        self.0 & LEVEL != 0
    }

    /// Whether `oneshot` is in the set.
    pub const fn is_oneshot(self) -> bool {
        self.0 & ONESHOT != 0
    }

    /// Whether everything in `other` is in the set.
    pub const fn contains(self, other: PollOpt) -> bool {
        self.0 & other.0 == other.0
    }

    /// Adds what is in `other`.
    pub fn insert(&mut self, other: PollOpt) {
        self.0 |= other.0;
    }

    /// Removes what is in `other`.
    pub fn remove(&mut self, other: PollOpt) {
        self.0 &= !other.0;
    }

    /// The set as bits: edge 0x20, level 0x40, oneshot 0x80.
    pub const fn bits(self) -> usize {
        self.0
    }
}

impl BitOr for PollOpt {
    type Output = PollOpt;

    fn bitor(self, other: PollOpt) -> PollOpt {
        PollOpt(self.0 | other.0)
    }
}

impl BitXor for PollOpt {
    type Output = PollOpt;

    fn bitxor(self, other: PollOpt) -> PollOpt {
        PollOpt(self.0 ^ other.0)
    }
}

impl BitAnd for PollOpt {
    type Output = PollOpt;

    fn bitand(self, other: PollOpt) -> PollOpt {
        PollOpt(self.0 & other.0)
    }
}

impl Sub for PollOpt {
    type Output = PollOpt;

    fn sub(self, other: PollOpt) -> PollOpt {
        PollOpt(self.0 & !other.0)
    }
}

impl Not for PollOpt {
    type Output = PollOpt;

    fn not(self) -> PollOpt {
        PollOpt(!self.0 & ALL)
    }
}

/// With mio's names; nothing for the empty set.
impl fmt::Debug for PollOpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_flags(
            f,
            self.0,
            &[
                (EDGE, "Edge-Triggered"),
                (LEVEL, "Level-Triggered"),
                (ONESHOT, "OneShot"),
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_those_of_mio() {
        assert_eq!(PollOpt::empty().bits(), 0);
        assert_eq!(PollOpt::edge().bits(), 0x20);
        assert_eq!(PollOpt::level().bits(), 0x40);
        assert_eq!(PollOpt::oneshot().bits(), 0x80);
        assert_eq!(PollOpt::all().bits(), 0xe0);
        assert_eq!(
            PollOpt::from_bits(0xa0),
            Some(PollOpt::edge() | PollOpt::oneshot())
        );
        assert_eq!(PollOpt::from_bits(1), None);
    }

    #[test]
    fn operators_are_those_of_sets() {
        let mut opt = PollOpt::edge() | PollOpt::oneshot();
        assert!(opt.contains(PollOpt::edge()) && !opt.contains(PollOpt::all()));
        assert_eq!(opt & PollOpt::edge(), PollOpt::edge());
        assert_eq!(
            opt ^ (PollOpt::edge() | PollOpt::level()),
            PollOpt::level() | PollOpt::oneshot()
        );
        assert_eq!(PollOpt::all() ^ opt, !opt);
        assert_eq!(opt - PollOpt::edge(), PollOpt::oneshot());
        assert_eq!(!opt, PollOpt::level());
        opt.insert(PollOpt::level());
        opt.remove(PollOpt::edge());
        assert!(opt.is_level() && opt.is_oneshot() && !opt.is_edge());
    }

    #[test]
    fn debug_names_what_is_in_the_set_as_mio_did() {
        assert_eq!(
            format!("{:?}", PollOpt::edge() | PollOpt::oneshot()),
            "Edge-Triggered | OneShot"
        );
        assert_eq!(
            format!("{:?}", PollOpt::all()),
            "Edge-Triggered | Level-Triggered | OneShot"
        );
        assert_eq!(format!("{:?}", PollOpt::empty()), "");
    }
}
