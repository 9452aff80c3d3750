//! What goes, and the end of connections.

use std::io;
use std::time::{Duration, Instant};

use miolo::tcp::Shutdown;
use miolo::{EventLoop, Handler};

use super::{Connections, next};
use crate::{CloseReason, ConnectionHandler, ConnectionId, ConnectionTimeout};

/// How often one flush looks for what its own callbacks have written: what they go on writing waits for the next
/// iteration, so that a connection whose peer takes all that comes cannot keep the loop.
const FLUSH_ROUNDS: usize = 4;

impl Connections {
    /// Sends what was written and ends what has ended.
    pub fn flush<H, C>(&mut self, event_loop: &mut EventLoop<H>, handler: &mut C)
    where
        H: Handler,
        H::Timeout: From<ConnectionTimeout>,
        C: ConnectionHandler,
    {
        for _ in 0..FLUSH_ROUNDS {
            for _ in 0..self.dirty.len() {
                let Some(id) = self.dirty.pop_front() else {
                    break;
                };
                if self.is_current(id) {
                    self.body_mut(id.slot).is_dirty = false;
                    self.guarded(event_loop, Some(id), |table, event_loop| {
                        table.flush_one(event_loop, id.slot, handler);
                    });
                }
            }
            if self.dirty.is_empty() {
                return;
            }
        }
        self.keep_lent();
    }

    fn flush_one<H, C>(&mut self, event_loop: &mut EventLoop<H>, slot: u32, handler: &mut C)
    where
        H: Handler,
        C: ConnectionHandler,
    {
        let id = self.id(slot);
        let (body, pool) = self.body_and_pool(slot);
        if body.closing.is_none() && body.writable && !body.outbox.is_empty() {
            match body.outbox.send(&body.stream, pool) {
                Ok(count) => {
                    body.sent = body.sent.wrapping_add(count as u32);
                    body.writable = body.outbox.is_empty();
                    if count > 0 && body.options.idle_timeout.is_some() {
                        body.active_at = Instant::now();
                    }
                    handler.sent(id, count);
                }
                Err(error) => body.closing = Some(CloseReason::of(error)),
            }
        } else {
            body.outbox.keep(pool);
        }
        let is_sent = body.closing.is_none() && !body.connecting && body.outbox.is_empty();
        if is_sent && body.ending && !body.ended_out {
            body.ended_out = true;
            // If the peer has ended too, closing says all that there is to say.
            if !body.ended_in
                && let Err(error) = body.stream.shutdown(Shutdown::Write)
            {
                body.closing = Some(CloseReason::of(error));
            }
        }
        // Whoever waits for it after the end waits for all to be sent.
        let few = match body.ending {
            true => 0,
            false => body.options.drained_at(),
        };
        let is_drained = body.outbox.len() <= few && !body.connecting && body.closing.is_none();
        if is_drained && std::mem::take(&mut body.wants_drain) {
            self.with(slot, |conn| handler.drain(conn));
        }
        let body = self.body_mut(slot);
        if body.ended_in && body.ended_out && body.outbox.is_empty() {
            body.closing.get_or_insert(CloseReason::End);
        }
        if body.closing.is_some() {
            self.finish(event_loop, slot, handler);
        }
    }

    /// Takes the connection out and tells of it.
    fn finish<H, C>(&mut self, event_loop: &mut EventLoop<H>, slot: u32, handler: &mut C)
    where
        H: Handler,
        C: ConnectionHandler,
    {
        let place = &mut self.slots[slot as usize];
        let id = ConnectionId::new(slot, place.generation);
        let Some(mut body) = place.body.take() else {
            return;
        };
        place.generation = next(place.generation);
        self.free.push_back(slot);
        self.open -= 1;
        let reason = body.closing.take().unwrap_or(CloseReason::End);
        if let Some(timer) = body.timer {
            event_loop.clear_timeout(timer);
        }
        body.outbox.clear(&mut self.pool);
        if reason.resets() {
            // If it cannot be had, the peer sees an end.
            let _ = body.stream.set_linger(Some(Duration::ZERO));
        }
        if let Some(server) = body.server {
            self.servers.left(server);
        }
        let was_connecting = body.connecting;
        // The descriptor goes first, so that whoever is told has it back.
        drop(body);
        // There may be a descriptor now for whoever waits for one.
        for index in self.servers.failing() {
            if !self.crowded.contains(&index) {
                self.crowded.push(index);
            }
        }
        if was_connecting {
            let error = match reason {
                CloseReason::Error(error) => error,
                CloseReason::Reset => io::ErrorKind::ConnectionReset.into(),
                _ => io::ErrorKind::ConnectionAborted.into(),
            };
            handler.connect_failed(id, error);
        } else {
            handler.close(id, reason);
        }
    }

    /// Copies what was lent and has not been sent.
    pub(super) fn keep_lent(&mut self) {
        for &id in &self.dirty {
            let body = self.slots.get_mut(id.slot as usize);
            if let Some(body) = body.and_then(|slot| slot.body.as_deref_mut()) {
                body.outbox.keep(&mut self.pool);
            }
        }
    }
}
