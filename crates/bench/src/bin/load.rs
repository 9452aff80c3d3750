//! A load generator for echo servers: one thread, its own process, many connections.
//!
//! Closed loop: each connection sends its next message when the last has come back. Open loop
//! (`--rate`): messages fall due at a fixed rate whatever the server does, and each latency counts
//! from the instant the message was due, so that a stalled server cannot hide the messages it held
//! up (no coordinated omission). Every byte that comes back is checked.
//!
//! The result is one line of JSON on stdout. A server that dies, stalls or answers wrongly shows as
//! errors there; the exit code is non-zero only if nothing could be measured at all.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use miolo_bench::{cpu, payload::Payload};

const USAGE: &str = "usage: load --address HOST:PORT [--connections 1] [--bytes 64] \
[--rate MESSAGES_PER_SECOND] [--spin] [--warmup-ms 500] [--duration-ms 2000] [--pid PID_OF_THE_SERVER]";

/// How long a connection may take to be made and to echo its first message.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// How long answers that are still out at the end of an open loop are waited for.
const GRACE: Duration = Duration::from_secs(2);
/// The most that one read takes.
const BUFFER: usize = 64 * 1024;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("load: {problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match Load::connect(&options).and_then(Load::run) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    address: SocketAddr,
    connections: usize,
    bytes: usize,
    /// Messages per second over all connections; `None` is a closed loop.
    rate: Option<f64>,
    warmup: Duration,
    duration: Duration,
    /// Looks for answers without ever sleeping, so that no wake-up of ours is in the latencies.
    spin: bool,
    /// The process whose CPU time is read over the measured window.
    pid: Option<u32>,
}

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut address = None;
        let mut options = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            connections: 1,
            bytes: 64,
            rate: None,
            warmup: Duration::from_millis(500),
            duration: Duration::from_millis(2000),
            spin: false,
            pid: None,
        };
        let mut arguments = arguments;
        while let Some(name) = arguments.next() {
            if name == "--spin" {
                options.spin = true;
                continue;
            }
            let value = arguments
                .next()
                .ok_or_else(|| format!("{name} wants a value"))?;
            match name.as_str() {
                "--address" => address = Some(number(&name, &value)?),
                "--connections" => options.connections = number(&name, &value)?,
                "--bytes" => options.bytes = number(&name, &value)?,
                "--rate" => options.rate = Some(number(&name, &value)?),
                "--warmup-ms" => options.warmup = Duration::from_millis(number(&name, &value)?),
                "--duration-ms" => options.duration = Duration::from_millis(number(&name, &value)?),
                "--pid" => options.pid = Some(number(&name, &value)?),
                _ => return Err(format!("no such option: {name}")),
            }
        }
        options.address = address.ok_or("--address is missing")?;
        if options.connections == 0 || options.bytes == 0 || options.duration.is_zero() {
            return Err("--connections, --bytes and --duration-ms are at least 1".into());
        }
        if options
            .rate
            .is_some_and(|rate| !(rate.is_finite() && rate > 0.0))
        {
            return Err("--rate is above 0".into());
        }
        Ok(options)
    }
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| format!("{name} does not take {value:?}"))
}

/// A place in the stream of messages of one connection: so many bytes into that message.
#[derive(Clone, Copy, Default)]
struct Position {
    message: u64,
    offset: usize,
}

struct Connection {
    /// `None` once the connection has failed.
    stream: Option<TcpStream>,
    /// How many messages should have been sent by now.
    due: u64,
    sent: Position,
    received: Position,
    /// When the messages that have not come back were due, oldest first.
    due_at: VecDeque<Instant>,
}

#[derive(Default)]
struct Errors {
    /// Reads and writes that failed: the peer reset the connection, say.
    io: u64,
    /// Connections that the server ended.
    closed: u64,
    /// Connections that brought back other bytes than were sent.
    wrong: u64,
    /// Messages of the measured window that never came back.
    unanswered: u64,
}

/// The measured window, from its first instant on.
struct Window {
    opened: Instant,
    server_cpu: Option<Duration>,
    own_cpu: Option<Duration>,
}

