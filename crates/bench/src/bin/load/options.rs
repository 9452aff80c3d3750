//! The command line.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

pub const USAGE: &str = "usage: load --address HOST:PORT [--mode echo|exchange|bulk|idle] \
[--connections 1] [--bytes 64] [--rate MESSAGES_PER_SECOND] [--spin] [--total BYTES_EACH_WAY] \
[--warmup-ms 500] [--duration-ms 2000] [--pid PID_OF_THE_SERVER]";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Echo,
    Exchange,
    Bulk,
    Idle,
}

impl FromStr for Mode {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Ok(match name {
            "echo" => Mode::Echo,
            "exchange" => Mode::Exchange,
            "bulk" => Mode::Bulk,
            "idle" => Mode::Idle,
            _ => return Err(()),
        })
    }
}

pub struct Options {
    pub mode: Mode,
    pub address: SocketAddr,
    /// How many there are at a time.
    pub connections: usize,
    /// The length of a message; of a chunk, in bulk.
    pub bytes: usize,
    /// Messages per second over all connections; `None` is a closed loop.
    pub rate: Option<f64>,
    pub warmup: Duration,
    pub duration: Duration,
    /// Looks for answers without ever sleeping, so that no wake-up of ours is in the latencies.
    pub spin: bool,
    /// How many bytes go each way in bulk, the warm-up not counted.
    pub total: u64,
    /// The process whose CPU time is read over the measured window.
    pub pid: Option<u32>,
}

impl Options {
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut address = None;
        let mut total = None;
        let mut options = Self {
            mode: Mode::Echo,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            connections: 1,
            bytes: 64,
            rate: None,
            warmup: Duration::from_millis(500),
            duration: Duration::from_millis(2000),
            spin: false,
            total: 0,
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
                "--mode" => options.mode = number(&name, &value)?,
                "--address" => address = Some(number(&name, &value)?),
                "--connections" => options.connections = number(&name, &value)?,
                "--bytes" => options.bytes = number(&name, &value)?,
                "--rate" => options.rate = Some(number(&name, &value)?),
                "--total" => total = Some(number(&name, &value)?),
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
        if options.mode != Mode::Echo && (options.rate.is_some() || options.spin) {
            return Err("--rate and --spin are for --mode echo".into());
        }
        if (options.mode == Mode::Bulk) != total.is_some() {
            return Err("--mode bulk wants --total, and no other mode takes it".into());
        }
        if options.mode == Mode::Bulk && options.connections != 1 {
            return Err("--mode bulk has one connection".into());
        }
        options.total = total.unwrap_or(0);
        if total == Some(0) {
            return Err("--total is at least 1".into());
        }
        Ok(options)
    }
}

fn number<T: FromStr>(name: &str, value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| format!("{name} does not take {value:?}"))
}
