//! Connections that come, and those that this side has begun.

use std::io;
use std::time::{Duration, Instant};

use miolo::{EventLoop, Handler};

use super::Connections;
use crate::connection::Body;
use crate::connection_timeout::Timed;
use crate::servers::Refused;
use crate::{Accepted, CloseReason, ConnectionHandler, ConnectionTimeout, ServerId};

/// How many connections one listener may bring in one iteration.
const ACCEPT_BUDGET: usize = 128;
/// How long a listener waits that cannot accept for want of descriptors or memory.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

impl Connections {
    pub(super) fn accept<H, C>(
        &mut self,
        event_loop: &mut EventLoop<H>,
        index: u32,
        handler: &mut C,
    ) where
        H: Handler,
        H::Timeout: From<ConnectionTimeout>,
        C: ConnectionHandler,
    {
        // Until it is known that nobody waits, or a timer has it try again: a callback may panic before.
        if !self.crowded.contains(&index) {
            self.crowded.push(index);
        }
        for _ in 0..ACCEPT_BUDGET {
            if !handler.may_open() {
                self.blocked = true;
                return;
            }
            let accepted = match self.servers.accept(index) {
                Ok(Some(accepted)) => accepted,
                Ok(None) => return self.crowded.retain(|&it| it != index),
                Err(Refused::Limit) => continue,
                Err(Refused::Gone(server, error)) => {
                    handler.error(server, error);
                    continue;
                }
                Err(Refused::Wait { server, error }) => {
                    self.crowded.retain(|&it| it != index);
                    let timeout = ConnectionTimeout(Timed::Listener(index));
                    let at = Instant::now() + ACCEPT_AGAIN;
                    // Without a timer it waits until a connection comes or goes.
                    if !self.servers.set_waiting(index, true)
                        && event_loop.timeout_at(timeout.into(), at).is_err()
                    {
                        self.servers.set_waiting(index, false);
                    }
                    if let Some(error) = error {
                        handler.error(server, error);
                    }
                    return;
                }
            };
            let (server, accepted) = accepted;
            if let Some(accepted) = handler.accepted(server, accepted) {
                self.take_in(event_loop, server, accepted, handler);
            }
        }
    }

    /// Takes in a connection that was accepted elsewhere, as one of a server's of this table. It is opened in the next
    /// [`tick`](Connections::tick) in which there is room. Whoever turns the loop is to be woken for it.
    ///
    /// Where that server has been removed, the connection is closed. Those that wait when it is shut down are, too.
    pub fn adopt(&mut self, server: ServerId, accepted: Accepted) {
        self.adopted.push_back((server, accepted));
    }

    pub(super) fn take_in_adopted<H, C>(&mut self, event_loop: &mut EventLoop<H>, handler: &mut C)
    where
        H: Handler,
        H::Timeout: From<ConnectionTimeout>,
        C: ConnectionHandler,
    {
        while !self.adopted.is_empty() {
            if !handler.may_open() {
                self.blocked = true;
                return;
            }
            if let Some((server, accepted)) = self.adopted.pop_front() {
                self.take_in(event_loop, server, accepted, handler);
            }
        }
    }

    fn take_in<H, C>(
        &mut self,
        event_loop: &mut EventLoop<H>,
        server: ServerId,
        accepted: Accepted,
        handler: &mut C,
    ) where
        H: Handler,
        H::Timeout: From<ConnectionTimeout>,
        C: ConnectionHandler,
    {
        if self.is_full() {
            return self.servers.refuse(server);
        }
        let Some(options) = self.servers.join(server) else {
            return;
        };
        let Accepted {
            stream,
            peer,
            place,
        } = accepted;
        let body = Body::new(stream, peer, Some((server, place)), options, Instant::now());
        match self.insert(event_loop, body) {
            Ok(id) => self.guarded(event_loop, Some(id), |table, _| {
                table.with(id.slot, |conn| handler.open(conn));
            }),
            Err(error) => {
                self.servers.left(server);
                handler.error(server, error);
            }
        }
    }

    pub(super) fn finish_connecting<H, C>(
        &mut self,
        event_loop: &mut EventLoop<H>,
        slot: u32,
        handler: &mut C,
    ) where
        H: Handler,
        H::Timeout: From<ConnectionTimeout>,
        C: ConnectionHandler,
    {
        let body = self.body_mut(slot);
        if body.closing.is_some() {
            return;
        }
        if let Err(error) = body.stream.take_socket_error() {
            return self.close(slot, CloseReason::Error(error));
        }
        match body.stream.peer_addr() {
            Ok(peer) => body.peer = peer,
            // Told too early: the system goes on, and tells again.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return,
            Err(error) => return self.close(slot, CloseReason::Error(error)),
        }
        body.connecting = false;
        body.writable = true;
        let now = Instant::now();
        (body.opened_at, body.active_at) = (now, now);
        if let Some(timer) = body.timer.take() {
            event_loop.clear_timeout(timer);
        }
        self.arm(event_loop, slot);
        self.with(slot, |conn| handler.open(conn));
        self.mark_dirty(slot);
        self.read(slot, handler);
    }
}
