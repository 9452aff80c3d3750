//! Messages over many connections, in a closed or an open loop.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use miolo_bench::payload::Payload;

use crate::connect::{BUFFER, connect};
use crate::options::Options;
use crate::report::{Errors, Report, Span, Window};

/// How long answers that are still out at the end of an open loop are waited for.
const GRACE: Duration = Duration::from_secs(2);

pub fn run(options: &Options) -> io::Result<String> {
    Load::connect(options).and_then(Load::run)
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
    /// Opens the connections one after the other.
    fn connect(options: &'a Options) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut outgoing = Payload::new(options.bytes);
        let mut connections = Vec::with_capacity(options.connections);
        for index in 0..options.connections {
            let stream = connect(options, index, outgoing.of(index, 0))?;
            stream.set_nonblocking(true)?;
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
                self.window = Some(Window::open(now, self.options.pid));
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
        let span = (self.window.as_ref()).map(|window| window.close(closed, self.options.pid));

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
        Ok(self.report(span, answered))
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

    fn report(&self, span: Option<Span>, messages: u64) -> String {
        Report {
            mode: if self.options.rate.is_some() {
                "open"
            } else {
                "closed"
            },
            rate: self.options.rate,
            connections: self.options.connections,
            bytes: self.options.bytes,
            span,
            messages,
            latencies: Some(&self.latencies),
            errors: &self.errors,
            alive: self.alive,
        }
        .to_string()
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
