//! The event ring, seen by its writer: records for JavaScript, in batches that always have room to end.

use std::sync::atomic::Ordering;

use miolo_bridge::{Producer, Record, Words, layout};

/// Records kept back, so that a batch always has room to end.
const RESERVED: usize = 2;

pub struct Outlet {
    memory: Words,
    events: Producer,
    /// Messages posted to the loop whose `notify` is still to come: each needs a record.
    pub promised: usize,
    /// Something was written since the last tick.
    wrote: bool,
    /// A batch was published since this was last asked.
    published: bool,
    fault: Option<String>,
}

impl Outlet {
    pub fn new(memory: &Words, shape: &layout::Layout) -> Self {
        let ring = shape.event_records as usize * layout::RECORD_WORDS;
        Self {
            memory: memory.clone(),
            events: Producer::new(
                memory.window(shape.event_ring, ring),
                memory.window(layout::EVENT_HEAD, 1),
                memory.window(layout::EVENT_TAIL, 1),
            ),
            promised: 0,
            wrote: false,
            published: false,
            fault: None,
        }
    }

    /// Records that are neither used nor promised.
    pub fn free(&self) -> usize {
        self.events
            .capacity()
            .saturating_sub(self.events.depth())
            .saturating_sub(RESERVED + self.promised)
    }

    /// Whether a record fits, and one more to end its batch.
    pub fn has_room(&self) -> bool {
        self.free() > 1
    }

    /// Whether one fits for readiness or a connection. Half of the ring is for messages and timeouts.
    pub fn has_room_to_spare(&self) -> bool {
        self.free() > self.events.capacity() / 2
    }

    /// Whether JavaScript's end of the ring makes sense; if not, that is the fault.
    pub fn check(&mut self) -> bool {
        let makes_sense = self.events.room().is_ok();
        if !makes_sense {
            self.corrupt("the event ring");
        }
        makes_sense
    }

    /// As [`has_room`](Self::has_room), where JavaScript's end of the ring makes sense.
    pub fn can_write(&mut self) -> bool {
        self.check() && self.has_room()
    }

    /// Whether JavaScript has read all that there was.
    pub fn has_been_read(&mut self) -> bool {
        let capacity = self.events.capacity();
        self.promised == 0 && self.events.room().is_ok_and(|room| room == capacity)
    }

    pub fn write(&mut self, record: Record) {
        match self.events.push(record) {
            Ok(()) => self.wrote = true,
            Err(_) => self.corrupt("the event ring"),
        }
    }

    /// Ends a batch, if there is one, and lets JavaScript see it.
    pub fn finish_batch(&mut self) {
        if !self.wrote {
            return;
        }
        self.write(Record {
            kind: layout::EVENT_TICK,
            ..Record::default()
        });
        self.wrote = false;
        self.published = true;
        self.events.publish();
        let depth = self.events.depth() as u64;
        let high = self.memory.get_u64(layout::METRIC_EVENT_RING_HIGH_WATER);
        if depth > high.load(Ordering::Relaxed) {
            high.store(depth, Ordering::Relaxed);
        }
    }

    /// Whether there is something new for JavaScript since this was last asked.
    pub fn take_published(&mut self) -> bool {
        std::mem::take(&mut self.published)
    }

    /// JavaScript's memory holds what it may not.
    pub fn corrupt(&mut self, what: &str) {
        self.fail(format!("the loop's shared memory is corrupt: {what}"));
    }

    /// The loop cannot go on.
    pub fn fail(&mut self, why: String) {
        self.fault.get_or_insert(why);
    }

    /// Takes the reason why it cannot.
    pub fn take_fault(&mut self) -> Option<String> {
        self.fault.take()
    }
}
