//! A hierarchical timer wheel over ticks.
//!
//! ```text
//!   level 2   [ . . . . X . . . ]   64 buckets of 4096 ticks
//!   level 1   [ . X . . . . . . ]   64 buckets of 64 ticks
//!   level 0   [ . . . X . . . . ]   64 buckets of 1 tick
//! ```
//!
//! A timer lies at the level of the highest group of six bits in which its deadline differs from the
//! present tick. When the present comes to the start of a bucket above level 0, its timers move down.
//! Timers of one deadline are therefore always in one bucket, a list in the order they were set.
//!
//! **The next deadline, exactly.** Level 0 has it in its bitmap; a bucket above holds many deadlines. So
//! the first bucket is split before its time: into a spare page at each level, `ahead`, which becomes
//! the level's page when the present gets there. What a split costs is then not spent again. If an
//! earlier bucket needs the spare page, the split is undone, list by list.

use std::collections::BTreeMap;

use super::{Timeout, TimerError, TimerResult};

const BITS: u32 = 6;
const BUCKETS: usize = 1 << BITS;
/// Enough for any 64-bit tick.
const LEVELS: usize = 11;
/// The end of a list.
const NIL: u32 = u32::MAX;
/// A slot whose generations are used up; it is never used again, so that no old handle fits.
const LAST_GENERATION: u32 = u32::MAX;

pub(super) struct Wheel<T> {
    /// The buckets of the present: at each level, those that share all higher bits with it.
    /// Each holds deadlines after the present only, but for the present's own at level 0.
    pages: Box<[Page; LEVELS]>,
    /// At each level, what one bucket of the level above was split into, if the page is not empty.
    /// That bucket lies in `pages`, or in an `ahead` that is not empty.
    ahead: Box<[Ahead; LEVELS - 1]>,
    /// The tick up to which timers have been made due.
    present: u64,
    /// Timers to be delivered, by deadline.
    due: List,
    /// Timers whose deadline had passed when they were set; at the next `advance` they are due. No list
    /// is empty.
    overdue: BTreeMap<u64, List>,
    slots: Vec<Slot<T>>,
    /// The first of the vacant slots.
    vacant: u32,
    len: usize,
    capacity: usize,
}

enum Slot<T> {
    Vacant {
        /// Of the next timer here.
        generation: u32,
        next: u32,
    },
    Set {
        generation: u32,
        previous: u32,
        next: u32,
        /// In the list `due`, not in a bucket.
        due: bool,
        deadline: u64,
        payload: T,
    },
}

#[derive(Clone, Copy)]
struct List {
    head: u32,
    tail: u32,
}

const EMPTY: List = List {
    head: NIL,
    tail: NIL,
};

#[derive(Clone)]
struct Page {
    /// A bit for each bucket that has a timer, in its list or below it in `ahead`.
    occupied: u64,
    lists: [List; BUCKETS],
}

#[derive(Clone)]
struct Ahead {
    /// What all deadlines of the page have in common: their bits above this level.
    prefix: u64,
    page: Page,
}

/// A bucket.
#[derive(Clone, Copy)]
struct Place {
    level: usize,
    bucket: usize,
    ahead: bool,
}

