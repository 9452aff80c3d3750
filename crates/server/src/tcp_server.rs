use std::fmt;
use std::io;
use std::net::SocketAddr;

use miolo::{EventLoop, EventSet, Handler, Token};

use crate::{
    Connection, ConnectionHandler, ConnectionId, ConnectionTimeout, Connections, ServerId,
    ServerOptions,
};

/// A TCP server inside anybody's [`EventLoop`], beside what else its [`Handler`] does.
///
/// The loop's handler keeps it, and passes on to it `ready`, `timeout` and `tick`:
///
/// ```
/// use miolo::{EventLoop, EventSet, Handler, Token};
/// use miolo_server::{Connection, ConnectionHandler, ConnectionTimeout, ServerOptions, TcpServer};
///
/// struct Echo;
///
/// impl ConnectionHandler for Echo {
///     fn data(&mut self, conn: &mut Connection<'_>, data: &[u8]) {
///         conn.write(data);
///     }
/// }
///
/// struct App {
///     server: TcpServer<Echo>,
/// }
///
/// impl Handler for App {
///     type Timeout = ConnectionTimeout; // or a type of yours that it can be made into
///     type Message = ();
///
///     fn ready(&mut self, event_loop: &mut EventLoop<Self>, token: Token, events: EventSet) {
///         self.server.ready(event_loop, token, events);
///     }
///
///     fn timeout(&mut self, event_loop: &mut EventLoop<Self>, timeout: ConnectionTimeout) {
///         self.server.timeout(event_loop, timeout);
///     }
///
///     fn tick(&mut self, event_loop: &mut EventLoop<Self>) {
///         self.server.tick(event_loop);
/// #       event_loop.shutdown();
///     }
/// }
///
/// let mut event_loop = EventLoop::new()?;
/// // Tokens below 1000 are yours.
/// let mut server = TcpServer::new(Token(1000), Echo, ServerOptions::default());
/// let address = server.listen(&event_loop, &"127.0.0.1:0".parse().unwrap())?;
/// # event_loop.timeout_ms(ConnectionTimeout::from_bits(0), 0).unwrap();
/// event_loop.run(&mut App { server })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpServer<C> {
    connections: Connections,
    id: ServerId,
    /// What its connections call.
    pub handler: C,
}

impl<C: ConnectionHandler> TcpServer<C> {
    /// A server that does not listen yet. The loop's tokens from `first` on are its own.
    pub fn new(first: Token, handler: C, options: ServerOptions) -> TcpServer<C> {
        let mut connections = Connections::new(first);
        TcpServer {
            id: connections.add_server(options),
            connections,
            handler,
        }
    }

    /// Listens at an address, or at one more; returns it as the system has chosen it.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn listen<H: Handler>(
        &mut self,
        event_loop: &EventLoop<H>,
        addr: &SocketAddr,
    ) -> io::Result<SocketAddr> {
        self.connections.listen(event_loop, self.id, addr)
    }

    /// Accepts no more. Connections go on.
    pub fn stop_listening(&mut self) {
        self.connections.stop_listening(self.id);
    }

    /// An open connection, for whoever has something for it between its events: it leaves with the next
    /// [`tick`](TcpServer::tick).
    pub fn connection(&mut self, id: ConnectionId) -> Option<Connection<'_>> {
        self.connections.get(id)
    }

    /// The connections that are open.
    pub fn connections(&self) -> Vec<ConnectionId> {
        self.connections.of(self.id)
    }

    /// How many connections were refused because of the limits.
    pub fn refused(&self) -> u64 {
        self.connections.refused(self.id)
    }

    /// To be called in [`Handler::ready`]. `false`: the token is none of its own.
    pub fn ready<H>(
        &mut self,
        event_loop: &mut EventLoop<H>,
        token: Token,
        events: EventSet,
    ) -> bool
    where
        H: Handler,
        H::Timeout: From<ConnectionTimeout>,
    {
        let owns = self.connections.owns(token);
        if owns {
            self.connections
                .ready(event_loop, token, events, &mut self.handler);
        }
        owns
    }

    /// To be called in [`Handler::timeout`] with what the server has set.
    pub fn timeout<H>(&mut self, event_loop: &mut EventLoop<H>, timeout: ConnectionTimeout)
    where
        H: Handler,
        H::Timeout: From<ConnectionTimeout>,
    {
        self.connections
            .timeout(event_loop, timeout, &mut self.handler);
    }

    /// To be called in [`Handler::tick`], each time: sends what was written, and ends what has ended.
    pub fn tick<H>(&mut self, event_loop: &mut EventLoop<H>)
    where
        H: Handler,
        H::Timeout: From<ConnectionTimeout>,
    {
        if self.connections.tick(event_loop, &mut self.handler) {
            event_loop.wakeup().wake();
        }
    }
}

impl<C> fmt::Debug for TcpServer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpServer")
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}
