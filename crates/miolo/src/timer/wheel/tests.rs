use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use proptest::prelude::*;

use super::*;

const MAX_DELAY: u64 = 1 << 53;

fn wheel() -> Wheel<u32> {
    Wheel::new(1 << 24)
}

fn set(wheel: &mut Wheel<u32>, payload: u32, deadline: u64) -> Timeout {
    wheel.set(payload, deadline).expect("there is room")
}

/// What is due at `now`, in order.
fn fired(wheel: &mut Wheel<u32>, now: u64) -> Vec<u32> {
    wheel.advance(now);
    std::iter::from_fn(|| wheel.pop_due()).collect()
}

impl<T> Wheel<T> {
    /// Calls `check` with every timer of a list, whether it is due and its deadline. How many there are.
    fn check_list(&self, list: &List, mut check: impl FnMut(bool, u64)) -> usize {
        let mut count = 0;
        let mut previous_slot = NIL;
        let mut slot = list.head;
        while slot != NIL {
            let Slot::Set {
                previous,
                next,
                due,
                deadline,
                ..
            } = self.slots[slot as usize]
            else {
                panic!("a vacant slot in a list");
            };
            assert_eq!(previous, previous_slot);
            check(due, deadline);
            count += 1;
            (previous_slot, slot) = (slot, next);
        }
        assert_eq!(list.tail, previous_slot);
        count
    }

    /// Panics unless every timer is where it is looked for, and every bitmap says what is there.
    fn check(&self) {
        let mut found = 0;
        let mut page = |page: &Page, level: usize, ahead: bool| {
            for (bucket, list) in page.lists.iter().enumerate() {
                found += self.check_list(list, |due, deadline| {
                    assert!(!due && deadline >= self.present);
                    let place = self.place(deadline);
                    assert_eq!(
                        (place.level, place.bucket, place.ahead),
                        (level, bucket, ahead)
                    );
                });
                let below = level.checked_sub(1).map(|below| &self.ahead[below]);
                let split = below.is_some_and(|below| {
                    let parent = self.parent(level - 1);
                    below.page.occupied != 0
                        && (parent.level, parent.bucket, parent.ahead) == (level, bucket, ahead)
                });
                assert!(
                    !split || list.head == NIL,
                    "a split bucket keeps nothing itself"
                );
                assert_eq!(page.occupied & bit(bucket) != 0, list.head != NIL || split);
            }
        };
        for level in 0..LEVELS {
            page(&self.pages[level], level, false);
        }
        for level in 0..LEVELS - 1 {
            page(&self.ahead[level].page, level, true);
        }
        let mut last = 0;
        found += self.check_list(&self.due, |due, deadline| {
            assert!(due && last <= deadline && deadline <= self.present);
            last = deadline;
        });
        for (&at, list) in &self.overdue {
            assert!(list.head != NIL && at < self.present);
            found += self.check_list(list, |due, deadline| assert!(!due && deadline == at));
        }
        assert_eq!(found, self.len);
    }
}

#[test]
fn nothing_is_early() {
    let mut wheel = wheel();
    for deadline in [1, 63, 64, 65, 4095, 4096, 262_143, 262_144, MAX_DELAY] {
        set(&mut wheel, 7, deadline);
        assert_eq!(fired(&mut wheel, deadline - 1), []);
        assert_eq!(fired(&mut wheel, deadline), [7]);
        assert!(wheel.is_empty());
    }
}

#[test]
fn a_deadline_that_has_passed_is_due_at_once() {
    let mut wheel = wheel();
    wheel.advance(1000);
    set(&mut wheel, 1, 10);
    set(&mut wheel, 2, 1000);
    assert_eq!(wheel.find_next(), Some(10));
    assert_eq!(fired(&mut wheel, 1000), [1, 2]);
    assert_eq!(wheel.find_next(), None);
}

#[test]
fn timers_set_too_late_fire_by_deadline_and_in_the_order_set() {
    let mut wheel = wheel();
    wheel.advance(1000);
    for (payload, deadline) in [(5, 1000), (3, 900), (0, 10), (4, 900), (6, 1001), (1, 10)] {
        set(&mut wheel, payload, deadline);
    }
    let cleared = set(&mut wheel, 9, 5);
    assert_eq!(wheel.find_next(), Some(5));
    assert_eq!(wheel.clear(cleared), Some(9));
    assert_eq!(wheel.clear(cleared), None);
    assert_eq!(wheel.find_next(), Some(10));
    set(&mut wheel, 2, 10);
    wheel.check();
    assert_eq!(fired(&mut wheel, 1001), [0, 1, 2, 3, 4, 5, 6]);
    assert!(wheel.is_empty());
}

