//! The bridge is itself a Handler: its five callbacks write records for JavaScript.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use miolo::{EventLoop, EventSet, Handler, Registrar, RegistrationId, Room, Timeout, Token};
use miolo_bridge::{Consumer, Merge, Producer, Readiness, Record, Words, layout};

/// The lane number of the messages that the owner's isolate sends to itself.
pub const LOCAL: u32 = layout::LANES as u32;

/// Records kept back, so that a batch always has room to end.
const RESERVED: usize = 2;

/// Messages of one sender that one iteration has counted.
pub struct Batch {
    lane: u32,
    count: u32,
}

/// How a lane's count is followed: what was sent, less what has been counted into a batch.
struct Inbox {
    lane: u32,
    sent: Words,
    counted: u32,
}

/// Forwards the loop's events to JavaScript, and JavaScript's commands to the loop.
pub struct Forwarder {
    memory: Words,
    events: Producer,
    commands: Consumer,
    readiness: Readiness,
    registrar: Registrar,
    epoch: Instant,
    messages_per_tick: usize,
    capacity: u32,
    /// Ready registrations whose record found the ring full. Each is there at most once.
    unannounced: VecDeque<(u32, u32)>,
    /// The loop's handle of each of JavaScript's timers, by slot.
    timers: Vec<Option<Timeout>>,
    /// The earliest deadline that JavaScript has set since this was last taken.
    earliest: Option<Instant>,
    /// The loop's name of each of JavaScript's registrations, by slot, and their generation.
    registrations: Vec<Option<(RegistrationId, u32)>>,
    inboxes: Vec<Inbox>,
    /// Where the lanes are, once the loop is shared.
    lanes: Option<Words>,
    /// Whose turn it is to be counted first, so that no lane starves another.
    first_inbox: usize,
    /// Messages posted to the loop whose `notify` is still to come: each needs a record.
    posted: usize,
    /// Messages of JavaScript's that these stand for.
    counted: usize,
    /// More messages wait than the last count could take.
    backlog: bool,
    /// An `interrupted` that found the ring full.
    interrupted: bool,
    /// Something was written since the last tick.
    wrote: bool,
    fault: Option<String>,
}

impl Forwarder {
    pub fn new(
        memory: &Words,
        shape: &layout::Layout,
        registrar: Registrar,
        epoch: Instant,
        messages_per_tick: usize,
        capacity: u32,
    ) -> Self {
        let word = |index| memory.window(index, 1);
        Self {
            memory: memory.clone(),
            events: Producer::new(
                memory.window(
                    shape.event_ring,
                    shape.event_records as usize * layout::RECORD_WORDS,
                ),
                word(layout::EVENT_HEAD),
                word(layout::EVENT_TAIL),
            ),
            commands: Consumer::new(
                memory.window(
                    shape.command_ring,
                    shape.command_records as usize * layout::RECORD_WORDS,
                ),
                word(layout::COMMAND_HEAD),
                word(layout::COMMAND_TAIL),
            ),
            readiness: Readiness::new(memory.window(shape.readiness, shape.registrations as usize)),
            registrar,
            epoch,
            messages_per_tick,
            capacity,
            unannounced: VecDeque::new(),
            timers: Vec::new(),
            earliest: None,
            registrations: Vec::new(),
            inboxes: vec![Inbox {
                lane: LOCAL,
                sent: word(layout::LOCAL_SENT),
                counted: 0,
            }],
            lanes: None,
            first_inbox: 0,
            posted: 0,
            counted: 0,
            backlog: false,
            interrupted: false,
            wrote: false,
            fault: None,
        }
    }

    /// Tells where the lanes of Senders in other isolates are.
    pub fn set_lanes(&mut self, lanes: Words) {
        self.lanes = Some(lanes);
    }

    /// Follows a lane, which has a Sender for the first time or again.
    pub fn follow_lane(&mut self, lane: u32) {
        let Some(lanes) = &self.lanes else {
            return;
        };
        if self.inboxes.iter().any(|inbox| inbox.lane == lane) {
            return;
        }
        self.inboxes.push(Inbox {
            lane,
            sent: lanes.window(lane as usize * layout::LANE_WORDS + layout::LANE_SENT, 1),
            counted: 0,
        });
    }

    /// Has the senders' counts looked at again.
    pub fn expect_messages(&self) {
        self.memory.get(layout::MAIL).store(1, Ordering::SeqCst);
    }

    /// Which registration of the loop JavaScript's slot stands for, so that it can be rearmed.
    pub fn set_registration(&mut self, slot: u32, id: Option<(RegistrationId, u32)>) {
        let slot = slot as usize;
        if slot >= self.registrations.len() {
            self.registrations.resize(slot + 1, None);
        }
        self.registrations[slot] = id;
    }

