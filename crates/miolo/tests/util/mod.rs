//! What the tests have in common.

// Each test file is a program of its own, and none uses all of this.
#![allow(dead_code)]

use std::io::{ErrorKind, Read};
use std::net::{self, SocketAddr};
use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use miolo::tcp::{TcpListener, TcpStream};
use miolo::{EventLoop, EventSet, Handler, Token};

/// How long anything may take, on however loaded a machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long to look for what must not happen.
pub const SILENCE_MS: usize = 100;

/// Runs a test on a thread, and gives up waiting for it after [`PATIENCE`].
pub fn within_patience(test: impl FnOnce() + Send + 'static) {
    let (done, receiver) = channel();
    let thread = thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    match receiver.recv_timeout(PATIENCE) {
        Ok(()) | Err(RecvTimeoutError::Disconnected) => {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
        Err(RecvTimeoutError::Timeout) => panic!("not done after {PATIENCE:?}"),
    }
}

/// A callback of a [`Script`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Ready(Token, EventSet),
    Notify(u32),
    Timeout(u32),
    Interrupted,
    Tick,
}

type Action = Box<dyn FnMut(&mut EventLoop<Script>, Call) + Send>;

/// A handler that notes every callback, and does what a closure says.
pub struct Script {
    pub calls: Vec<Call>,
    action: Action,
}

impl Script {
    pub fn new(action: impl FnMut(&mut EventLoop<Script>, Call) + Send + 'static) -> Script {
        Script {
            calls: Vec::new(),
            action: Box::new(action),
        }
    }

    /// Notes every callback, and does nothing.
    pub fn idle() -> Script {
        Script::new(|_, _| {})
    }

    /// What was called but `tick`, since the last time.
    pub fn take(&mut self) -> Vec<Call> {
        let mut calls = std::mem::take(&mut self.calls);
        calls.retain(|call| *call != Call::Tick);
        calls
    }

    fn call(&mut self, event_loop: &mut EventLoop<Script>, call: Call) {
        self.calls.push(call);
        (self.action)(event_loop, call);
    }
}

impl Handler for Script {
    type Timeout = u32;
    type Message = u32;

    fn ready(&mut self, event_loop: &mut EventLoop<Self>, token: Token, events: EventSet) {
        self.call(event_loop, Call::Ready(token, events));
    }

    fn notify(&mut self, event_loop: &mut EventLoop<Self>, message: u32) {
        self.call(event_loop, Call::Notify(message));
    }

    fn timeout(&mut self, event_loop: &mut EventLoop<Self>, timeout: u32) {
        self.call(event_loop, Call::Timeout(timeout));
    }

    fn interrupted(&mut self, event_loop: &mut EventLoop<Self>) {
        self.call(event_loop, Call::Interrupted);
    }

    fn tick(&mut self, event_loop: &mut EventLoop<Self>) {
        self.call(event_loop, Call::Tick);
    }
}

/// Turns the loop until the handler has been called, apart from `tick`: with what.
pub fn expect_calls(event_loop: &mut EventLoop<Script>, script: &mut Script) -> Vec<Call> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        event_loop.run_once(script, Some(1000)).unwrap();
        let calls = script.take();
        if !calls.is_empty() {
            return calls;
        }
    }
    panic!("nothing was called");
}

/// Turns the loop until `token` has been told of all of `events`, maybe in several callbacks, and
/// returns all it was told of.
pub fn expect_ready(
    event_loop: &mut EventLoop<Script>,
    script: &mut Script,
    token: Token,
    events: EventSet,
) -> EventSet {
    let mut seen = EventSet::none();
    while !seen.contains(events) {
        for call in expect_calls(event_loop, script) {
            match call {
                Call::Ready(it, events) if it == token => seen |= events,
                other => panic!("expected {token:?} {events:?}, got {other:?}"),
            }
        }
    }
    seen
}

/// Turns the loop for a while, in which nothing but `tick` may be called.
pub fn expect_silence(event_loop: &mut EventLoop<Script>, script: &mut Script) {
    let end = Instant::now() + Duration::from_millis(SILENCE_MS as u64);
    while let Some(rest) = end.checked_duration_since(Instant::now()) {
        event_loop
            .run_once(script, Some(rest.as_millis() as usize + 1))
            .unwrap();
        assert_eq!(script.take(), []);
    }
}

pub fn localhost() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// A listener at a free port, and its address.
pub fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(&localhost()).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// The two ends of a connection: one for the loop, and a blocking one.
pub fn pair() -> (TcpStream, net::TcpStream) {
    let listener = net::TcpListener::bind(localhost()).unwrap();
    let theirs = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    theirs.set_read_timeout(Some(PATIENCE)).unwrap();
    theirs.set_write_timeout(Some(PATIENCE)).unwrap();
    theirs.set_nodelay(true).unwrap();
    let (ours, _) = listener.accept().unwrap();
    (TcpStream::from_std(ours).unwrap(), theirs)
}

/// Reads what there is just now.
pub fn read_all(stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match (&mut &*stream).read(&mut buffer) {
            Ok(0) => return bytes,
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return bytes,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Numbers without a pattern, the same in every run.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
