//! Connections that are good for one message each: made, used, ended, and made anew.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};
use miolo_bench::payload::Payload;
use socket2::{Domain, Protocol, Socket, Type};

use crate::connect::{BUFFER, allow_many_sockets};
use crate::options::Options;
use crate::report::{Errors, Report, Window};

pub fn run(options: &Options) -> io::Result<String> {
    allow_many_sockets();
    Load::start(options)?.run()
}

/// One of those that there are at a time.
struct Place {
    /// `None` once one has failed here; then there is no next.
    stream: Option<TcpStream>,
    /// How many there were here before.
    number: u64,
    began: Instant,
    sent: usize,
    received: usize,
}

enum Failure {
    Io,
    Closed,
    Wrong,
}

/// How far a connection has come.
enum Progress {
    Waits,
    /// The message has come back, and the server has ended its side after this one was ended.
    Done,
}

struct Load<'a> {
    options: &'a Options,
    poll: Poll,
    places: Vec<Place>,
    alive: usize,
    payload: Payload,
    made: u64,
    errors: Errors,
    /// From the beginning of a connection to its end, in nanoseconds; of those that ended in the window.
    latencies: Histogram<u64>,
    messages: u64,
    window: Option<Window>,
}

impl<'a> Load<'a> {
    fn start(options: &'a Options) -> io::Result<Self> {
        let mut load = Self {
            options,
            poll: Poll::new()?,
            places: Vec::with_capacity(options.connections),
            alive: options.connections,
            payload: Payload::new(options.bytes),
            made: 0,
            errors: Errors::default(),
            latencies: Histogram::new_with_bounds(1, 3_600_000_000_000, 3)
                .map_err(|error| io::Error::other(error.to_string()))?,
            messages: 0,
            window: None,
        };
        for index in 0..options.connections {
            load.places.push(Place {
                stream: Some(begin(options, 0, index, load.poll.registry())?),
                number: 0,
                began: Instant::now(),
                sent: 0,
                received: 0,
            });
        }
        load.made = options.connections as u64;
        Ok(load)
    }

    fn run(mut self) -> io::Result<String> {
        let measure_from = Instant::now() + self.options.warmup;
        let end = measure_from + self.options.duration;
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; BUFFER];
        let closed = loop {
            let now = Instant::now();
            if self.window.is_none() && now >= measure_from {
                self.window = Some(Window::open(now, self.options.pid));
            }
            if now >= end || self.alive == 0 {
                break now;
            }
            let until = if self.window.is_none() {
                measure_from
            } else {
                end
            };
            wait(&mut self.poll, &mut events, until)?;
            for event in &events {
                self.ready(event.token().0, &mut buffer);
            }
        };
        let span = (self.window.as_ref()).map(|window| window.close(closed, self.options.pid));
        let report = Report {
            mode: "exchange",
            rate: None,
            connections: self.options.connections,
            bytes: self.options.bytes,
            span,
            messages: self.messages,
            latencies: Some(&self.latencies),
            errors: &self.errors,
            alive: self.alive,
        };
        Ok(report.to_string())
    }

    fn ready(&mut self, index: usize, buffer: &mut [u8]) {
        let place = &mut self.places[index];
        let message = self.payload.of(index, place.number);
        let failure = match place.go_on(message, buffer) {
            Ok(Progress::Waits) => return,
            Ok(Progress::Done) => match self.next(index) {
                Ok(()) => return,
                Err(_) => Failure::Io,
            },
            Err(failure) => failure,
        };
        match failure {
            Failure::Io => self.errors.io += 1,
            Failure::Closed => self.errors.closed += 1,
            Failure::Wrong => self.errors.wrong += 1,
        }
        self.places[index].stream = None;
        self.alive -= 1;
    }

    /// Counts the one that has ended, and begins another.
    fn next(&mut self, index: usize) -> io::Result<()> {
        let now = Instant::now();
        let place = &mut self.places[index];
        if self.window.is_some() {
            self.messages += 1;
            self.latencies
                .saturating_record((now - place.began).as_nanos() as u64);
        }
        // Closed before the next is made: never more than there may be at a time.
        place.stream = None;
        place.stream = Some(begin(self.options, self.made, index, self.poll.registry())?);
        place.number += 1;
        place.began = now;
        place.sent = 0;
        place.received = 0;
        self.made += 1;
        Ok(())
    }
}

impl Place {
    /// Does what can be done now; again when the poll tells of it.
    fn go_on(&mut self, message: &[u8], buffer: &mut [u8]) -> Result<Progress, Failure> {
        let Some(stream) = &mut self.stream else {
            return Ok(Progress::Waits);
        };
        while self.sent < message.len() {
            match stream.write(&message[self.sent..]) {
                Ok(count) => self.sent += count,
                // Still being made, where that is not said by WouldBlock.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Failure::Io),
            }
        }
        if self.sent == 0 {
            return Ok(Progress::Waits);
        }
        loop {
            match stream.read(buffer) {
                Ok(0) if self.received == message.len() => return Ok(Progress::Done),
                Ok(0) => return Err(Failure::Closed),
                Ok(count) => {
                    let expected = &message[self.received..self.sent];
                    if expected.get(..count) != Some(&buffer[..count]) {
                        return Err(Failure::Wrong);
                    }
                    self.received += count;
                    if self.received == message.len() && stream.shutdown(Shutdown::Write).is_err() {
                        return Err(Failure::Io);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Progress::Waits);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Failure::Io),
            }
        }
    }
}

/// Begins to connect. `made` connections were made before.
fn begin(options: &Options, made: u64, index: usize, registry: &Registry) -> io::Result<TcpStream> {
    let address = options.address;
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(source) = source(address, made) {
        #[cfg(target_os = "linux")]
        bind_address_no_port(&socket)?;
        socket.bind(&source.into())?;
    }
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if would_block(&error) => {}
        Err(error) => return Err(error),
    }
    let mut stream = TcpStream::from_std(socket.into());
    let interest = Interest::READABLE | Interest::WRITABLE;
    registry.register(&mut stream, Token(index), interest)?;
    Ok(stream)
}

fn would_block(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::EINPROGRESS) {
        return true;
    }
    error.kind() == io::ErrorKind::WouldBlock
}

/// What ends first keeps its port for a minute, and this side does: so it has many addresses, where the system has a
/// whole network of them that lead to itself.
fn source(address: SocketAddr, made: u64) -> Option<SocketAddr> {
    const ADDRESSES: u64 = 200;
    let here = cfg!(target_os = "linux")
        && matches!(address, SocketAddr::V4(address) if address.ip().is_loopback());
    let last = 2 + (made % ADDRESSES) as u8;
    here.then(|| SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)))
}

/// Has the port chosen when the socket connects: among those that are free for that peer, not for every one.
#[cfg(target_os = "linux")]
fn bind_address_no_port(socket: &Socket) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;

    let on: libc::c_int = 1;
    // SAFETY: the kernel only reads `on`, whose size it is told.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sleeps until something is ready, or `until`.
fn wait(poll: &mut Poll, events: &mut Events, until: Instant) -> io::Result<()> {
    let timeout: Duration = until.saturating_duration_since(Instant::now());
    match poll.poll(events, Some(timeout)) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            events.clear();
            Ok(())
        }
        result => result,
    }
}