struct Load<'a> {
    options: &'a Options,
    poll: Poll,
    connections: Vec<Connection>,
    alive: usize,
    outgoing: Payload,
    expected: Payload,
    errors: Errors,
    /// The latencies of the window's messages, in nanoseconds.
    latencies: Histogram<u64>,
    /// Messages that came back within the window.
    messages: u64,
    window: Option<Window>,
}

impl<'a> Load<'a> {
    /// Opens the connections one after the other, each proved by the echo of its first message
    /// before the next is made, so that no listen queue overflows.
    fn connect(options: &'a Options) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut outgoing = Payload::new(options.bytes);
        let mut connections = Vec::with_capacity(options.connections);
        for index in 0..options.connections {
            let stream = Self::connect_one(options, outgoing.of(index, 0)).map_err(|error| {
                io::Error::new(error.kind(), format!("connection {index}: {error}"))
            })?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(
                &mut stream,
                Token(index),
                Interest::READABLE | Interest::WRITABLE,
            )?;
            let next = Position {
                message: 1,
                offset: 0,
            };
            connections.push(Connection {
                stream: Some(stream),
                due: 1,
                sent: next,
                received: next,
                due_at: VecDeque::new(),
            });
        }
        let latencies = Histogram::new_with_bounds(1, 3_600_000_000_000, 3)
            .map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self {
            options,
            poll,
            alive: connections.len(),
            connections,
            outgoing,
            expected: Payload::new(options.bytes),
            errors: Errors::default(),
            latencies,
            messages: 0,
            window: None,
        })
    }

    fn connect_one(options: &Options, first: &[u8]) -> io::Result<std::net::TcpStream> {
        let mut stream = std::net::TcpStream::connect_timeout(&options.address, CONNECT_DEADLINE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(CONNECT_DEADLINE))?;
        stream.set_write_timeout(Some(CONNECT_DEADLINE))?;
        let mut answer = vec![0; first.len().min(BUFFER)];
        // In pieces, so that a message larger than the sockets' buffers cannot block both ends.
        for piece in first.chunks(BUFFER) {
            let answer = &mut answer[..piece.len()];
            stream.write_all(piece)?;
            stream.read_exact(answer)?;
            if answer != piece {
                return Err(io::Error::other("the first echo brought other bytes"));
            }
        }
        stream.set_nonblocking(true)?;
        Ok(stream)
    }

    fn run(mut self) -> io::Result<String> {
        #[cfg(target_os = "linux")]
        if self.options.rate.is_some() {
            // SAFETY: sets a number of this thread; the kernel would otherwise sleep up to 50 µs too long.
            unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) };
        }
        let start = Instant::now();
        let measure_from = start + self.options.warmup;
        let end = measure_from + self.options.duration;
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; BUFFER];
        let mut schedule = self.options.rate.map(|rate| Schedule::new(start, rate));

        if schedule.is_none() {
            for index in 0..self.connections.len() {
                self.message_due(index, start);
            }
        }
        let closed = loop {
            let now = Instant::now();
            if self.window.is_none() && now >= measure_from {
                self.window = Some(Window {
                    opened: now,
                    server_cpu: self.options.pid.and_then(cpu::time),
                    own_cpu: cpu::time(0),
                });
            }
            if now >= end || self.alive == 0 {
                break now;
            }
            let mut until = if self.window.is_none() {
                measure_from
            } else {
                end
            };
            if let Some(schedule) = &mut schedule {
                while let Some(at) = schedule.due(now) {
                    let index = (schedule.taken - 1) as usize % self.connections.len();
                    self.message_due(index, at);
                }
                until = until.min(schedule.next());
            }
            self.wait(&mut events, until)?;
            for event in &events {
                self.ready(event.token().0, schedule.is_none(), &mut buffer);
            }
        };
        let server_cpu = self.options.pid.and_then(cpu::time);
        let own_cpu = cpu::time(0);

        // Answers from here on count for their latency, not for the rate.
        let answered = self.messages;
        if schedule.is_some() {
            let patience = closed + GRACE;
            while self.alive > 0 && self.outstanding() && Instant::now() < patience {
                self.wait(&mut events, patience)?;
                for event in &events {
                    self.ready(event.token().0, false, &mut buffer);
                }
            }
            self.count_unanswered();
        }
        let window = self.window.take();
        Ok(self.report(window, closed, answered, server_cpu, own_cpu))
    }

    /// Sleeps until something is ready, or `until`.
    fn wait(&mut self, events: &mut Events, until: Instant) -> io::Result<()> {
        let mut timeout = until.saturating_duration_since(Instant::now());
        // epoll counts in milliseconds, an open loop in microseconds.
        if self.options.spin {
            timeout = Duration::ZERO;
        }
        #[cfg(target_os = "linux")]
        if self.options.rate.is_some() && !self.options.spin {
            sleep_precisely(&self.poll, timeout);
            timeout = Duration::ZERO;
        }
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            result => result,
        }
    }

    /// Connection `index` is to send one more message, due `at`.
    fn message_due(&mut self, index: usize, at: Instant) {
        let connection = &mut self.connections[index];
        if connection.stream.is_some() {
            connection.due += 1;
            connection.due_at.push_back(at);
            self.write(index);
        }
    }

    fn ready(&mut self, index: usize, closed_loop: bool, buffer: &mut [u8]) {
        while let Some(stream) = &mut self.connections[index].stream {
            match stream.read(buffer) {
                Ok(0) => {
                    self.errors.closed += 1;
                    return self.fail(index);
                }
                Ok(count) => {
                    if !self.received(index, &buffer[..count], closed_loop) {
                        self.errors.wrong += 1;
                        return self.fail(index);
                    }
                    // A read that did not fill the buffer has emptied the socket.
                    if count < buffer.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.errors.io += 1;
                    return self.fail(index);
                }
            }
        }
        self.write(index);
    }

    /// Checks what came back, and counts the messages that are complete. False: other bytes.
    fn received(&mut self, index: usize, mut bytes: &[u8], closed_loop: bool) -> bool {
        let now = Instant::now();
        while !bytes.is_empty() {
            let connection = &mut self.connections[index];
            let Position { message, offset } = connection.received;
            let sent = connection.sent;
            let sent_of_it = if message < sent.message {
                self.options.bytes
            } else {
                sent.offset
            };
            let expected = &self.expected.of(index, message)[offset..sent_of_it.max(offset)];
            let count = bytes.len().min(expected.len());
            if count == 0 || bytes[..count] != expected[..count] {
                return false;
            }
            bytes = &bytes[count..];
            connection.received.offset += count;
            if connection.received.offset == self.options.bytes {
                connection.received = Position {
                    message: message + 1,
                    offset: 0,
                };
                if let Some(due_at) = connection.due_at.pop_front() {
                    self.answered(due_at, now);
                }
                if closed_loop {
                    let connection = &mut self.connections[index];
                    connection.due += 1;
                    connection.due_at.push_back(now);
                }
            }
        }
        true
    }

    fn answered(&mut self, due_at: Instant, now: Instant) {
        let Some(window) = &self.window else { return };
        self.messages += 1;
        // An open loop judges the messages that fell due in the window; a closed one has no others.
        if self.options.rate.is_none() || due_at >= window.opened {
            self.latencies
                .saturating_record((now - due_at).as_nanos() as u64);
        }
    }

    /// Sends what is due, as far as the socket takes it.
    fn write(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        let Some(stream) = &mut connection.stream else {
            return;
        };
        while connection.sent.message < connection.due {
            let Position { message, offset } = connection.sent;
            match stream.write(&self.outgoing.of(index, message)[offset..]) {
                Ok(count) if offset + count == self.options.bytes => {
                    connection.sent = Position {
                        message: message + 1,
                        offset: 0,
                    };
                }
                Ok(count) => connection.sent.offset += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.errors.io += 1;
                    return self.fail(index);
                }
            }
        }
    }

    fn fail(&mut self, index: usize) {
        if self.connections[index].stream.take().is_some() {
            self.alive -= 1;
        }
    }

    fn outstanding(&self) -> bool {
        self.connections
            .iter()
            .any(|connection| connection.stream.is_some() && !connection.due_at.is_empty())
    }

    /// Gives the messages that never came back the latency they have reached by now: leaving them
    /// out would flatter the server.
    fn count_unanswered(&mut self) {
        let Some(window) = &self.window else { return };
        let now = Instant::now();
        for due_at in self.connections.iter().flat_map(|one| &one.due_at) {
            if *due_at >= window.opened {
                self.errors.unanswered += 1;
                self.latencies
                    .saturating_record((now - *due_at).as_nanos() as u64);
            }
        }
    }

    fn report(
        &self,
        window: Option<Window>,
        closed: Instant,
        messages: u64,
        server_cpu: Option<Duration>,
        own_cpu: Option<Duration>,
    ) -> String {
        let seconds = window
            .as_ref()
            .map_or(0.0, |window| (closed - window.opened).as_secs_f64());
        let spent = |from: Option<Duration>, to: Option<Duration>| match (from, to) {
            (Some(from), Some(to)) => to.saturating_sub(from).as_secs_f64().to_string(),
            _ => "null".into(),
        };
        let (server_from, own_from) = window
            .as_ref()
            .map_or((None, None), |window| (window.server_cpu, window.own_cpu));
        let rate = self
            .options
            .rate
            .map_or("null".into(), |rate| rate.to_string());
        let per_second = if seconds > 0.0 {
            messages as f64 / seconds
        } else {
            0.0
        };
        let microseconds = |quantile: f64| self.latencies.value_at_quantile(quantile) as f64 / 1e3;
        let mut json = String::new();
        let _ = write!(
            json,
            "{{\"mode\":\"{}\",\"rate\":{rate},\"connections\":{},\"bytes\":{},\"seconds\":{seconds:.6},\
             \"messages\":{messages},\"messagesPerSecond\":{per_second:.1},\
             \"latencyUs\":{{\"p50\":{},\"p90\":{},\"p99\":{},\"p99.9\":{},\"max\":{}}},\
             \"errors\":{{\"io\":{},\"closed\":{},\"wrong\":{},\"unanswered\":{}}},\
             \"aliveAtEnd\":{},\"serverCpuSeconds\":{},\"loadCpuSeconds\":{}}}",
            if self.options.rate.is_some() {
                "open"
            } else {
                "closed"
            },
            self.options.connections,
            self.options.bytes,
            microseconds(0.5),
            microseconds(0.9),
            microseconds(0.99),
            microseconds(0.999),
            self.latencies.max() as f64 / 1e3,
            self.errors.io,
            self.errors.closed,
            self.errors.wrong,
            self.errors.unanswered,
            self.alive,
            spent(server_from, server_cpu),
            spent(own_from, own_cpu),
        );
        json
    }
}