#[test]
fn timers_set_too_late_take_their_places_among_those_already_due() {
    let mut wheel = wheel();
    for (payload, deadline) in [(0, 10), (1, 20), (4, 30)] {
        set(&mut wheel, payload, deadline);
    }
    wheel.advance(40);
    assert_eq!(wheel.pop_due(), Some(0));
    for (payload, deadline) in [(5, 35), (3, 25), (2, 20)] {
        set(&mut wheel, payload, deadline);
    }
    let first = set(&mut wheel, 9, 5);
    assert_eq!(wheel.find_next(), Some(5));
    wheel.advance(40);
    wheel.check();
    assert_eq!(wheel.clear(first), Some(9));
    assert_eq!(fired(&mut wheel, 40), [1, 2, 3, 4, 5]);
}

#[test]
fn time_that_goes_back_is_ignored() {
    let mut wheel = wheel();
    wheel.advance(1000);
    set(&mut wheel, 1, 1001);
    assert_eq!(fired(&mut wheel, 5), []);
    assert_eq!(fired(&mut wheel, 1001), [1]);
}

#[test]
fn timers_fire_by_deadline_after_a_long_absence() {
    let mut wheel = wheel();
    let deadlines = [
        70_000_u64,
        3,
        5_000_000,
        64,
        63,
        4096,
        4095,
        70_001,
        1 << 40,
    ];
    for (i, &deadline) in deadlines.iter().enumerate() {
        set(&mut wheel, i as u32, deadline);
    }
    assert_eq!(fired(&mut wheel, u64::MAX), [1, 4, 3, 6, 5, 0, 7, 2, 8]);
}

#[test]
fn equal_deadlines_keep_the_order_they_were_set_in_through_every_cascade() {
    let mut wheel = wheel();
    let deadline = 300_000;
    let mut expected = vec![];
    for (i, now) in [0, 1, 200_000, 262_144, 299_000, 299_990, 300_000]
        .into_iter()
        .enumerate()
    {
        wheel.advance(now);
        wheel.find_next();
        set(&mut wheel, i as u32, deadline);
        set(&mut wheel, 99, deadline + 1);
        expected.push(i as u32);
    }
    assert_eq!(fired(&mut wheel, deadline), expected);
}

#[test]
fn a_timer_set_while_others_are_due_waits_for_the_next_advance() {
    let mut wheel = wheel();
    set(&mut wheel, 1, 5);
    wheel.advance(5);
    set(&mut wheel, 3, 5);
    set(&mut wheel, 2, 4);
    assert_eq!(wheel.pop_due(), Some(1));
    assert_eq!(wheel.pop_due(), None);
    assert_eq!(fired(&mut wheel, 5), [2, 3]);
}

#[test]
fn a_timer_that_is_due_can_still_be_cleared() {
    let mut wheel = wheel();
    let timers: Vec<_> = (0..4).map(|i| set(&mut wheel, i, 5)).collect();
    wheel.advance(5);
    assert_eq!(wheel.pop_due(), Some(0));
    assert_eq!(wheel.clear(timers[2]), Some(2));
    assert_eq!(wheel.clear(timers[2]), None);
    assert_eq!(wheel.clear(timers[0]), None);
    assert_eq!(wheel.pop_due(), Some(1));
    assert_eq!(wheel.clear(timers[3]), Some(3));
    assert_eq!(wheel.pop_due(), None);
    assert!(wheel.is_empty());
}

#[test]
fn an_old_handle_names_no_other_timer() {
    let mut wheel = wheel();
    let old = set(&mut wheel, 1, 5);
    assert_eq!(wheel.clear(old), Some(1));
    let new = set(&mut wheel, 2, 5);
    assert_eq!(old.slot(), new.slot());
    assert_eq!(wheel.clear(old), None);
    assert_eq!(wheel.clear(Timeout::new(17, 0)), None);
    assert_eq!(fired(&mut wheel, 5), [2]);
    assert_eq!(wheel.clear(new), None);
}

#[test]
fn a_slot_is_retired_when_its_generations_are_used_up() {
    let mut wheel = wheel();
    let first = set(&mut wheel, 1, 5);
    wheel.clear(first);
    wheel.slots[0] = Slot::Vacant {
        generation: LAST_GENERATION - 1,
        next: NIL,
    };
    let last = set(&mut wheel, 2, 5);
    assert_eq!((last.slot(), last.generation), (0, LAST_GENERATION - 1));
    assert_eq!(wheel.clear(last), Some(2));
    assert_eq!(set(&mut wheel, 3, 5).slot(), 1);
    assert_eq!(wheel.clear(last), None);
    assert_eq!(fired(&mut wheel, 5), [3]);
}

