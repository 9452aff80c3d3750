//! Lanes: how messages of Senders in other isolates reach the loop.
//!
//! The bytes of a message go straight from the sending to the receiving TypeScript through the
//! lane's shared memory. Native code reads how many were sent, and keeps what does not fit: a
//! message too long, or sent while the lane is full, is *spilled* into a queue here, in the form
//! that it would have in the lane.

use std::collections::{HashMap, VecDeque};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use miolo_bridge::{Words, layout};

use crate::crank::Crank;
use crate::memory::Bytes;

/// Bytes of a message's header: its kind, known to TypeScript alone, and its payload's length.
const HEADER: usize = 8;

/// Spilled messages are received so many bytes at a time.
const CHUNK: usize = 1 << 20;

/// Spilled messages, one behind the other.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    messages: u32,
}

/// What became of a message that was to be spilled.
pub enum Spilled {
    Sent,
    /// As many messages wait as may.
    Full,
    OutOfMemory,
}

/// The lanes of one loop, as every thread may know them.
pub struct Lanes {
    /// The loop they lead to.
    pub crank: Weak<Crank>,
    /// Where the loop's and the lanes' memory begins, so that a SharedSender can prove itself.
    pub addresses: (usize, usize),
    /// The most messages that may wait for the loop.
    pub capacity: u32,
    taken: Mutex<[bool; layout::LANES]>,
    spills: [Mutex<VecDeque<Chunk>>; layout::LANES],
}

impl Lanes {
    pub fn new(crank: Weak<Crank>, addresses: (usize, usize), capacity: u32) -> Self {
        Self {
            crank,
            addresses,
            capacity,
            taken: Mutex::new([false; layout::LANES]),
            spills: [const { Mutex::new(VecDeque::new()) }; layout::LANES],
        }
    }

    /// Takes a lane that no Sender has, and whose last Sender's messages have all been received.
    pub fn take(&self, memory: &Words) -> Option<usize> {
        let mut taken = lock(&self.taken);
        let free =
            (0..layout::LANES).find(|&lane| !taken[lane] && Lane::new(memory, lane).is_idle())?;
        taken[free] = true;
        Some(free)
    }

    /// The Sender is gone. What it sent still arrives.
    pub fn give_back(&self, lane: usize) {
        lock(&self.taken)[lane] = false;
    }

    /// Counts a message in, as Senders do in TypeScript; false if there is no room for it.
    fn enter(&self, memory: &Words) -> bool {
        let entered = memory.get(layout::ENTERED);
        let counted = entered.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |entered| {
            let left = memory.get(layout::LEFT).load(Ordering::SeqCst);
            // Below zero where others have come and gone since `entered` was read.
            let waiting = entered.wrapping_sub(left) as i32;
            (waiting < self.capacity as i32).then(|| entered.wrapping_add(1))
        });
        counted.is_ok()
    }

    /// Counts a message in and keeps it, since its lane has no room for it, and then calls it sent.
    ///
    /// # Safety
    /// `payload` can be read.
    pub unsafe fn spill(
        &self,
        loop_memory: &Words,
        memory: &Words,
        index: usize,
        kind: u32,
        payload: Bytes,
    ) -> Spilled {
        let lane = Lane::new(memory, index);
        let mut chunks = lock(&self.spills[index]);
        let size = (HEADER + payload.length).next_multiple_of(HEADER);
        if chunks
            .back()
            .is_none_or(|chunk| chunk.bytes.len() + size > CHUNK)
        {
            chunks.push_back(Chunk::default());
        }
        let chunk = chunks.back_mut().expect("there is one by now");
        let reserved = chunk.bytes.try_reserve(size).is_ok();
        if !reserved || !self.enter(loop_memory) {
            if chunk.messages == 0 {
                chunks.pop_back();
            }
            return if reserved {
                Spilled::Full
            } else {
                Spilled::OutOfMemory
            };
        }
        let start = chunk.bytes.len();
        chunk.bytes.resize(start + size, 0);
        chunk.bytes[start..start + 4].copy_from_slice(&kind.to_ne_bytes());
        chunk.bytes[start + 4..start + 8].copy_from_slice(&(payload.length as u32).to_ne_bytes());
        // SAFETY: the chunk has room for it behind the header; the bytes are copied without a slice
        // of memory that JavaScript may share.
        unsafe {
            ptr::copy_nonoverlapping(
                payload.address,
                chunk.bytes[start + HEADER..].as_mut_ptr(),
                payload.length,
            );
        }
        chunk.messages += 1;
        lane.spilled().fetch_add(1, Ordering::SeqCst);
        lane.sent().fetch_add(1, Ordering::SeqCst);
        Spilled::Sent
    }

    /// The oldest spilled messages of a lane.
    pub fn unspill(&self, memory: &Words, index: usize) -> Option<Vec<u8>> {
        let mut chunks = lock(self.spills.get(index)?);
        let chunk = chunks.pop_front()?;
        Lane::new(memory, index)
            .spilled()
            .fetch_sub(chunk.messages, Ordering::SeqCst);
        Some(chunk.bytes)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The control words of one lane.
pub struct Lane(Words);

impl Lane {
    pub fn new(memory: &Words, index: usize) -> Self {
        Self(memory.window(index * layout::LANE_WORDS, layout::LANE_WORDS))
    }

    /// How many messages were sent, counting without end.
    pub fn sent(&self) -> &AtomicU32 {
        self.0.get(layout::LANE_SENT)
    }

    fn spilled(&self) -> &AtomicU32 {
        self.0.get(layout::LANE_SPILLED)
    }

    fn is_idle(&self) -> bool {
        self.sent().load(Ordering::SeqCst)
            == self.0.get(layout::LANE_RECEIVED).load(Ordering::SeqCst)
    }
}

/// The process's only global: which shared Sender leads to which loop.
static SHARED: LazyLock<Mutex<HashMap<u32, Arc<Lanes>>>> = LazyLock::new(Mutex::default);
static NEXT: AtomicU32 = AtomicU32::new(1);

/// Makes the lanes known to other isolates; the number finds them again.
pub fn publish(lanes: Arc<Lanes>) -> u32 {
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    lock(&SHARED).insert(id, lanes);
    id
}

/// The loop is gone, for new Senders and old.
pub fn withdraw(id: u32) {
    lock(&SHARED).remove(&id);
}

/// The lanes of a loop that still lives.
pub fn find(id: u32) -> Option<Arc<Lanes>> {
    lock(&SHARED).get(&id).cloned()
}
