//! Connections that do nothing.

use std::io::{self, Read};
use std::time::Instant;

use miolo_bench::payload::Payload;

use crate::connect::{allow_many_sockets, connect, exchange};
use crate::options::Options;
use crate::report::{Errors, Report, Window};

/// Makes the connections, says `holding N connections`, and does nothing with them until its stdin ends. Then each
/// has to echo one more message.
pub fn run(options: &Options) -> io::Result<String> {
    allow_many_sockets();
    let mut payload = Payload::new(options.bytes);
    let connections = (0..options.connections)
        .map(|index| connect(options, index, payload.of(index, 0)))
        .collect::<io::Result<Vec<_>>>()?;

    let window = Window::open(Instant::now(), options.pid);
    println!("holding {} connections", connections.len());
    io::stdin().read_to_end(&mut Vec::new())?;
    let span = window.close(Instant::now(), options.pid);

    let mut errors = Errors::default();
    let mut messages = 0;
    for (index, stream) in connections.iter().enumerate() {
        match exchange(stream, payload.of(index, 1)) {
            Ok(true) => messages += 1,
            Ok(false) => errors.wrong += 1,
            Err(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof => errors.closed += 1,
                // Whoever has kept one waiting for so long is not asked for the others.
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    errors.unanswered += (connections.len() - index) as u64;
                    break;
                }
                _ => errors.io += 1,
            },
        }
    }
    let report = Report {
        mode: "idle",
        rate: None,
        connections: options.connections,
        bytes: options.bytes,
        span: Some(span),
        messages,
        latencies: None,
        errors: &errors,
        alive: messages as usize,
    };
    Ok(report.to_string())
}
