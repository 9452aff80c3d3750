//! A load generator for echo servers: one thread, its own process.
//!
//! - `--mode echo`: many connections. Closed loop: each sends its next message when the last has come back. Open loop
//!   (`--rate`): messages fall due at a fixed rate whatever the server does, and each latency counts from the instant
//!   the message was due, so that a stalled server cannot hide the messages it held up (no coordinated omission).
//! - `--mode exchange`: each connection is good for one message; then it is ended, and another is made.
//! - `--mode bulk`: one connection that is kept full, both ways, until `--total` bytes have come back.
//! - `--mode idle`: makes connections, holds them until its stdin ends, and sees whether they still work.
//!
//! Every byte that comes back is checked. The result is one line of JSON on stdout. A server that dies, stalls or
//! answers wrongly shows as errors there; the exit code is non-zero only if nothing could be measured at all.

mod bulk;
mod connect;
mod echo;
mod exchange;
mod idle;
mod options;
mod report;

use std::process::ExitCode;

use options::{Mode, Options, USAGE};

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("load: {problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let report = match options.mode {
        Mode::Echo => echo::run(&options),
        Mode::Exchange => exchange::run(&options),
        Mode::Bulk => bulk::run(&options),
        Mode::Idle => idle::run(&options),
    };
    match report {
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