#[test]
fn capacity_counts_the_timers_that_are_set() {
    let mut wheel = Wheel::new(2);
    let first = wheel.set((), 1).unwrap();
    wheel.set((), 1).unwrap();
    assert_eq!(wheel.set((), 1), Err(TimerError::Overflow));
    wheel.clear(first);
    wheel.set((), 1).unwrap();
    wheel.advance(1);
    assert_eq!(
        wheel.set((), 1),
        Err(TimerError::Overflow),
        "a due timer is still set"
    );
    wheel.pop_due();
    wheel.set((), 1).unwrap();
}

#[test]
fn the_next_deadline_is_exact_across_levels() {
    let mut wheel = wheel();
    let far = set(&mut wheel, 1, 10_000_019);
    set(&mut wheel, 2, 10_000_020);
    assert_eq!(wheel.find_next(), Some(10_000_019));
    wheel.clear(far);
    assert_eq!(wheel.find_next(), Some(10_000_020));
    let near = set(&mut wheel, 3, 130);
    let nearer = set(&mut wheel, 4, 129);
    assert_eq!(wheel.find_next(), Some(129));
    wheel.clear(nearer);
    assert_eq!(wheel.find_next(), Some(130));
    wheel.clear(near);
    assert_eq!(wheel.find_next(), Some(10_000_020));
    wheel.check();
}

#[test]
fn an_earlier_bucket_takes_the_page_ahead_and_gives_it_back() {
    let mut wheel = wheel();
    // Two buckets at each of two levels, each with more than one deadline.
    for deadline in [9000, 9001, 9100, 20_000, 20_001] {
        set(&mut wheel, deadline as u32, deadline);
    }
    assert_eq!(wheel.find_next(), Some(9000));
    wheel.check();
    for (deadline, next) in [
        (5000, 5000),
        (5001, 5000),
        (4097, 4097),
        (4200, 4097),
        (70, 70),
        (71, 70),
        (3, 3),
    ] {
        set(&mut wheel, deadline as u32, deadline);
        wheel.check();
        assert_eq!(wheel.find_next(), Some(next));
        wheel.check();
    }
    assert_eq!(
        fired(&mut wheel, 100_000),
        [
            3, 70, 71, 4097, 4200, 5000, 5001, 9000, 9001, 9100, 20_000, 20_001
        ]
    );
}

#[test]
fn a_timer_takes_32_bytes_with_a_payload_of_8() {
    assert_eq!(size_of::<Slot<u64>>(), 32);
}

#[test]
fn many_timers_are_found_one_by_one() {
    let mut wheel = wheel();
    // Some multiplier without a pattern in its low bits.
    let deadline = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44;
    let mut deadlines: Vec<u64> = (0..200_000).map(deadline).collect();
    for (i, &deadline) in deadlines.iter().enumerate() {
        set(&mut wheel, i as u32, deadline);
    }
    deadlines.sort_unstable();
    deadlines.dedup();
    for &deadline in &deadlines {
        assert_eq!(wheel.find_next(), Some(deadline));
        wheel.advance(deadline);
        while wheel.pop_due().is_some() {}
    }
    assert!(wheel.is_empty());
}

#[test]
fn many_timers_set_too_late_fire_by_deadline() {
    let mut wheel = wheel();
    let count = 200_000;
    wheel.advance(u64::from(count));
    for deadline in (0..count).rev() {
        set(&mut wheel, deadline, u64::from(deadline));
    }
    wheel.advance(u64::from(count));
    for deadline in 0..count {
        assert_eq!(wheel.pop_due(), Some(deadline));
    }
}

/// What a wheel should do, done simply.
#[derive(Default)]
struct Model {
    present: u64,
    heap: BinaryHeap<Reverse<(u64, u32)>>,
    due: VecDeque<(u64, u32)>,
    set: HashMap<u32, Timeout>,
}

impl Model {
    fn forget_cleared(&mut self) {
        while let Some(Reverse((_, payload))) = self.heap.peek()
            && !self.set.contains_key(payload)
        {
            self.heap.pop();
        }
        while let Some((_, payload)) = self.due.front()
            && !self.set.contains_key(payload)
        {
            self.due.pop_front();
        }
    }

