//! Memory as JavaScript would share it.
#![allow(dead_code, reason = "each test file uses a part")]

use miolo_bridge::layout::RECORD_WORDS;
use miolo_bridge::sync::{AtomicU32, Ordering};
use miolo_bridge::{Consumer, Parking, Producer, Readiness, Record, Unpublished, Words};

/// Shared words; whoever uses windows of it keeps it alive.
pub struct Memory(Box<[AtomicU32]>);

impl Memory {
    pub fn new(words: usize) -> Memory {
        Memory((0..words).map(|_| AtomicU32::new(0)).collect())
    }

    pub fn words(&self) -> Words {
        // SAFETY: the tests keep the memory for longer than its windows, and use it by atomics only.
        unsafe { Words::from_atomics(self.0.as_ptr(), self.0.len()) }
    }

    pub fn word(&self, index: usize) -> Words {
        self.words().window(index, 1)
    }

    /// Writes as JavaScript may, at any time and without asking.
    pub fn scribble(&self, index: usize, value: u32) {
        self.0[index].store(value, Ordering::Relaxed);
    }

    pub fn read(&self, index: usize) -> u32 {
        self.0[index].load(Ordering::Relaxed)
    }
}

/// Memory of one ring: head, tail, two parking words, how far was written, readiness words, and the records last.
pub struct RingMemory {
    pub memory: Memory,
    pub capacity: usize,
}

pub const HEAD: usize = 0;
pub const TAIL: usize = 1;
pub const PARKED: usize = 2;
pub const WANT_ROOM: usize = 3;
pub const WRITTEN: usize = 4;
pub const READINESS: usize = 5;
pub const SLOTS: usize = 2;
pub const RECORDS: usize = READINESS + SLOTS;

impl RingMemory {
    /// An empty ring whose counts begin at `start`.
    pub fn new(capacity: usize, start: u32) -> RingMemory {
        let memory = Memory::new(RECORDS + capacity * RECORD_WORDS);
        memory.scribble(HEAD, start);
        memory.scribble(TAIL, start);
        memory.scribble(WRITTEN, start);
        RingMemory { memory, capacity }
    }

    fn records(&self) -> Words {
        self.memory
            .words()
            .window(RECORDS, self.capacity * RECORD_WORDS)
    }

    pub fn producer(&self) -> Producer {
        Producer::new(
            self.records(),
            self.memory.word(HEAD),
            self.memory.word(TAIL),
        )
    }

    pub fn consumer(&self) -> Consumer {
        Consumer::new(
            self.records(),
            self.memory.word(HEAD),
            self.memory.word(TAIL),
        )
    }

    pub fn unpublished(&self) -> Unpublished {
        Unpublished::new(self.memory.word(TAIL), self.memory.word(WRITTEN))
    }

    pub fn parking(&self) -> Parking {
        Parking::new(self.memory.word(PARKED))
    }

    pub fn want_room(&self) -> Parking {
        Parking::new(self.memory.word(WANT_ROOM))
    }

    pub fn readiness(&self) -> Readiness {
        Readiness::new(self.memory.words().window(READINESS, SLOTS))
    }
}

/// A record that differs from its neighbours in every field.
pub fn record(n: u32) -> Record {
    Record {
        kind: n as u8,
        generation: n.wrapping_mul(7) & 0xff_ffff,
        slot: !n,
        argument: u64::from(n) << 32 | u64::from(n ^ 0xa5a5_a5a5),
    }
}

/// Few cases under Miri, which is slow and has no files.
#[cfg(not(loom))]
pub fn cases() -> proptest::test_runner::Config {
    let mut config = proptest::test_runner::Config::default();
    if cfg!(miri) {
        config.cases = 6;
        config.failure_persistence = None;
    }
    config
}