    /// Takes in what JavaScript has asked for, and counts the messages of the next iteration. True
    /// if there are records for JavaScript now that had found no room.
    pub fn take_in(&mut self, event_loop: &mut EventLoop<Self>) -> bool {
        let announced = self.announce();
        self.obey(event_loop);
        if self.memory.get(layout::MAIL).load(Ordering::SeqCst) != 0 {
            self.count_messages(event_loop);
        }
        announced
    }

    /// Whether JavaScript has asked for something since.
    pub fn has_news(&self) -> bool {
        !self.commands.is_empty()
            || (self.memory.get(layout::MAIL).load(Ordering::SeqCst) != 0 && self.has_room())
    }

    /// Messages are counted and wait for their `notify`.
    pub fn has_posted(&self) -> bool {
        self.posted > 0
    }

    /// More messages wait, and there is room for them.
    pub fn has_backlog(&self) -> bool {
        self.backlog && self.has_room()
    }

    /// Something waits for room in the event ring, or soon will.
    pub fn is_starved(&self) -> bool {
        self.interrupted || !self.unannounced.is_empty() || !self.has_room()
    }

    /// What the next iteration may hand over. Readiness needs no room: it waits in its own word.
    pub fn room(&self) -> Room {
        Room {
            messages: usize::MAX,
            timeouts: self.free() / 2,
        }
    }

    /// Whether a record fits, and one more to end its batch.
    fn has_room(&self) -> bool {
        self.free() > 1
    }

    /// Records that are neither used nor promised.
    pub fn free(&self) -> usize {
        self.events
            .capacity()
            .saturating_sub(self.events.depth())
            .saturating_sub(RESERVED + self.posted)
    }

    /// The earliest of the deadlines that were set since the last call.
    pub fn take_earliest(&mut self) -> Option<Instant> {
        self.earliest.take()
    }

    /// Takes the error, if JavaScript's memory held what it may not.
    pub fn fault(&mut self) -> Option<String> {
        self.fault.take()
    }

    fn corrupt(&mut self, what: &str) {
        self.fault
            .get_or_insert_with(|| format!("the loop's shared memory is corrupt: {what}"));
    }

    /// Writes the records that once found no room.
    fn announce(&mut self) -> bool {
        if !self.interrupted && self.unannounced.is_empty() {
            return false;
        }
        if self.interrupted && self.can_write() {
            self.interrupted = false;
            self.write(layout::EVENT_INTERRUPTED, 0, 0, 0);
        }
        while self.can_write() {
            let Some((slot, generation)) = self.unannounced.pop_front() else {
                break;
            };
            self.write(layout::EVENT_READY, generation, slot, 0);
        }
        let wrote = self.wrote;
        if wrote {
            self.finish_batch();
        }
        wrote
    }

    /// As [`has_room`](Self::has_room), where JavaScript's end of the ring makes sense.
    fn can_write(&mut self) -> bool {
        match self.events.room() {
            Ok(_) => self.has_room(),
            Err(_) => {
                self.corrupt("the event ring");
                false
            }
        }
    }

    fn obey(&mut self, event_loop: &mut EventLoop<Self>) {
        loop {
            match self.commands.pop() {
                Ok(Some(command)) => self.obey_one(event_loop, command),
                Ok(None) => break,
                Err(_) => {
                    self.corrupt("the command ring");
                    break;
                }
            }
        }
        self.commands.release();
    }

    fn obey_one(&mut self, event_loop: &mut EventLoop<Self>, command: Record) {
        let slot = command.slot as usize;
        match command.kind {
            layout::COMMAND_SET_TIMER => {
                let Some(deadline) = self.instant(f64::from_bits(command.argument)) else {
                    return self.corrupt("a deadline");
                };
                if command.slot >= layout::MAX_TIMERS {
                    return self.corrupt("a timer's slot");
                }
                let name = pack(command.slot, command.generation);
                self.earliest = Some(self.earliest.map_or(deadline, |at| at.min(deadline)));
                match event_loop.timeout_at(name, deadline) {
                    Ok(timer) => {
                        if slot >= self.timers.len() {
                            self.timers.resize(slot + 1, None);
                        }
                        self.timers[slot] = Some(timer);
                    }
                    Err(_) => self.corrupt("more timers than the capacity"),
                }
            }
            layout::COMMAND_CLEAR_TIMER => {
                if let Some(timer) = self.timers.get_mut(slot).and_then(Option::take) {
                    event_loop.clear_timeout(timer);
                }
            }
            layout::COMMAND_REARM => {
                // One that was registered anew meanwhile is as it was asked to be.
                if let Some(&Some((id, generation))) = self.registrations.get(slot)
                    && generation & layout::GENERATION_MASK == command.generation
                    && let Err(error) = self.registrar.rearm(id)
                {
                    self.fault.get_or_insert_with(|| {
                        format!("a registration cannot be rearmed: {error}")
                    });
                }
            }
            _ => self.corrupt("a command"),
        }
    }

