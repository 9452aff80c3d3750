//! An echo server, by `ready`.
//!
//! `cargo run --release --example echo_server -- 127.0.0.1:7000`, then `nc 127.0.0.1 7000`.
//!
//! Registrations are edge-triggered: `ready` says that something has changed, once. So whoever is told
//! that a socket is readable must read until it is empty, or remember that it is not.

use std::env;
use std::error::Error;
use std::io::{self, ErrorKind};

use miolo::tcp::{TcpListener, TcpStream};
use miolo::{EventLoop, EventSet, Handler, PollOpt, Token, TryRead, TryWrite};
use slab::Slab;

const LISTENER: Token = Token(usize::MAX);

/// How long to wait when the process is out of descriptors.
const ACCEPT_AGAIN_MS: u64 = 100;

struct EchoServer {
    listener: TcpListener,
    /// A connection's key is its token.
    connections: Slab<Connection>,
    /// What is being echoed just now; one for all, since no connection keeps it.
    buffer: Vec<u8>,
    /// A timer will have the listener tried again.
    waits_to_accept: bool,
}

struct Connection {
    stream: TcpStream,
    /// What was read and could not be sent yet.
    unsent: Vec<u8>,
    /// There may be something to read.
    readable: bool,
    /// The peer has sent its last byte.
    hung_up: bool,
}

impl Handler for EchoServer {
    type Timeout = ();
    type Message = ();

    fn ready(&mut self, event_loop: &mut EventLoop<Self>, token: Token, events: EventSet) {
        if token == LISTENER {
            return self.accept(event_loop);
        }
        let connection = &mut self.connections[token.as_usize()];
        connection.readable |= events != EventSet::writable();
        connection.hung_up |= events.is_hup();
        match connection.echo(&mut self.buffer) {
            Ok(true) => {}
            // Dropping a stream deregisters it: nothing of this connection is delivered any more, and
            // the next one may have its token.
            Ok(false) | Err(_) => drop(self.connections.remove(token.as_usize())),
        }
    }

    fn timeout(&mut self, event_loop: &mut EventLoop<Self>, (): ()) {
        self.waits_to_accept = false;
        self.accept(event_loop);
    }
}

impl EchoServer {
    fn accept(&mut self, event_loop: &mut EventLoop<Self>) {
        loop {
            match self.listener.accept() {
                Ok(Some((stream, _))) => {
                    if let Err(error) = self.add(event_loop, stream) {
                        eprintln!("a connection was lost: {error}");
                    }
                }
                Ok(None) => return,
                // This one went away while it waited; there may be others behind it.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                // Out of descriptors, most likely. Those who wait go on waiting, but the listener will
                // not be reported for them again.
                Err(error) => {
                    eprintln!("cannot accept just now: {error}");
                    // Each new client brings it here again, and one timer does for all.
                    self.waits_to_accept =
                        self.waits_to_accept || event_loop.timeout_ms((), ACCEPT_AGAIN_MS).is_ok();
                    return;
                }
            }
        }
    }

    fn add(&mut self, event_loop: &EventLoop<Self>, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let entry = self.connections.vacant_entry();
        event_loop.register(
            &stream,
            Token(entry.key()),
            EventSet::readable() | EventSet::writable(),
            PollOpt::edge(),
        )?;
        entry.insert(Connection {
            stream,
            unsent: Vec::new(),
            readable: false,
            hung_up: false,
        });
        Ok(())
    }
}

impl Connection {
    /// Echoes for as long as the socket allows. `false`: the peer has ended, and has everything back.
    fn echo(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        loop {
            // First what is owed. Nothing more is read before, so that a peer that sends and does not
            // read cannot fill our memory.
            while !self.unsent.is_empty() {
                match self.stream.try_write(&self.unsent)? {
                    Some(sent) => drop(self.unsent.drain(..sent)),
                    None => return Ok(true),
                }
            }
            if !self.readable {
                return Ok(true);
            }
            match self.stream.try_read(buffer)? {
                Some(0) => return Ok(false),
                Some(read) => {
                    // A short read has emptied the socket: what comes later is reported anew. But the
                    // end of the stream, if it has been reported, is still to be read.
                    self.readable = read == buffer.len() || self.hung_up;
                    let sent = self.stream.try_write(&buffer[..read])?.unwrap_or(0);
                    self.unsent.extend_from_slice(&buffer[sent..read]);
                }
                None => self.readable = false,
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:7000".into())
        .parse()?;
    let listener = TcpListener::bind(&address)?;
    let mut event_loop = EventLoop::new()?;
    event_loop.register(&listener, LISTENER, EventSet::readable(), PollOpt::edge())?;
    println!("listening on {}", listener.local_addr()?);

    let buffer = vec![0; 64 * 1024];
    event_loop.run(&mut EchoServer {
        listener,
        connections: Slab::new(),
        buffer,
        waits_to_accept: false,
    })?;
    Ok(())
}