impl<T> Wheel<T> {
    pub(super) fn new(capacity: usize) -> Wheel<T> {
        const PAGE: Page = Page {
            occupied: 0,
            lists: [EMPTY; BUCKETS],
        };
        const AHEAD: Ahead = Ahead {
            prefix: 0,
            page: PAGE,
        };
        Wheel {
            pages: Box::new([PAGE; LEVELS]),
            ahead: Box::new([AHEAD; LEVELS - 1]),
            present: 0,
            due: EMPTY,
            overdue: BTreeMap::new(),
            slots: Vec::new(),
            vacant: NIL,
            len: 0,
            capacity,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets a timer. One whose deadline has passed is due at the next [`advance`](Wheel::advance).
    pub(super) fn set(&mut self, payload: T, deadline: u64) -> TimerResult<Timeout> {
        if self.len >= self.capacity {
            return Err(TimerError::Overflow);
        }
        let (slot, generation) = match self.slots.get(self.vacant as usize) {
            Some(&Slot::Vacant { generation, next }) => {
                (std::mem::replace(&mut self.vacant, next), generation)
            }
            _ => {
                let slot = self.slots.len() as u32;
                self.slots.push(Slot::Vacant {
                    generation: 0,
                    next: NIL,
                });
                (slot, 0)
            }
        };
        self.slots[slot as usize] = Slot::Set {
            generation,
            previous: NIL,
            next: NIL,
            due: false,
            deadline,
            payload,
        };
        self.len += 1;
        if deadline < self.present {
            let list = self.overdue.entry(deadline).or_insert(EMPTY);
            push(&mut self.slots, list, slot);
        } else {
            self.put(slot, deadline);
        }
        Ok(Timeout::new(slot, generation))
    }

    /// Clears a timer, if it has neither been delivered nor cleared.
    pub(super) fn clear(&mut self, timeout: Timeout) -> Option<T> {
        match self.slots.get(timeout.slot() as usize) {
            Some(&Slot::Set {
                generation,
                due,
                deadline,
                ..
            }) if generation == timeout.generation => {
                if due {
                    let mut list = self.due;
                    self.unlink(&mut list, timeout.slot());
                    self.due = list;
                } else if deadline < self.present {
                    self.take_out_overdue(timeout.slot(), deadline);
                } else {
                    self.take_out(timeout.slot(), deadline);
                }
                self.vacate(timeout.slot())
            }
            _ => None,
        }
    }

    /// Moves the present to `now`, and makes every timer due whose deadline is not after it.
    pub(super) fn advance(&mut self, now: u64) {
        let now = now.max(self.present);
        if !self.overdue.is_empty() {
            self.make_overdue_due();
        }
        while let Some((level, bucket)) = self.first() {
            let tick = self.start(level, bucket);
            if tick > now {
                break;
            }
            self.present = self.present.max(tick);
            let list = std::mem::replace(&mut self.pages[level].lists[bucket], EMPTY);
            self.pages[level].occupied &= !bit(bucket);
            if level == 0 {
                self.make_due(list);
                continue;
            }
            let ahead = &mut self.ahead[level - 1];
            if ahead.is_of(tick >> (BITS * level as u32)) {
                // The levels below are empty, or their buckets would have been first.
                std::mem::swap(&mut self.pages[level - 1], &mut ahead.page);
            } else {
                self.each(list, |wheel, slot, deadline| wheel.put(slot, deadline));
            }
        }
        self.present = now;
    }

    /// Delivers the first of the timers that are due.
    pub(super) fn pop_due(&mut self) -> Option<T> {
        let slot = self.due.head;
        if slot == NIL {
            return None;
        }
        let mut list = self.due;
        self.unlink(&mut list, slot);
        self.due = list;
        self.vacate(slot)
    }

    /// The earliest deadline. Splits the first bucket, so that asking again is cheap.
    pub(super) fn find_next(&mut self) -> Option<u64> {
        if let Some(deadline) = self.first_passed() {
            return Some(deadline);
        }
        let (level, bucket) = self.first()?;
        let mut place = Place {
            level,
            bucket,
            ahead: false,
        };
        let mut prefix = self.start(level, bucket) >> (BITS * level as u32);
        while place.level > 0 {
            let below = place.level - 1;
            if !self.ahead[below].is_of(prefix) {
                let list = *self.list(place);
                if list.head == list.tail {
                    return Some(self.deadline(list.head));
                }
                self.split(place, prefix);
            }
            place = self.ahead[below].first(below);
            prefix = prefix << BITS | place.bucket as u64;
        }
        Some(prefix)
    }

    /// The earliest deadline of those that had passed at the last `advance`.
    fn first_passed(&self) -> Option<u64> {
        let due = (self.due.head != NIL).then(|| self.deadline(self.due.head));
        let overdue = self
            .overdue
            .first_key_value()
            .map(|(&deadline, _)| deadline);
        due.into_iter().chain(overdue).min()
    }

    /// The first bucket that has a timer.
    fn first(&self) -> Option<(usize, usize)> {
        let level = self.pages.iter().position(|page| page.occupied != 0)?;
        Some((level, self.pages[level].occupied.trailing_zeros() as usize))
    }

    /// The first tick of a bucket of `pages`.
    fn start(&self, level: usize, bucket: usize) -> u64 {
        let shift = BITS * level as u32;
        let above = (self.present >> shift) & !(BUCKETS as u64 - 1);
        (above | bucket as u64) << shift
    }

    /// The bucket of a deadline that is not before the present.
    fn place(&self, deadline: u64) -> Place {
        let level = (63 - (deadline ^ self.present | 1).leading_zeros()) as usize / BITS as usize;
        let mut place = Place {
            level,
            bucket: group(deadline, level),
            ahead: false,
        };
        for below in (0..level).rev() {
            if !self.ahead[below].is_of(deadline >> (BITS * (below as u32 + 1))) {
                break;
            }
            place = Place {
                level: below,
                bucket: group(deadline, below),
                ahead: true,
            };
        }
        place
    }

    /// The bucket that the page ahead at `level` was split from.
    fn parent(&self, level: usize) -> Place {
        let prefix = self.ahead[level].prefix;
        let above = level + 1;
        let ahead = above < LEVELS - 1 && self.ahead[above].is_of(prefix >> BITS);
        Place {
            level: above,
            bucket: (prefix % BUCKETS as u64) as usize,
            ahead,
        }
    }

    /// Splits a bucket into the page ahead of the level below.
    fn split(&mut self, place: Place, prefix: u64) {
        let below = place.level - 1;
        if self.ahead[below].page.occupied != 0 {
            self.unsplit(below);
        }
        let list = std::mem::replace(self.list(place), EMPTY);
        self.ahead[below].prefix = prefix;
        self.each(list, |wheel, slot, deadline| {
            wheel.append(
                Place {
                    level: below,
                    bucket: group(deadline, below),
                    ahead: true,
                },
                slot,
            );
        });
    }

    /// Undoes a split. Timers of one deadline stay in order, since they come from one list.
    fn unsplit(&mut self, level: usize) {
        if level > 0
            && self.ahead[level - 1].page.occupied != 0
            && self.ahead[level].is_of(self.ahead[level - 1].prefix >> BITS)
        {
            self.unsplit(level - 1);
        }
        let parent = self.parent(level);
        let mut whole = EMPTY;
        let page = &mut self.ahead[level].page;
        let mut occupied = std::mem::take(&mut page.occupied);
        while occupied != 0 {
            let bucket = occupied.trailing_zeros() as usize;
            occupied &= occupied - 1;
            let list = std::mem::replace(&mut page.lists[bucket], EMPTY);
            concatenate(&mut self.slots, &mut whole, list);
        }
        *self.list(parent) = whole;
    }

    fn put(&mut self, slot: u32, deadline: u64) {
        let place = self.place(deadline);
        self.append(place, slot);
    }

    fn append(&mut self, place: Place, slot: u32) {
        let page = if place.ahead {
            &mut self.ahead[place.level].page
        } else {
            &mut self.pages[place.level]
        };
        page.occupied |= bit(place.bucket);
        push(&mut self.slots, &mut page.lists[place.bucket], slot);
    }

    /// Takes a timer out of its bucket.
    fn take_out(&mut self, slot: u32, deadline: u64) {
        let mut place = self.place(deadline);
        let mut list = *self.list(place);
        self.unlink(&mut list, slot);
        *self.list(place) = list;
        if list.head != NIL {
            return;
        }
        // A page ahead that is empty now is no page ahead any more, and the bucket it was split from is
        // as empty.
        while place.ahead {
            let page = &mut self.ahead[place.level].page;
            let last = page.occupied == bit(place.bucket);
            let parent = last.then(|| self.parent(place.level));
            self.ahead[place.level].page.occupied &= !bit(place.bucket);
            match parent {
                Some(parent) => place = parent,
                None => return,
            }
        }
        self.pages[place.level].occupied &= !bit(place.bucket);
    }

    fn take_out_overdue(&mut self, slot: u32, deadline: u64) {
        let Some(mut list) = self.overdue.remove(&deadline) else {
            return;
        };
        self.unlink(&mut list, slot);
        if list.head != NIL {
            self.overdue.insert(deadline, list);
        }
    }

    fn make_due(&mut self, list: List) {
        self.each(list, |wheel, slot, _| {
            if let Slot::Set { due, .. } = &mut wheel.slots[slot as usize] {
                *due = true;
            }
            push(&mut wheel.slots, &mut wheel.due, slot);
        });
    }

    /// Merges the overdue timers into those that are due, behind those of the same deadline, which were
    /// set before them.
    fn make_overdue_due(&mut self) {
        let mut rest = std::mem::replace(&mut self.due, EMPTY);
        for (deadline, list) in std::mem::take(&mut self.overdue) {
            while rest.head != NIL && self.deadline(rest.head) <= deadline {
                let slot = rest.head;
                self.unlink(&mut rest, slot);
                push(&mut self.slots, &mut self.due, slot);
            }
            self.make_due(list);
        }
        concatenate(&mut self.slots, &mut self.due, rest);
    }

    /// Calls `f` with each timer of a list that nothing refers to any more, in order.
    fn each(&mut self, list: List, mut f: impl FnMut(&mut Wheel<T>, u32, u64)) {
        let mut slot = list.head;
        while let Some(&Slot::Set { next, deadline, .. }) = self.slots.get(slot as usize) {
            f(self, slot, deadline);
            slot = next;
        }
    }

    fn list(&mut self, place: Place) -> &mut List {
        let page = if place.ahead {
            &mut self.ahead[place.level].page
        } else {
            &mut self.pages[place.level]
        };
        &mut page.lists[place.bucket]
    }

    fn deadline(&self, slot: u32) -> u64 {
        match &self.slots[slot as usize] {
            Slot::Set { deadline, .. } => *deadline,
            Slot::Vacant { .. } => unreachable!("lists hold timers that are set"),
        }
    }

    fn unlink(&mut self, list: &mut List, slot: u32) {
        let Slot::Set { previous, next, .. } = self.slots[slot as usize] else {
            return;
        };
        if previous == NIL {
            list.head = next;
        } else {
            set_next(&mut self.slots, previous, next);
        }
        if next == NIL {
            list.tail = previous;
        } else {
            set_previous(&mut self.slots, next, previous);
        }
    }

    /// Empties a slot that is in no list any more.
    fn vacate(&mut self, slot: u32) -> Option<T> {
        let place = &mut self.slots[slot as usize];
        let Slot::Set { generation, .. } = *place else {
            return None;
        };
        let generation = generation + 1;
        let retired = generation == LAST_GENERATION;
        let next = if retired {
            NIL
        } else {
            std::mem::replace(&mut self.vacant, slot)
        };
        self.len -= 1;
        match std::mem::replace(place, Slot::Vacant { generation, next }) {
            Slot::Set { payload, .. } => Some(payload),
            Slot::Vacant { .. } => None,
        }
    }
}

impl Ahead {
    /// Whether this page is what the bucket of this prefix was split into.
    fn is_of(&self, prefix: u64) -> bool {
        self.prefix == prefix && self.page.occupied != 0
    }

    fn first(&self, level: usize) -> Place {
        Place {
            level,
            bucket: self.page.occupied.trailing_zeros() as usize,
            ahead: true,
        }
    }
}

fn bit(bucket: usize) -> u64 {
    1 << bucket
}

/// The bits of a deadline that choose its bucket at a level.
fn group(deadline: u64, level: usize) -> usize {
    (deadline >> (BITS * level as u32)) as usize % BUCKETS
}

fn push<T>(slots: &mut [Slot<T>], list: &mut List, slot: u32) {
    let tail = list.tail;
    if let Slot::Set { previous, next, .. } = &mut slots[slot as usize] {
        *previous = tail;
        *next = NIL;
    }
    if tail == NIL {
        list.head = slot;
    } else {
        set_next(slots, tail, slot);
    }
    list.tail = slot;
}

/// Puts a list behind another.
fn concatenate<T>(slots: &mut [Slot<T>], list: &mut List, rest: List) {
    if rest.head == NIL {
        return;
    }
    if list.tail == NIL {
        *list = rest;
        return;
    }
    set_next(slots, list.tail, rest.head);
    set_previous(slots, rest.head, list.tail);
    list.tail = rest.tail;
}

fn set_next<T>(slots: &mut [Slot<T>], slot: u32, to: u32) {
    if let Slot::Set { next, .. } = &mut slots[slot as usize] {
        *next = to;
    }
}

fn set_previous<T>(slots: &mut [Slot<T>], slot: u32, to: u32) {
    if let Slot::Set { previous, .. } = &mut slots[slot as usize] {
        *previous = to;
    }
}

#[cfg(test)]
mod tests;