/// When the messages of an open loop fall due.
struct Schedule {
    start: Instant,
    /// Seconds from one message to the next.
    interval: f64,
    taken: u64,
}

impl Schedule {
    fn new(start: Instant, rate: f64) -> Self {
        Self {
            start,
            interval: 1.0 / rate,
            taken: 0,
        }
    }

    /// When the next message falls due.
    fn next(&self) -> Instant {
        self.start + Duration::from_secs_f64(self.taken as f64 * self.interval)
    }

    /// Takes the next message if it is due by `now`.
    fn due(&mut self, now: Instant) -> Option<Instant> {
        let next = self.next();
        (next <= now).then(|| {
            self.taken += 1;
            next
        })
    }
}

/// Waits for readiness, to the nanosecond; the caller polls without waiting afterwards.
#[cfg(target_os = "linux")]
fn sleep_precisely(poll: &Poll, timeout: Duration) {
    use std::os::fd::AsRawFd as _;

    let mut descriptor = libc::pollfd {
        fd: poll.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let timeout = libc::timespec {
        tv_sec: timeout.as_secs() as libc::time_t,
        tv_nsec: timeout.subsec_nanos() as libc::c_long,
    };
    // SAFETY: one descriptor is passed, which the kernel writes `revents` of; the mask may be null.
    unsafe { libc::ppoll(&mut descriptor, 1, &timeout, std::ptr::null()) };
}
