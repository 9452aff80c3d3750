//! Servers: their listeners, and what they allow.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use miolo::tcp::TcpListener;
use slab::Slab;

use crate::accepted::{Accepted, Census};
use crate::{ConnectionOptions, ServerOptions};

/// Names a server of a [`Connections`](crate::Connections). When it has been removed, no other gets its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServerId(pub(crate) u32);

impl ServerId {
    /// A server by its number, which may be anything: at worst it names none.
    pub fn new(number: u32) -> ServerId {
        ServerId(number)
    }

    /// Its number.
    pub fn number(self) -> u32 {
        self.0
    }
}

#[derive(Default)]
pub(crate) struct Servers {
    servers: HashMap<u32, Server>,
    /// The number of the next one.
    next: u32,
    listeners: Slab<Listener>,
}

struct Server {
    options: ServerOptions,
    connection: Arc<ConnectionOptions>,
    census: Arc<Census>,
    /// Those of its connections that are in this table.
    open: usize,
    refused: u64,
}

struct Listener {
    server: u32,
    listener: TcpListener,
    /// It could not accept, and that has been told.
    failing: bool,
    /// A timer will have it try again.
    waiting: bool,
}

/// Why a connection was not accepted.
pub(crate) enum Refused {
    /// A limit was reached; it has been closed.
    Limit,
    /// It had gone already.
    Gone(ServerId, io::Error),
    /// None can be accepted for now. The error is to be told, if it has not been.
    Wait {
        server: ServerId,
        error: Option<io::Error>,
    },
}

impl Servers {
    pub(crate) fn add(&mut self, options: ServerOptions) -> ServerId {
        while self.servers.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let id = ServerId(self.next);
        self.next = self.next.wrapping_add(1);
        let server = Server {
            connection: Arc::new(options.connection.clone()),
            census: Census::new(options.max_connections, options.max_connections_per_address),
            open: 0,
            refused: 0,
            options,
        };
        self.servers.insert(id.0, server);
        id
    }

    pub(crate) fn listen(
        &mut self,
        server: ServerId,
        addr: &SocketAddr,
    ) -> io::Result<(u32, &TcpListener)> {
        let Some(Server { options, .. }) = self.servers.get(&server.0) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let listener = TcpListener::bind_with(addr, &options.listen)?;
        let index = self.listeners.insert(Listener {
            server: server.0,
            listener,
            failing: false,
            waiting: false,
        });
        Ok((index as u32, &self.listeners[index].listener))
    }

    pub(crate) fn forget_listener(&mut self, index: u32) {
        self.listeners.try_remove(index as usize);
    }

    pub(crate) fn stop(&mut self, server: ServerId) {
        self.listeners.retain(|_, it| it.server != server.0);
    }

    pub(crate) fn remove(&mut self, server: ServerId) {
        self.servers.remove(&server.0);
    }

    pub(crate) fn open(&self, server: ServerId) -> usize {
        self.servers.get(&server.0).map_or(0, |server| server.open)
    }

    pub(crate) fn refused(&self, server: ServerId) -> u64 {
        let server = self.servers.get(&server.0);
        server.map_or(0, |server| server.refused)
    }

    pub(crate) fn refusals(&self) -> HashMap<ServerId, u64> {
        let each = self.servers.iter();
        each.map(|(&number, server)| (ServerId(number), server.refused))
            .collect()
    }

    /// A connection is to be one of a server's, in this table, if that has not been removed: how it behaves.
    pub(crate) fn join(&mut self, server: ServerId) -> Option<Arc<ConnectionOptions>> {
        let server = self.servers.get_mut(&server.0)?;
        server.open += 1;
        Some(Arc::clone(&server.connection))
    }

    /// The next connection of a listener, counted; `None` if none waits.
    pub(crate) fn accept(&mut self, index: u32) -> Result<Option<(ServerId, Accepted)>, Refused> {
        let Some(listener) = self.listeners.get_mut(index as usize) else {
            return Ok(None);
        };
        let id = ServerId(listener.server);
        let mut accepted = listener.listener.accept();
        while is_interrupted(&accepted) {
            accepted = listener.listener.accept();
        }
        let (stream, peer) = match accepted {
            Ok(Some(accepted)) => accepted,
            Ok(None) => {
                listener.failing = false;
                return Ok(None);
            }
            Err(error) if is_of_the_connection(&error) => return Err(Refused::Gone(id, error)),
            Err(error) => {
                let told = std::mem::replace(&mut listener.failing, true);
                let error = (!told).then_some(error);
                return Err(Refused::Wait { server: id, error });
            }
        };
        listener.failing = false;
        let Some(server) = self.servers.get_mut(&id.0) else {
            return Ok(None);
        };
        let Some(place) = server.census.count_in(peer) else {
            server.refused += 1;
            return Err(Refused::Limit);
        };
        if let Err(error) = server.connection.set_up(&stream) {
            return Err(Refused::Gone(id, error));
        }
        let accepted = Accepted {
            stream,
            peer,
            place,
        };
        Ok(Some((id, accepted)))
    }

    /// There is no place for a connection in this table.
    pub(crate) fn refuse(&mut self, id: ServerId) {
        if let Some(server) = self.servers.get_mut(&id.0) {
            server.refused += 1;
        }
    }

    /// A connection has ended.
    pub(crate) fn left(&mut self, id: ServerId) {
        if let Some(server) = self.servers.get_mut(&id.0) {
            server.open -= 1;
        }
    }

    /// A listener has a timer set to try again, or has it no more. What it had before.
    pub(crate) fn set_waiting(&mut self, index: u32, waits: bool) -> bool {
        let listener = self.listeners.get_mut(index as usize);
        listener.is_some_and(|it| std::mem::replace(&mut it.waiting, waits))
    }

    /// The listeners that cannot accept.
    pub(crate) fn failing(&self) -> impl Iterator<Item = u32> {
        let failing = self.listeners.iter().filter(|(_, it)| it.failing);
        failing.map(|(index, _)| index as u32)
    }
}

fn is_interrupted<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::Interrupted)
}

/// Whether the connection that waited is what is wrong: it is gone, and the next one may be had. Not so `EPERM`: what
/// is forbidden goes on waiting, and would be refused again at once.
fn is_of_the_connection(error: &io::Error) -> bool {
    #[cfg(unix)]
    if let Some(libc::EPROTO | libc::ENETDOWN | libc::EHOSTUNREACH) = error.raw_os_error() {
        return true;
    }
    error.kind() == io::ErrorKind::ConnectionAborted
}