    fn advance(&mut self, now: u64) {
        self.present = self.present.max(now);
        while let Some(&Reverse((deadline, payload))) = self.heap.peek()
            && deadline <= self.present
        {
            self.heap.pop();
            self.due.push_back((deadline, payload));
        }
        // Payloads count up, so those of one deadline are then in the order set.
        self.due.make_contiguous().sort_unstable();
    }

    fn pop_due(&mut self) -> Option<u32> {
        self.forget_cleared();
        let (_, payload) = self.due.pop_front()?;
        self.set.remove(&payload);
        Some(payload)
    }

    /// The deadline and payload of the timer that the next advance would have fire first.
    fn next(&mut self) -> Option<(u64, u32)> {
        self.forget_cleared();
        let waiting = self.heap.peek().map(|&Reverse(timer)| timer);
        self.due.front().copied().into_iter().chain(waiting).min()
    }

    fn next_deadline(&mut self) -> Option<u64> {
        self.next().map(|(deadline, _)| deadline)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Set(u64),
    SetTooLate(u64),
    SetAgain,
    Clear(prop::sample::Index),
    ClearNext,
    Advance(u64),
    AdvanceToNext,
    Pop(usize),
    FindNext,
}

/// Delays of every order of magnitude, many of them near a boundary of the wheel.
fn delay() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => 0..4_u64,
        3 => 0..200_u64,
        3 => 0..10_000_u64,
        2 => 0..1_000_000_u64,
        1 => 0..=MAX_DELAY,
        2 => (0..54_u32, 0..3_u64).prop_map(|(power, off)| (1 << power) + off - 1),
        1 => Just(u64::MAX),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => delay().prop_map(Step::Set),
        3 => delay().prop_map(Step::SetTooLate),
        2 => Just(Step::SetAgain),
        3 => any::<prop::sample::Index>().prop_map(Step::Clear),
        2 => Just(Step::ClearNext),
        2 => delay().prop_filter("time does not end", |&d| d != u64::MAX).prop_map(Step::Advance),
        2 => Just(Step::AdvanceToNext),
        2 => (0..10_usize).prop_map(Step::Pop),
        4 => Just(Step::FindNext),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_wheel_does_what_a_heap_does(
        epoch in prop_oneof![Just(0), delay().prop_map(|delay| delay / 2)],
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut wheel = wheel();
        let mut model = Model::default();
        let mut last_deadline = 0;
        let mut payload = 0;
        wheel.advance(epoch);
        model.advance(epoch);
        for step in steps {
            match step {
                Step::Set(_) | Step::SetTooLate(_) | Step::SetAgain => {
                    match step {
                        Step::Set(delay) => last_deadline = model.present.saturating_add(delay),
                        Step::SetTooLate(by) => last_deadline = model.present.saturating_sub(by),
                        _ => {}
                    }
                    let timeout = set(&mut wheel, payload, last_deadline);
                    model.heap.push(Reverse((last_deadline, payload)));
                    model.set.insert(payload, timeout);
                    payload += 1;
                }
                Step::Clear(index) => {
                    if payload > 0 {
                        let victim = index.index(payload as usize) as u32;
                        if let Some(timeout) = model.set.remove(&victim) {
                            prop_assert_eq!(wheel.clear(timeout), Some(victim));
                            prop_assert_eq!(wheel.clear(timeout), None);
                        }
                    }
                }
                Step::ClearNext => {
                    if let Some((_, victim)) = model.next() {
                        let timeout = model.set.remove(&victim).expect("it is set");
                        prop_assert_eq!(wheel.clear(timeout), Some(victim));
                    }
                }
                Step::Advance(by) => {
                    let now = model.present.saturating_add(by);
                    wheel.advance(now);
                    model.advance(now);
                }
                Step::AdvanceToNext => {
                    if let Some(next) = model.next_deadline() {
                        wheel.advance(next);
                        model.advance(next);
                    }
                }
                Step::Pop(n) => {
                    for _ in 0..n {
                        prop_assert_eq!(wheel.pop_due(), model.pop_due());
                    }
                }
                Step::FindNext => {
                    prop_assert_eq!(wheel.find_next(), model.next_deadline());
                }
            }
            prop_assert_eq!(wheel.len, model.set.len());
            wheel.check();
        }
        wheel.advance(u64::MAX);
        model.advance(u64::MAX);
        while let Some(payload) = model.pop_due() {
            prop_assert_eq!(wheel.pop_due(), Some(payload));
        }
        prop_assert!(wheel.is_empty());
    }
}
