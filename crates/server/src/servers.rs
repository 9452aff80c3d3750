//! Servers: their listeners, and what they allow.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use miolo::tcp::{TcpListener, TcpStream};
use slab::Slab;

use crate::{ConnectionOptions, MAX_CONNECTIONS, ServerOptions};

/// Names a server of a [`Connections`](crate::Connections), until it is removed.
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
    /// Removed ones stay until their last connection has gone, so that no other is taken for it.
    servers: Slab<Server>,
    listeners: Slab<Listener>,
}

struct Server {
    options: ServerOptions,
    connection: Arc<ConnectionOptions>,
    open: usize,
    /// Kept only if there is a limit.
    open_by_address: HashMap<IpAddr, usize>,
    refused: u64,
    removed: bool,
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
        let connection = Arc::new(options.connection.clone());
        ServerId(self.servers.insert(Server {
            options,
            connection,
            open: 0,
            open_by_address: HashMap::new(),
            refused: 0,
            removed: false,
        }) as u32)
    }

    pub(crate) fn listen(
        &mut self,
        server: ServerId,
        addr: &SocketAddr,
    ) -> io::Result<(u32, &TcpListener)> {
        let entry = self.servers.get(server.0 as usize);
        let options = match entry {
            Some(server) if !server.removed => &server.options,
            _ => return Err(io::ErrorKind::NotFound.into()),
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
        if let Some(entry) = self.servers.get_mut(server.0 as usize) {
            entry.removed = true;
            self.forget_if_unused(server);
        }
    }

    pub(crate) fn open(&self, server: ServerId) -> usize {
        let server = self.servers.get(server.0 as usize);
        server.map_or(0, |server| server.open)
    }

    pub(crate) fn refused(&self, server: ServerId) -> u64 {
        let server = self.servers.get(server.0 as usize);
        server.map_or(0, |server| server.refused)
    }

    pub(crate) fn options(&self, server: ServerId) -> Arc<ConnectionOptions> {
        Arc::clone(&self.servers[server.0 as usize].connection)
    }

    /// The next connection of a listener, counted; `None` if none waits.
    pub(crate) fn accept(
        &mut self,
        index: u32,
        open: usize,
    ) -> Result<Option<(ServerId, TcpStream, SocketAddr)>, Refused> {
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
        let server = &mut self.servers[id.0 as usize];
        let (ip, per_address) = (address(peer), server.options.max_connections_per_address);
        let of_address = server.open_by_address.get(&ip).copied().unwrap_or(0);
        if server.open >= server.options.max_connections
            || of_address >= per_address
            || open >= MAX_CONNECTIONS
        {
            server.refused += 1;
            return Err(Refused::Limit);
        }
        if let Err(error) = server.connection.set_up(&stream) {
            return Err(Refused::Gone(id, error));
        }
        server.open += 1;
        if per_address != usize::MAX {
            server.open_by_address.insert(ip, of_address + 1);
        }
        Ok(Some((id, stream, peer)))
    }

    /// A connection has ended.
    pub(crate) fn left(&mut self, id: ServerId, peer: SocketAddr) {
        let Some(server) = self.servers.get_mut(id.0 as usize) else {
            return;
        };
        server.open -= 1;
        if let Some(count) = server.open_by_address.get_mut(&address(peer)) {
            *count -= 1;
            if *count == 0 {
                server.open_by_address.remove(&address(peer));
            }
        }
        self.forget_if_unused(id);
    }

    fn forget_if_unused(&mut self, id: ServerId) {
        let server = &self.servers[id.0 as usize];
        if server.removed && server.open == 0 {
            self.servers.remove(id.0 as usize);
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

/// What is counted as one address, whether it came by IPv4 or by an IPv6 listener that takes both.
fn address(peer: SocketAddr) -> IpAddr {
    peer.ip().to_canonical()
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
