//! What was measured, as a line of JSON.

use std::fmt;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use miolo_bench::cpu;

pub struct Report<'a> {
    /// `open` and `closed` are the two loops of echo.
    pub mode: &'static str,
    pub rate: Option<f64>,
    pub connections: usize,
    pub bytes: usize,
    /// How long the measured window was, and what was used in it; `None` if it was never opened.
    pub span: Option<Span>,
    /// Messages that came back within the window.
    pub messages: u64,
    /// In nanoseconds; `None` where there is nothing to be late for.
    pub latencies: Option<&'a Histogram<u64>>,
    pub errors: &'a Errors,
    pub alive: usize,
}

#[derive(Default)]
pub struct Errors {
    /// Reads and writes that failed: the peer reset the connection, say.
    pub io: u64,
    /// Connections that the server ended.
    pub closed: u64,
    /// Connections that brought back other bytes than were sent.
    pub wrong: u64,
    /// Messages of the measured window that never came back.
    pub unanswered: u64,
}

/// The measured window, from its first instant on.
pub struct Window {
    pub opened: Instant,
    used: Used,
}

/// A window that has been closed.
pub struct Span {
    seconds: f64,
    used: Used,
}

/// CPU times; `None` where the system does not tell.
struct Used {
    server: Option<Duration>,
    server_main_thread: Option<Duration>,
    own: Option<Duration>,
}

impl Window {
    pub fn open(now: Instant, pid: Option<u32>) -> Self {
        Self {
            opened: now,
            used: Used::now(pid),
        }
    }

    /// What has passed and was used since it was opened.
    pub fn close(&self, now: Instant, pid: Option<u32>) -> Span {
        Span {
            seconds: (now - self.opened).as_secs_f64(),
            used: Used::now(pid).since(&self.used),
        }
    }
}

impl Used {
    fn now(pid: Option<u32>) -> Self {
        Self {
            server: pid.and_then(cpu::time),
            server_main_thread: pid.and_then(cpu::main_thread_time),
            own: cpu::time(0),
        }
    }

    fn since(&self, before: &Self) -> Self {
        let spent = |from: Option<Duration>, to: Option<Duration>| Some(to?.saturating_sub(from?));
        Self {
            server: spent(before.server, self.server),
            server_main_thread: spent(before.server_main_thread, self.server_main_thread),
            own: spent(before.own, self.own),
        }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let null = || "null".to_string();
        let seconds = self.span.as_ref().map_or(0.0, |span| span.seconds);
        let per_second = if seconds > 0.0 {
            self.messages as f64 / seconds
        } else {
            0.0
        };
        let latencies = self.latencies.map_or_else(null, |latencies| {
            let microseconds = |quantile: f64| latencies.value_at_quantile(quantile) as f64 / 1e3;
            format!(
                "{{\"p50\":{},\"p90\":{},\"p99\":{},\"p99.9\":{},\"max\":{}}}",
                microseconds(0.5),
                microseconds(0.9),
                microseconds(0.99),
                microseconds(0.999),
                latencies.max() as f64 / 1e3,
            )
        });
        let used = self.span.as_ref().map(|span| &span.used);
        let cpu = |which: fn(&Used) -> Option<Duration>| {
            used.and_then(which)
                .map_or_else(null, |time| time.as_secs_f64().to_string())
        };
        write!(
            f,
            "{{\"mode\":\"{}\",\"rate\":{},\"connections\":{},\"bytes\":{},\"seconds\":{seconds:.6},\
             \"messages\":{},\"messagesPerSecond\":{per_second:.1},\"latencyUs\":{latencies},\
             \"errors\":{{\"io\":{},\"closed\":{},\"wrong\":{},\"unanswered\":{}}},\
             \"aliveAtEnd\":{},\"serverCpuSeconds\":{},\"serverMainThreadCpuSeconds\":{},\"loadCpuSeconds\":{}}}",
            self.mode,
            self.rate.map_or_else(null, |rate| rate.to_string()),
            self.connections,
            self.bytes,
            self.messages,
            self.errors.io,
            self.errors.closed,
            self.errors.wrong,
            self.errors.unanswered,
            self.alive,
            cpu(|used| used.server),
            cpu(|used| used.server_main_thread),
            cpu(|used| used.own),
        )
    }
}
