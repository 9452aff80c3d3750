//! One connection that is kept full, both ways.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use miolo_bench::payload::{Pattern, Payload};

use crate::connect::{BUFFER, connect};
use crate::options::Options;
use crate::report::{Errors, Report, Window};

/// How long nothing may come back.
const PATIENCE: Duration = Duration::from_secs(10);
/// The warm-up, as a part of what is measured.
const WARMUP: u64 = 16;

pub fn run(options: &Options) -> io::Result<String> {
    let first = Payload::new(options.bytes).of(0, 0).to_vec();
    let stream = connect(options, 0, &first)?;
    stream.set_nonblocking(true)?;
    let warmup = options.total / WARMUP;
    let mut bulk = Bulk {
        stream: TcpStream::from_std(stream),
        pattern: Pattern::new(options.bytes.max(BUFFER)),
        chunk: options.bytes,
        total: warmup + options.total,
        sent: 0,
        received: 0,
        ended: false,
    };
    let mut poll = Poll::new()?;
    let interest = Interest::READABLE | Interest::WRITABLE;
    poll.registry()
        .register(&mut bulk.stream, Token(0), interest)?;

    let mut events = Events::with_capacity(4);
    let mut buffer = vec![0; BUFFER];
    let mut errors = Errors::default();
    let mut window = None;
    let mut moved = Instant::now();
    let failure = loop {
        if window.is_none() && bulk.received >= warmup {
            window = Some((bulk.received, Window::open(Instant::now(), options.pid)));
        }
        match bulk.go_on(&mut buffer) {
            Ok(true) => moved = Instant::now(),
            Ok(false) if bulk.ended => break None,
            Ok(false) => {
                let patience = PATIENCE.saturating_sub(moved.elapsed());
                if patience.is_zero() {
                    // Where every byte has come back, it is the end that has not.
                    let missing = (bulk.total - bulk.received).div_ceil(bulk.chunk as u64);
                    errors.unanswered += missing.max(1);
                    break None;
                }
                match poll.poll(&mut events, Some(patience)) {
                    Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                    _ => {}
                }
            }
            Err(failure) => break Some(failure),
        }
    };
    let alive = usize::from(failure.is_none());
    match failure {
        Some(Failure::Io) => errors.io += 1,
        Some(Failure::Closed) => errors.closed += 1,
        Some(Failure::Wrong) => errors.wrong += 1,
        None => {}
    }
    let measured = (window.as_ref()).map_or(0, |(from, _)| bulk.received - from);
    let report = Report {
        mode: "bulk",
        rate: None,
        connections: 1,
        bytes: options.bytes,
        span: window.map(|(_, window)| window.close(Instant::now(), options.pid)),
        messages: measured / options.bytes as u64,
        latencies: None,
        errors: &errors,
        alive,
    };
    Ok(report.to_string())
}

struct Bulk {
    stream: TcpStream,
    pattern: Pattern,
    chunk: usize,
    /// How many bytes go each way, those of the warm-up too.
    total: u64,
    sent: u64,
    received: u64,
    /// The server has ended its side, after this one was ended.
    ended: bool,
}

enum Failure {
    Io,
    Closed,
    Wrong,
}

impl Bulk {
    /// Writes a chunk at most and reads a buffer at most; false if neither could be done.
    fn go_on(&mut self, buffer: &mut [u8]) -> Result<bool, Failure> {
        Ok(self.write()? | self.read(buffer)?)
    }

    fn write(&mut self) -> Result<bool, Failure> {
        if self.sent == self.total {
            return Ok(false);
        }
        let chunk = self.chunk as u64;
        // What is left of the chunk that was begun.
        let length = (chunk - self.sent % chunk).min(self.total - self.sent);
        let bytes = self.pattern.at(self.sent, length as usize);
        match self.stream.write(bytes) {
            Ok(count) => {
                self.sent += count as u64;
                if self.sent == self.total && self.stream.shutdown(Shutdown::Write).is_err() {
                    return Err(Failure::Io);
                }
                Ok(true)
            }
            Err(error) => nothing(&error),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<bool, Failure> {
        if self.ended {
            return Ok(false);
        }
        match self.stream.read(buffer) {
            Ok(0) if self.received == self.total => {
                self.ended = true;
                Ok(true)
            }
            Ok(0) => Err(Failure::Closed),
            Ok(count) => {
                if self.received + count as u64 > self.sent
                    || buffer[..count] != *self.pattern.at(self.received, count)
                {
                    return Err(Failure::Wrong);
                }
                self.received += count as u64;
                Ok(true)
            }
            Err(error) => nothing(&error),
        }
    }
}

fn nothing(error: &io::Error) -> Result<bool, Failure> {
    match error.kind() {
        io::ErrorKind::WouldBlock => Ok(false),
        io::ErrorKind::Interrupted => Ok(true),
        _ => Err(Failure::Io),
    }
}
