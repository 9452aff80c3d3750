use std::io;
use std::sync::Arc;
use std::time::Duration;

use miolo::tcp::{ListenOptions, TcpStream};

use crate::Framing;

/// The most connections of a table.
pub const MAX_CONNECTIONS: usize = 1 << 18;

/// How a connection behaves.
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    /// How what comes is cut into what [`data`](crate::ConnectionHandler::data) gets. Default: not at all.
    pub framing: Arc<Framing>,
    /// Bytes that wait to be sent, above which [`write`](crate::Connection::write) is `false`. Default 64 KiB.
    pub high_water_mark: usize,
    /// Bytes at or below which [`drain`](crate::ConnectionHandler::drain) comes after that. Default 16 KiB. It counts as
    /// no more than `high_water_mark`, and as less than `max_write_buffer`: `drain` says that there is room.
    pub low_water_mark: usize,
    /// Bytes that may wait to be sent; with more the connection is closed. Default 16 MiB.
    pub max_write_buffer: usize,
    /// Closes the connection when for so long nothing has come and nothing could be sent. Default: never.
    pub idle_timeout: Option<Duration>,
    /// Closes the connection when it is so old. Default: never.
    pub lifetime: Option<Duration>,
    /// Whether this side stays open when the peer has ended its own. Default false.
    pub allow_half_open: bool,
    /// Sends small writes at once (`TCP_NODELAY`). Default true: what is written in one iteration leaves together
    /// anyway.
    pub no_delay: bool,
    /// Probes a silent peer after so many seconds. Default: never.
    pub keep_alive: Option<u32>,
}

impl ConnectionOptions {
    /// The low-water mark, as it counts.
    pub(crate) fn drained_at(&self) -> usize {
        let below_max = self.max_write_buffer.saturating_sub(1);
        self.low_water_mark.min(self.high_water_mark).min(below_max)
    }

    /// Tells a socket. Listeners do not pass that on to what they accept, on every system.
    pub(crate) fn set_up(&self, stream: &TcpStream) -> io::Result<()> {
        if self.no_delay {
            stream.set_nodelay(true)?;
        }
        if self.keep_alive.is_some() {
            stream.set_keepalive(self.keep_alive)?;
        }
        Ok(())
    }
}

impl Default for ConnectionOptions {
    fn default() -> ConnectionOptions {
        ConnectionOptions {
            framing: Arc::default(),
            high_water_mark: 64 * 1024,
            low_water_mark: 16 * 1024,
            max_write_buffer: 16 * 1024 * 1024,
            idle_timeout: None,
            lifetime: None,
            allow_half_open: false,
            no_delay: true,
            keep_alive: None,
        }
    }
}

/// How a server behaves.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// How its connections do.
    pub connection: ConnectionOptions,
    /// How its listeners do.
    pub listen: ListenOptions,
    /// The most connections at a time; what comes beyond is closed at once. Default 65 536.
    pub max_connections: usize,
    /// The most connections at a time from one address. Default: as many as there may be.
    pub max_connections_per_address: usize,
}

impl Default for ServerOptions {
    fn default() -> ServerOptions {
        ServerOptions {
            connection: ConnectionOptions::default(),
            listen: ListenOptions::default(),
            max_connections: 65_536,
            max_connections_per_address: usize::MAX,
        }
    }
}
