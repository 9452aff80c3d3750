//! The functions behind TypeScript's `TcpServer`, `Connection` and `connect`: what is not asked by commands.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use miolo::EventLoop;
use miolo::tcp::ListenOptions;
use miolo_bridge::layout;
use miolo_server::{
    ConnectionId, ConnectionOptions, Endian, Framing, LengthBytes, LengthPrefix, ServerId,
    ServerOptions,
};
use napi::bindgen_prelude::Buffer;
use napi::{Either, Error, Result, Status};
use napi_derive::napi;

use crate::connections::Connections;
use crate::errno::errno;
use crate::event_loop::LoopHandle;
use crate::forwarder::Forwarder;
use crate::handle::Handle;
use crate::memory::View;
use crate::tcp::Address;

/// How a connection behaves, checked by TypeScript.
#[napi(object)]
pub struct NativeConnectionOptions {
    pub framing: NativeFraming,
    pub high_water_mark: u32,
    pub low_water_mark: u32,
    pub max_write_buffer: u32,
    /// 0: never.
    pub idle_timeout_ms: f64,
    /// 0: never.
    pub lifetime_ms: f64,
    pub no_delay: bool,
    /// 0: never.
    pub keep_alive: u32,
}

/// How bytes are cut into frames.
#[napi(object)]
pub struct NativeFraming {
    /// `raw`, `lines`, `delimiter` or `length`.
    pub kind: String,
    pub max: u32,
    pub delimiter: Option<Buffer>,
    /// 1, 2 or 4.
    pub length_bytes: Option<u32>,
    pub little_endian: Option<bool>,
    pub offset: Option<u32>,
    pub inclusive: Option<bool>,
    pub strip: Option<bool>,
}

/// How a server behaves, beyond its connections.
#[napi(object)]
pub struct NativeServerOptions {
    pub backlog: i32,
    pub reuse_port: bool,
    pub ipv6_only: bool,
    pub max_connections: u32,
    pub max_connections_per_address: u32,
}

/// A connection's name.
#[napi(object, object_from_js = false)]
pub struct NativeConnectionId {
    pub slot: u32,
    pub generation: u32,
}

/// Gives the loop a table of connections over `memory`, which has the layout's size.
#[napi(catch_unwind)]
pub fn connections_open(handle: Handle<LoopHandle>, memory: View) -> Result<()> {
    if memory.bytes().length < layout::CONNECTIONS_WORDS * 4 {
        return Err(Error::new(
            Status::InvalidArg,
            "the connections' memory is too small",
        ));
    }
    handle.open_connections(memory.pin()?);
    Ok(())
}

/// Adds a server, which does not listen yet: its number.
#[napi(catch_unwind)]
pub fn server_open(
    handle: Handle<LoopHandle>,
    connection: NativeConnectionOptions,
    server: NativeServerOptions,
) -> Result<u32> {
    let options = ServerOptions {
        connection: options(connection)?,
        listen: ListenOptions {
            backlog: server.backlog,
            reuse_port: server.reuse_port,
            ipv6_only: Some(server.ipv6_only),
        },
        max_connections: server.max_connections as usize,
        max_connections_per_address: match server.max_connections_per_address {
            u32::MAX => usize::MAX,
            most => most as usize,
        },
    };
    let added = at(&handle, |_, connections| {
        Ok(connections.table.add_server(options).number())
    });
    added.map_err(|_| Error::new(Status::InvalidArg, "the loop is closed"))
}

/// Has a server listen at an address: the address as the system chose it, or an errno.
#[napi(catch_unwind)]
pub fn server_listen(
    handle: Handle<LoopHandle>,
    server: u32,
    address: String,
) -> Either<Address, i32> {
    let listening = parse(&address).and_then(|address| {
        at(&handle, |event_loop, connections| {
            let server = ServerId::new(server);
            connections.table.listen(event_loop, server, &address)
        })
    });
    either(listening.map(Address::from))
}

/// Has another loop, where the server has this other number, serve its connections in turn with it.
#[napi(catch_unwind)]
pub fn server_spread(
    handle: Handle<LoopHandle>,
    server: u32,
    other: Handle<LoopHandle>,
    number: u32,
) {
    let crank = Arc::downgrade(&other.crank);
    let give = move |accepted| {
        let mut accepted = Some(accepted);
        if let Some(crank) = crank.upgrade() {
            // The state of the loop that accepts is locked, too. Nobody locks the two the other way round.
            crank.change(|_, forwarder| {
                if let Some(connections) = forwarder.connections()
                    && let Some(accepted) = accepted.take()
                {
                    connections.table.adopt(ServerId::new(number), accepted);
                }
            });
            crank.wake();
        }
        accepted
    };
    let _ = at(&handle, |_, connections| {
        let spread = connections.spread(ServerId::new(server));
        spread.add(Box::new(give));
        Ok(())
    });
}

/// Has a server accept no more, and cuts its connections that have not ended within `patience_ms` (negative: none).
/// JavaScript ends them: they may have more to write.
#[napi(catch_unwind)]
pub fn server_shut_down(handle: Handle<LoopHandle>, server: u32, patience_ms: f64) {
    let _ = at(&handle, |event_loop, connections| {
        let patience = Duration::try_from_secs_f64(patience_ms / 1e3).ok();
        let table = &mut connections.table;
        table.cut_after(event_loop, ServerId::new(server), patience);
        Ok(())
    });
    handle.crank.wake();
}