    /// The moment that JavaScript gave in milliseconds since the loop's epoch, never before it.
    fn instant(&self, milliseconds: f64) -> Option<Instant> {
        if !(0.0..=2f64.powi(54)).contains(&milliseconds) {
            return None;
        }
        let whole = milliseconds.floor();
        let nanoseconds = ((milliseconds - whole) * 1e6).ceil() as u64;
        let since = Duration::from_millis(whole as u64) + Duration::from_nanos(nanoseconds);
        self.epoch.checked_add(since)
    }

    /// Counts the waiting messages into batches: exactly these are delivered in the next iteration.
    fn count_messages(&mut self, event_loop: &mut EventLoop<Self>) {
        self.memory.get(layout::MAIL).swap(0, Ordering::SeqCst);
        self.backlog = false;
        // Some may have been counted before, for the same iteration.
        let mut allowance = self.messages_per_tick.saturating_sub(self.counted);
        let mut records = if self.can_write() { self.free() / 2 } else { 0 };
        let inboxes = self.inboxes.len();
        for turn in 0..inboxes {
            let inbox = &mut self.inboxes[(self.first_inbox + turn) % inboxes];
            let waiting = inbox
                .sent
                .get(0)
                .load(Ordering::SeqCst)
                .wrapping_sub(inbox.counted);
            if waiting == 0 {
                continue;
            }
            if waiting > self.capacity {
                inbox.counted = inbox.counted.wrapping_add(waiting);
                self.corrupt("a sender's count");
                return;
            }
            let count = (waiting as usize).min(allowance);
            if count < waiting as usize || records == 0 {
                self.backlog = true;
            }
            if count == 0 || records == 0 {
                break;
            }
            let (lane, count) = (inbox.lane, count as u32);
            inbox.counted = inbox.counted.wrapping_add(count);
            if event_loop.post(Batch { lane, count }).is_err() {
                self.corrupt("more messages than the capacity");
                return;
            }
            self.posted += 1;
            self.counted += count as usize;
            records -= 1;
            allowance -= count as usize;
        }
        self.first_inbox = (self.first_inbox + 1) % inboxes;
        if self.backlog {
            self.expect_messages();
        }
    }

    fn write(&mut self, kind: u8, generation: u32, slot: u32, argument: u64) {
        let record = Record {
            kind,
            generation,
            slot,
            argument,
        };
        match self.events.push(record) {
            Ok(()) => self.wrote = true,
            Err(_) => self.corrupt("the event ring"),
        }
    }

    fn finish_batch(&mut self) {
        self.write(layout::EVENT_TICK, 0, 0, 0);
        self.wrote = false;
        self.events.publish();
        let depth = self.events.depth() as u64;
        let high = self.memory.get_u64(layout::METRIC_EVENT_RING_HIGH_WATER);
        if depth > high.load(Ordering::Relaxed) {
            high.store(depth, Ordering::Relaxed);
        }
    }

    /// Adds to a counter of the metrics. Only the holder of the loop's state writes them.
    pub fn add(&self, metric: usize, amount: u64) {
        let counter = self.memory.get_u64(metric);
        counter.store(
            counter.load(Ordering::Relaxed).wrapping_add(amount),
            Ordering::Relaxed,
        );
    }
}

impl Handler for Forwarder {
    /// JavaScript's slot and generation.
    type Timeout = u64;
    type Message = Batch;

    fn ready(&mut self, _: &mut EventLoop<Self>, token: Token, events: EventSet) {
        let (slot, generation) = unpack(token.as_usize() as u64);
        if self.readiness.merge(slot, generation, events.bits() as u8) == Merge::Announce {
            // Half of the ring is for messages and timeouts, which have been promised their room.
            if self.free() > self.events.capacity() / 2 {
                self.write(layout::EVENT_READY, generation, slot, 0);
            } else {
                self.unannounced.push_back((slot, generation));
            }
        }
    }

    fn notify(&mut self, _: &mut EventLoop<Self>, batch: Batch) {
        self.posted -= 1;
        self.counted -= batch.count as usize;
        self.add(layout::METRIC_NOTIFY, batch.count.into());
        self.write(layout::EVENT_NOTIFY, 0, batch.lane, u64::from(batch.count));
    }

    fn timeout(&mut self, _: &mut EventLoop<Self>, name: u64) {
        let (slot, generation) = unpack(name);
        self.write(layout::EVENT_TIMEOUT, generation, slot, 0);
    }

    fn interrupted(&mut self, _: &mut EventLoop<Self>) {
        if self.has_room() {
            self.write(layout::EVENT_INTERRUPTED, 0, 0, 0);
        } else {
            self.interrupted = true;
        }
    }

    fn tick(&mut self, _: &mut EventLoop<Self>) {
        if self.wrote {
            self.finish_batch();
        }
    }
}

/// JavaScript's name for a registration or a timer, as the loop's token or payload.
pub fn pack(slot: u32, generation: u32) -> u64 {
    u64::from(slot) | u64::from(generation) << 32
}

fn unpack(name: u64) -> (u32, u32) {
    (name as u32, (name >> 32) as u32)
}
