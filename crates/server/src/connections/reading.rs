//! What comes: read, cut into frames, handed over.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::time::Instant;

use super::Connections;
use crate::framing::Fed;
use crate::outbox::SHORT_IS_ALL;
use crate::{CloseReason, ConnectionHandler, Received};

/// How many bytes one connection may bring in one iteration, by its event and in the `tick` together, so that it cannot
/// starve the others.
const READ_BUDGET: usize = 128 * 1024;
/// How many bytes are read at a time.
const READ_SIZE: usize = 64 * 1024;

impl Connections {
    /// Reads what has come, as far as this iteration's budget goes, and hands it over.
    pub(super) fn read<C: ConnectionHandler>(&mut self, slot: u32, handler: &mut C) {
        let (id, iteration) = (self.id(slot), self.iteration);
        loop {
            // The handler may do anything to the connection, so it is looked up for each piece.
            let Some(body) = self.body_of(slot) else {
                return;
            };
            if body.read_in != iteration {
                (body.read_in, body.brought) = (iteration, 0);
            }
            let budget = READ_BUDGET.saturating_sub(body.brought);
            if body.paused || !body.may_have_input() {
                return;
            }
            if !handler.has_room() {
                self.starved = true;
                return self.mark_hungry(slot);
            }
            if budget == 0 {
                return self.mark_hungry(slot);
            }
            let limit = budget.min(READ_SIZE);
            let read = if body.framer.is_some() {
                self.read_frames(slot, limit, handler)
            } else if let Some(received) = handler.receive(id, &body.stream, limit) {
                received.map(Some)
            } else {
                self.read_raw(slot, limit, handler)
            };
            let Some(body) = self.body_of(slot) else {
                return;
            };
            match read {
                // The framer has more, and that was not taken now: if the connection is neither paused nor closing,
                // there was no room for it.
                Ok(None) => {}
                Ok(Some(Received { count: 0, .. })) => return self.end_in(slot, handler),
                Ok(Some(Received { count, asked })) => {
                    body.brought += count;
                    // A short read has emptied the socket: what comes later is reported anew. But the end, if it
                    // has been reported, is still to be read.
                    body.readable = count == asked || body.hung_up || !SHORT_IS_ALL;
                    if body.options.idle_timeout.is_some() {
                        body.active_at = Instant::now();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => body.readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.close(slot, CloseReason::of(error)),
            }
        }
    }

    fn read_raw<C: ConnectionHandler>(
        &mut self,
        slot: u32,
        limit: usize,
        handler: &mut C,
    ) -> io::Result<Option<Received>> {
        let mut scratch = self.take_scratch();
        let read = (&self.body(slot).stream).read(&mut scratch[..limit]);
        if let Ok(count @ 1..) = read {
            self.with(slot, |conn| handler.data(conn, &scratch[..count]));
        }
        self.scratch = scratch;
        read.map(|count| {
            Some(Received {
                count,
                asked: limit,
            })
        })
    }

    /// Hands over the frames that are held, then reads and hands over those that are whole. `None`: nothing was read,
    /// since the framer has more than is taken now.
    fn read_frames<C: ConnectionHandler>(
        &mut self,
        slot: u32,
        limit: usize,
        handler: &mut C,
    ) -> io::Result<Option<Received>> {
        if self.body(slot).stopped && self.feed(slot, &[], handler) == Fed::Stopped {
            return Ok(None);
        }
        let mut scratch = self.take_scratch();
        let read = (&self.body(slot).stream).read(&mut scratch[..limit]);
        if let Ok(count @ 1..) = read {
            self.feed(slot, &scratch[..count], handler);
        }
        self.scratch = scratch;
        read.map(|count| {
            Some(Received {
                count,
                asked: limit,
            })
        })
    }

    /// Has the framer cut bytes into frames, and these handed over for as long as they are taken.
    fn feed<C: ConnectionHandler>(&mut self, slot: u32, bytes: &[u8], handler: &mut C) -> Fed {
        let Some(mut framer) = self.body_mut(slot).framer.take() else {
            return Fed::Drained;
        };
        let fed = framer.feed(bytes, |frame| {
            self.with(slot, |conn| handler.data(conn, frame));
            let body = self.body(slot);
            if body.paused || body.closing.is_some() || !handler.has_room() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        let fed = fed.unwrap_or_else(|_| {
            self.close(slot, CloseReason::FrameTooLong);
            Fed::Stopped
        });
        let body = self.body_mut(slot);
        body.framer = Some(framer);
        body.stopped = fed == Fed::Stopped;
        fed
    }

    /// The end of what the peer sends.
    fn end_in<C: ConnectionHandler>(&mut self, slot: u32, handler: &mut C) {
        let body = self.body_mut(slot);
        body.ended_in = true;
        body.readable = false;
        self.with(slot, |conn| handler.end(conn));
        let body = self.body_mut(slot);
        body.ending |= !body.options.allow_half_open;
        self.mark_dirty(slot);
    }

    /// An error that nobody reads for is not to be missed.
    pub(super) fn look_for_error(&mut self, slot: u32) {
        if let Some(body) = self.body_of(slot)
            && body.closing.is_none()
            && !body.connecting
            && let Err(error) = body.stream.take_socket_error()
        {
            self.close(slot, CloseReason::of(error));
        }
    }

    fn take_scratch(&mut self) -> Vec<u8> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.resize(READ_SIZE, 0);
        scratch
    }
}