/// Forgets a server; its connections go on.
#[napi(catch_unwind)]
pub fn server_remove(handle: Handle<LoopHandle>, server: u32) {
    let _ = at(&handle, |_, connections| {
        connections.remove_server(ServerId::new(server));
        Ok(())
    });
}

/// How many connections a server has refused because of its limits, also when the loop is closed.
#[napi(catch_unwind)]
pub fn server_refused(handle: Handle<LoopHandle>, server: u32) -> f64 {
    let server = ServerId::new(server);
    let refused = at(&handle, |_, connections| {
        Ok(connections.table.refused(server))
    });
    let at_close = || handle.refused_at_close.borrow().get(&server).copied();
    refused.ok().or_else(at_close).unwrap_or(0) as f64
}

/// How many connections a server has accepted that have not ended, whether JavaScript knows of them by now or not.
#[napi(catch_unwind)]
pub fn server_connections(handle: Handle<LoopHandle>, server: u32) -> u32 {
    let count = at(&handle, |_, connections| {
        Ok(connections.table.count_of(ServerId::new(server)))
    });
    count.unwrap_or(0) as u32
}

/// Begins a connection: its name, or an errno.
#[napi(catch_unwind)]
pub fn connection_connect(
    handle: Handle<LoopHandle>,
    address: String,
    connection: NativeConnectionOptions,
    patience_ms: f64,
) -> Result<Either<NativeConnectionId, i32>> {
    let options = Arc::new(options(connection)?);
    let begun = parse(&address).and_then(|address| {
        at(&handle, |event_loop, connections| {
            let patience = milliseconds(patience_ms);
            let table = &mut connections.table;
            table.connect(event_loop, &address, options, patience)
        })
    });
    Ok(either(begun.map(|id| NativeConnectionId {
        slot: id.slot(),
        generation: id.generation(),
    })))
}

/// The address of a connection's other end, or of this.
#[napi(catch_unwind)]
pub fn connection_address(
    handle: Handle<LoopHandle>,
    slot: u32,
    generation: u32,
    of_peer: bool,
) -> Either<Address, i32> {
    either(at(&handle, |_, connections| {
        let connection = connections.table.get(ConnectionId::new(slot, generation));
        let connection = connection.ok_or(io::ErrorKind::NotConnected)?;
        if of_peer {
            Ok(connection.peer_addr().into())
        } else {
            connection.local_addr().map(Address::from)
        }
    }))
}

/// The next of the frames that the arena is too small for.
#[napi(catch_unwind)]
pub fn connections_take_large(handle: Handle<LoopHandle>) -> Option<Buffer> {
    let frame = at(&handle, |_, connections| Ok(connections.take_large()));
    frame.ok().flatten().map(Buffer::from)
}

/// Lets `act` at the loop's connections.
fn at<R>(
    handle: &LoopHandle,
    act: impl FnOnce(&mut EventLoop<Forwarder>, &mut Connections) -> io::Result<R>,
) -> io::Result<R> {
    let done = handle.crank.change(|event_loop, forwarder| {
        let connections = forwarder.connections();
        act(event_loop, connections.ok_or(io::ErrorKind::NotConnected)?)
    });
    done.unwrap_or_else(|| Err(io::ErrorKind::NotConnected.into()))
}

fn either<T>(result: io::Result<T>) -> Either<T, i32> {
    match result {
        Ok(value) => Either::A(value),
        Err(error) => Either::B(errno(&error)),
    }
}

fn parse(address: &str) -> io::Result<SocketAddr> {
    let parsed = address.parse();
    parsed.map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// `None` for 0: never.
fn milliseconds(count: f64) -> Option<Duration> {
    let duration = Duration::try_from_secs_f64(count / 1e3).ok()?;
    (!duration.is_zero()).then_some(duration)
}

fn options(given: NativeConnectionOptions) -> Result<ConnectionOptions> {
    Ok(ConnectionOptions {
        framing: Arc::new(framing(given.framing)?),
        high_water_mark: given.high_water_mark as usize,
        low_water_mark: given.low_water_mark as usize,
        max_write_buffer: given.max_write_buffer as usize,
        idle_timeout: milliseconds(given.idle_timeout_ms),
        lifetime: milliseconds(given.lifetime_ms),
        // What has come before the peer's end is still to be answered by JavaScript, which ends this side after that.
        allow_half_open: true,
        no_delay: given.no_delay,
        keep_alive: (given.keep_alive > 0).then_some(given.keep_alive),
    })
}

fn framing(given: NativeFraming) -> Result<Framing> {
    let max = given.max as usize;
    let wrong = || Error::new(Status::InvalidArg, "there is no such framing");
    Ok(match given.kind.as_str() {
        "raw" => Framing::Raw,
        "lines" => Framing::Lines { max },
        "delimiter" => Framing::Delimited {
            delimiter: given.delimiter.ok_or_else(wrong)?.to_vec(),
            max,
        },
        "length" => Framing::LengthPrefixed(LengthPrefix {
            bytes: match given.length_bytes {
                Some(1) => LengthBytes::One,
                Some(2) => LengthBytes::Two,
                Some(4) => LengthBytes::Four,
                _ => return Err(wrong()),
            },
            endian: if given.little_endian == Some(true) {
                Endian::Little
            } else {
                Endian::Big
            },
            offset: given.offset.unwrap_or(0) as usize,
            inclusive: given.inclusive.unwrap_or(false),
            strip: given.strip.unwrap_or(true),
            max,
        }),
        _ => return Err(wrong()),
    })
}
