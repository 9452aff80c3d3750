//! The functions behind TypeScript's `Sender` in isolates other than the loop's.

use std::sync::Arc;

use miolo_bridge::{Parking, layout};
use napi::{Either, Error, Result, Status};
use napi_derive::napi;

use crate::handle::{Give, Handle, Held};
use crate::lanes::{self, Lanes, Spilled};
use crate::memory::{Pinned, View};

/// A lane, while a Sender has it.
pub struct Attachment {
    lanes: Arc<Lanes>,
    lane: usize,
    /// This isolate's own views of the loop's memory and the lanes.
    loop_memory: Pinned,
    memory: Pinned,
}

impl Held for Attachment {
    const TAG: u64 = 0x6d69_6f6c_6f03;
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.lanes.give_back(self.lane);
        // A worker that is terminated may have sent a message and not have rung for it.
        if let Some(crank) = self.lanes.crank.upgrade() {
            crank.with_forwarder(|forwarder| forwarder.expect_messages());
            crank.ring_js();
        }
    }
}

/// A Sender's lane.
#[napi(object, object_from_js = false)]
pub struct Attached {
    pub attachment: Give<Attachment>,
    pub lane: u32,
    pub capacity: u32,
}

/// Why a lane could not be had: the loop is gone.
#[napi]
pub const SENDER_LOOP_GONE: u32 = 1;
/// Why a lane could not be had: the memory is not that loop's.
#[napi]
pub const SENDER_NOT_SHARED: u32 = 2;
/// Why a lane could not be had: all are taken.
#[napi]
pub const SENDER_NO_LANE: u32 = 3;

/// Takes a lane to the loop that was shared as `id`.
#[napi(catch_unwind)]
pub fn sender_attach(
    id: u32,
    loop_memory: View,
    lanes_memory: View,
) -> Result<Either<Attached, u32>> {
    let Some(lanes) = lanes::find(id) else {
        return Ok(Either::B(SENDER_LOOP_GONE));
    };
    let addresses = (
        loop_memory.bytes().address as usize,
        lanes_memory.bytes().address as usize,
    );
    if addresses != lanes.addresses
        || loop_memory.bytes().length < layout::CONTROL_WORDS * 4
        || lanes_memory.bytes().length < layout::LANES_WORDS * 4
    {
        return Ok(Either::B(SENDER_NOT_SHARED));
    }
    let (loop_memory, memory) = (loop_memory.pin()?, lanes_memory.pin()?);
    let capacity = lanes.capacity;
    let Some(lane) = lanes.take(&memory.words()) else {
        return Ok(Either::B(SENDER_NO_LANE));
    };
    if let Some(crank) = lanes.crank.upgrade() {
        crank.with_forwarder(|forwarder| forwarder.follow_lane(lane as u32));
    }
    Ok(Either::A(Attached {
        attachment: Give(Attachment {
            lanes,
            lane,
            loop_memory,
            memory,
        }),
        lane: lane as u32,
        capacity,
    }))
}

/// Wakes the JS thread that receives, if it is parked. False if the loop is gone.
#[napi(catch_unwind)]
pub fn sender_ring(attachment: Handle<Attachment>) -> bool {
    let Some(crank) = attachment.lanes.crank.upgrade() else {
        return false;
    };
    // Done here and not in JavaScript, which may be terminated in between.
    let words = attachment.loop_memory.words();
    if Parking::new(words.window(layout::JS_PARKED, 1)).ring() {
        crank.ring_js();
    }
    true
}

/// Counts a message in and keeps it, since the lane has no room for it; false if it cannot wait.
#[napi(catch_unwind)]
pub fn sender_spill(attachment: Handle<Attachment>, kind: u32, bytes: View) -> Result<bool> {
    let (loop_words, words) = (attachment.loop_memory.words(), attachment.memory.words());
    // SAFETY: the array is an argument of the call under way.
    let spilled = unsafe {
        attachment
            .lanes
            .spill(&loop_words, &words, attachment.lane, kind, bytes.bytes())
    };
    match spilled {
        Spilled::Sent => Ok(true),
        Spilled::Full => Ok(false),
        Spilled::OutOfMemory => Err(Error::new(Status::GenericFailure, "out of memory")),
    }
}
