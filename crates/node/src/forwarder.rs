//! The bridge is itself a Handler: its five callbacks write records for JavaScript.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use miolo::{EventLoop, EventSet, Handler, Registrar, RegistrationId, Room, Timeout, Token};
use miolo_bridge::{Consumer, Looked, Merge, Readiness, Record, Unpublished, Words, layout};
use miolo_server::ConnectionTimeout;

use crate::connections::{Connections, FIRST_TOKEN};
use crate::outlet::Outlet;

/// The lane number of the messages that the owner's isolate sends to itself.
pub const LOCAL: u32 = layout::LANES as u32;

/// What a timer of the loop stands for.
pub enum Timed {
    /// The first of JavaScript's timeouts is due.
    Call,
    /// One of a connection is.
    Connection(ConnectionTimeout),
}

impl From<ConnectionTimeout> for Timed {
    fn from(timeout: ConnectionTimeout) -> Self {
        Self::Connection(timeout)
    }
}

/// Readiness and timeouts can wait here for room in the ring, and messages are counted.
pub const ROOM: Room = Room {
    messages: usize::MAX,
    timeouts: usize::MAX,
};

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
    outlet: Outlet,
    /// Once there is a server or a connection.
    connections: Option<Connections>,
    commands: Consumer,
    unpublished: Unpublished,
    readiness: Readiness,
    registrar: Registrar,
    epoch: Instant,
    messages_per_tick: usize,
    capacity: u32,
    /// Ready registrations whose record found the ring full. Each is there at most once.
    deferred: VecDeque<(u32, u32)>,
    /// When JavaScript is to be called for its timeouts.
    call: Option<Timeout>,
    /// It was to be called, and found the ring full.
    late: bool,
    /// The earliest deadline that JavaScript has set since this was last taken.
    earliest: Option<Instant>,
    /// The loop's name of each of JavaScript's registrations, by slot, and their generation.
    registrations: Vec<Option<(RegistrationId, u32)>>,
    inboxes: Vec<Inbox>,
    /// Where the lanes are, once the loop is shared.
    lanes: Option<Words>,
    /// Whose turn it is to be counted first, so that no lane starves another.
    first_inbox: usize,
    /// Messages of JavaScript's that are posted to the loop, and whose `notify` is still to come.
    counted: usize,
    /// More messages wait than the last count could take.
    backlog: bool,
    /// An `interrupted` that found the ring full.
    interrupted: bool,
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
            outlet: Outlet::new(memory, shape),
            connections: None,
            commands: Consumer::new(
                memory.window(
                    shape.command_ring,
                    shape.command_records as usize * layout::RECORD_WORDS,
                ),
                word(layout::COMMAND_HEAD),
                word(layout::COMMAND_TAIL),
            ),
            unpublished: Unpublished::new(
                word(layout::COMMAND_TAIL),
                word(layout::COMMAND_WRITTEN),
            ),
            readiness: Readiness::new(memory.window(shape.readiness, shape.registrations as usize)),
            registrar,
            epoch,
            messages_per_tick,
            capacity,
            deferred: VecDeque::new(),
            call: None,
            late: false,
            earliest: None,
            registrations: Vec::new(),
            inboxes: vec![Inbox {
                lane: LOCAL,
                sent: word(layout::LOCAL_SENT),
                counted: 0,
            }],
            lanes: None,
            first_inbox: 0,
            counted: 0,
            backlog: false,
            interrupted: false,
        }
    }

    /// Opens the connections over their memory, once; or what is open already.
    pub fn open_connections(&mut self, memory: &Words) {
        self.connections
            .get_or_insert_with(|| Connections::new(memory));
    }

    /// The connections, if they have been opened.
    pub fn connections(&mut self) -> Option<&mut Connections> {
        self.connections.as_mut()
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

    /// Whether JavaScript has asked for something that it has not published.
    pub fn has_unpublished(&self) -> bool {
        self.unpublished.exists()
    }

    /// Publishes it, if JavaScript is kept from doing so.
    pub fn look_for_unpublished(&mut self) -> Looked {
        let looked = self.unpublished.look(Instant::now());
        if looked.published {
            // Messages that were sent before come before.
            self.expect_messages();
        }
        looked
    }

    /// Takes in what JavaScript has asked for, and counts the messages of the next iteration.
    pub fn take_in(&mut self, event_loop: &mut EventLoop<Self>) {
        self.write_deferred();
        self.obey(event_loop);
        if self.memory.get(layout::MAIL).load(Ordering::SeqCst) != 0 {
            self.count_messages(event_loop);
        }
        self.outlet.finish_batch();
    }

    /// Whether there is something new for JavaScript since this was last asked.
    pub fn take_published(&mut self) -> bool {
        self.outlet.take_published()
    }

    /// Whether there are commands that nobody has taken in yet.
    pub fn has_commands(&self) -> bool {
        !self.commands.is_empty()
    }

    /// Whether JavaScript has asked for something since.
    pub fn has_news(&self) -> bool {
        self.has_commands()
            || (self.memory.get(layout::MAIL).load(Ordering::SeqCst) != 0 && self.outlet.has_room())
    }

    /// Messages are counted and wait for their `notify`.
    pub fn has_posted(&self) -> bool {
        self.outlet.promised > 0
    }

    /// More messages wait, and there is room for them.
    pub fn has_backlog(&self) -> bool {
        self.backlog && self.outlet.has_room()
    }

    /// Something waits for room in the event ring, or soon will.
    pub fn is_starved(&self) -> bool {
        self.interrupted
            || !self.deferred.is_empty()
            || self.late
            || !self.outlet.has_room()
            || self
                .connections
                .as_ref()
                .is_some_and(Connections::is_starved)
    }

    /// Whether JavaScript has read since there were so many records free, or since what waits for room was last looked at,
    /// so that something has room now.
    pub fn has_more_room(&mut self, free: usize) -> bool {
        let outlet = &mut self.outlet;
        let connections = self.connections.as_mut();
        outlet.free() > free
            || ((self.interrupted || self.late) && outlet.has_room())
            || (!self.deferred.is_empty() && outlet.has_room_to_spare())
            || connections.is_some_and(|it| it.is_fed(outlet))
    }

    /// Sees that what waits for room may come to it. Where JavaScript claims to have read what was never written there is
    /// none, and where it has read all that there was, the connections have theirs: what was read is given back before its
    /// records are. Otherwise somebody has written where that is counted, and the wait would be for ever.
    pub fn check_room(&mut self) {
        let outlet = &mut self.outlet;
        outlet.check();
        if let Some(connections) = &mut self.connections
            && connections.is_starved()
            // In this order: by then all is given back.
            && outlet.has_been_read()
            && !connections.is_fed(outlet)
        {
            outlet.corrupt("what was read is not given back");
        }
    }

    /// Connections have something left to do that needs no event.
    pub fn wants_turn(&mut self) -> bool {
        let outlet = &mut self.outlet;
        let connections = self.connections.as_mut();
        connections.is_some_and(|it| it.wants_turn() || it.is_fed(outlet))
    }

    /// Records that are neither used nor promised.
    pub fn free(&self) -> usize {
        self.outlet.free()
    }

    /// The earliest of the deadlines that were set since the last call.
    pub fn take_earliest(&mut self) -> Option<Instant> {
        self.earliest.take()
    }

    /// Takes the error, if JavaScript's memory held what it may not.
    pub fn take_fault(&mut self) -> Option<String> {
        self.outlet.take_fault()
    }

    /// Writes the records that once found no room, those of readiness into their half of the ring only.
    fn write_deferred(&mut self) {
        if let Some(connections) = &mut self.connections {
            connections.write_deferred(&mut self.outlet);
        }
        if !self.interrupted && !self.late && self.deferred.is_empty() {
            return;
        }
        if self.interrupted && self.outlet.can_write() {
            self.interrupted = false;
            self.write(layout::EVENT_INTERRUPTED, 0, 0, 0);
        }
        while self.outlet.can_write() && self.outlet.has_room_to_spare() {
            let Some((slot, generation)) = self.deferred.pop_front() else {
                break;
            };
            self.write(layout::EVENT_READY, generation, slot, 0);
        }
        if self.late && self.outlet.can_write() {
            self.late = false;
            self.write_timeout();
        }
    }

    /// Calls JavaScript for those of its timeouts that are due by now.
    fn write_timeout(&mut self) {
        let now = self.epoch.elapsed().as_secs_f64() * 1e3;
        self.write(layout::EVENT_TIMEOUT, 0, 0, now.to_bits());
    }

    fn obey(&mut self, event_loop: &mut EventLoop<Self>) {
        loop {
            match self.commands.pop() {
                Ok(Some(command)) => self.obey_one(event_loop, command),
                Ok(None) => break,
                Err(_) => {
                    self.outlet.corrupt("the command ring");
                    break;
                }
            }
        }
        self.commands.release();
        if let Some(connections) = &mut self.connections {
            connections.flush(event_loop, &mut self.outlet);
        }
    }

    fn obey_one(&mut self, event_loop: &mut EventLoop<Self>, command: Record) {
        let slot = command.slot as usize;
        match command.kind {
            layout::COMMAND_CALL_AT => {
                let Some(deadline) = self.instant(f64::from_bits(command.argument)) else {
                    return self.outlet.corrupt("a deadline");
                };
                self.earliest = Some(self.earliest.map_or(deadline, |at| at.min(deadline)));
                if let Some(call) = self.call.take() {
                    event_loop.clear_timeout(call);
                }
                match event_loop.timeout_at(Timed::Call, deadline) {
                    Ok(call) => self.call = Some(call),
                    Err(error) => self.outlet.fail(error.to_string()),
                }
            }
            layout::COMMAND_REARM => {
                // One that was registered anew meanwhile is as it was asked to be.
                if let Some(&Some((id, generation))) = self.registrations.get(slot)
                    && generation & layout::GENERATION_MASK == command.generation
                    && let Err(error) = self.registrar.rearm(id)
                {
                    let why = format!("a registration cannot be rearmed: {error}");
                    self.outlet.fail(why);
                }
            }
            _ => match &mut self.connections {
                Some(connections) => connections.obey(command, &mut self.outlet),
                None => self.outlet.corrupt("a command"),
            },
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
        let mut records = if self.outlet.can_write() {
            self.free() / 2
        } else {
            0
        };
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
                self.outlet.corrupt("a sender's count");
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
                self.outlet.corrupt("more messages than the capacity");
                return;
            }
            self.outlet.promised += 1;
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
        self.outlet.write(Record {
            kind,
            generation,
            slot,
            argument,
        });
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
    type Timeout = Timed;
    type Message = Batch;

    fn ready(&mut self, event_loop: &mut EventLoop<Self>, token: Token, events: EventSet) {
        if token >= FIRST_TOKEN {
            if let Some(connections) = &mut self.connections {
                connections.ready(event_loop, token, events, &mut self.outlet);
            }
            return;
        }
        self.add(layout::METRIC_READY, 1);
        let (slot, generation) = unpack(token.as_usize() as u64);
        if self.readiness.merge(slot, generation, events.bits() as u8) == Merge::Announce {
            if self.outlet.has_room_to_spare() {
                self.write(layout::EVENT_READY, generation, slot, 0);
            } else {
                self.deferred.push_back((slot, generation));
            }
        }
    }

    fn notify(&mut self, _: &mut EventLoop<Self>, batch: Batch) {
        self.outlet.promised -= 1;
        self.counted -= batch.count as usize;
        self.add(layout::METRIC_NOTIFY, batch.count.into());
        self.write(layout::EVENT_NOTIFY, 0, batch.lane, u64::from(batch.count));
    }

    fn timeout(&mut self, event_loop: &mut EventLoop<Self>, timed: Timed) {
        match timed {
            Timed::Call => {
                self.call = None;
                if self.outlet.has_room() {
                    self.write_timeout();
                } else {
                    self.late = true;
                }
            }
            Timed::Connection(timeout) => {
                if let Some(connections) = &mut self.connections {
                    connections.timeout(event_loop, timeout, &mut self.outlet);
                }
            }
        }
    }

    fn interrupted(&mut self, _: &mut EventLoop<Self>) {
        if self.outlet.has_room() {
            self.write(layout::EVENT_INTERRUPTED, 0, 0, 0);
        } else {
            self.interrupted = true;
        }
    }

    fn tick(&mut self, event_loop: &mut EventLoop<Self>) {
        if let Some(connections) = &mut self.connections {
            connections.tick(event_loop, &mut self.outlet);
        }
        self.outlet.finish_batch();
    }
}

/// JavaScript's name for a registration, as the loop's token.
pub fn pack(slot: u32, generation: u32) -> u64 {
    u64::from(slot) | u64::from(generation) << 32
}

fn unpack(name: u64) -> (u32, u32) {
    (name as u32, (name >> 32) as u32)
}
