//! What the tests have in common: a loop that is turned by hand, whose handler notes every callback and checks their
//! order, and blocking sockets at the other end.

// Each test file is a program of its own, and none uses all of this.
#![allow(dead_code)]

use std::collections::HashMap;
use std::io::{self, Read};
use std::net::{self, SocketAddr};
use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use miolo::{EventLoop, EventSet, Handler, Token};
use miolo_server::{
    CloseReason, Connection, ConnectionHandler, ConnectionId, ConnectionOptions, ConnectionTimeout,
    Connections, ServerId, ServerOptions,
};

/// How long anything may take, on however loaded a machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// For what must not happen while a test looks.
pub const SILENCE: Duration = Duration::from_millis(100);

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

/// A callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Open,
    Data(Vec<u8>),
    End,
    Drain,
    /// With the reason, as it is displayed.
    Close(String),
    ConnectFailed(io::ErrorKind),
}

pub use Call::{Close, ConnectFailed, Data, Drain, End, Open};

pub fn data(bytes: impl AsRef<[u8]>) -> Call {
    Data(bytes.as_ref().to_vec())
}

pub fn close(reason: &str) -> Call {
    Close(reason.into())
}

type Action = Box<dyn FnMut(&mut Connection<'_>, &Call) + Send>;

/// Notes every callback, checks that a connection opens once, closes once and last, and does what a closure says.
pub struct Script {
    pub calls: Vec<(ConnectionId, Call)>,
    pub errors: Vec<io::Error>,
    /// How many bytes the system had taken, each time that it took some.
    pub sent: Vec<(ConnectionId, usize)>,
    /// For how many more pieces of data there is room.
    pub room: usize,
    pub may_open: bool,
    open: HashMap<u32, ConnectionId>,
    action: Action,
}

impl Script {
    fn note(&mut self, conn: &mut Connection<'_>, call: Call) {
        let id = conn.id();
        if call == Open {
            assert_eq!(self.open.insert(id.slot(), id), None, "it is open already");
        } else {
            assert_eq!(
                self.open.get(&id.slot()),
                Some(&id),
                "{call:?} of what is not open"
            );
        }
        (self.action)(conn, &call);
        self.calls.push((id, call));
    }
}

impl ConnectionHandler for Script {
    fn open(&mut self, conn: &mut Connection<'_>) {
        assert!(self.may_open);
        self.note(conn, Open);
    }

    fn data(&mut self, conn: &mut Connection<'_>, bytes: &[u8]) {
        assert!(self.room > 0);
        self.room -= 1;
        self.note(conn, data(bytes));
    }

    fn end(&mut self, conn: &mut Connection<'_>) {
        self.note(conn, End);
    }

    fn drain(&mut self, conn: &mut Connection<'_>) {
        self.note(conn, Drain);
    }

    fn close(&mut self, id: ConnectionId, reason: CloseReason) {
        assert_eq!(
            self.open.remove(&id.slot()),
            Some(id),
            "{reason} of what is not open"
        );
        self.calls.push((id, Close(reason.to_string())));
    }

    fn connect_failed(&mut self, id: ConnectionId, error: io::Error) {
        assert_ne!(self.open.get(&id.slot()), Some(&id), "it has opened");
        self.calls.push((id, ConnectFailed(error.kind())));
    }

    fn error(&mut self, _: ServerId, error: io::Error) {
        self.errors.push(error);
    }

    fn sent(&mut self, id: ConnectionId, count: usize) {
        self.sent.push((id, count));
    }

    fn has_room(&mut self) -> bool {
        self.room > 0
    }

    fn may_open(&mut self) -> bool {
        self.may_open
    }
}

/// The handler of the loop.
pub struct App<C> {
    pub table: Connections,
    pub script: C,
    pub ticks: usize,
}

impl<C: ConnectionHandler> Handler for App<C> {
    type Timeout = ConnectionTimeout;
    type Message = ();

    fn ready(&mut self, event_loop: &mut EventLoop<Self>, token: Token, events: EventSet) {
        assert!(self.table.owns(token));
        self.table
            .ready(event_loop, token, events, &mut self.script);
    }

    fn timeout(&mut self, event_loop: &mut EventLoop<Self>, timeout: ConnectionTimeout) {
        self.table.timeout(event_loop, timeout, &mut self.script);
    }

    fn tick(&mut self, event_loop: &mut EventLoop<Self>) {
        self.ticks += 1;
        if self.table.tick(event_loop, &mut self.script) {
            event_loop.wakeup().wake();
        }
    }
}

/// A loop with connections.
pub struct Rig<C: ConnectionHandler = Script> {
    pub event_loop: EventLoop<App<C>>,
    pub app: App<C>,
}

impl<C: ConnectionHandler> Rig<C> {
    pub fn of(script: C) -> Rig<C> {
        Rig {
            event_loop: EventLoop::new().unwrap(),
            app: App {
                table: Connections::new(Token(7)),
                script,
                ticks: 0,
            },
        }
    }

    /// A server that listens at a free port.
    pub fn serve(&mut self, options: ServerOptions) -> (ServerId, SocketAddr) {
        let server = self.app.table.add_server(options);
        (server, self.listen(server))
    }

    pub fn listen(&mut self, server: ServerId) -> SocketAddr {
        let address = self
            .app
            .table
            .listen(&self.event_loop, server, &localhost());
        address.unwrap()
    }

    pub fn turn(&mut self) {
        self.event_loop.run_once(&mut self.app, Some(0)).unwrap();
    }

    /// Turns the loop until something is so.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut App<C>) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(&mut self.app) {
            assert!(Instant::now() < deadline, "waiting for {what}");
            self.event_loop.run_once(&mut self.app, Some(10)).unwrap();
        }
    }

    /// Turns the loop for a while.
    pub fn linger(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Some(rest) = end.checked_duration_since(Instant::now()) {
            let rest = rest.as_millis() as usize + 1;
            self.event_loop.run_once(&mut self.app, Some(rest)).unwrap();
        }
    }

    /// Runs something that blocks on a thread, and turns the loop until it is done.
    #[track_caller]
    pub fn meanwhile<T: Send + 'static>(&mut self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let thread = thread::spawn(work);
        self.until("a thread", |_| thread.is_finished());
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    }
}

impl Rig {
    /// Does what the closure says at each callback.
    pub fn new(action: impl FnMut(&mut Connection<'_>, &Call) + Send + 'static) -> Rig {
        Rig::of(Script {
            calls: Vec::new(),
            errors: Vec::new(),
            sent: Vec::new(),
            room: usize::MAX,
            may_open: true,
            open: HashMap::new(),
            action: Box::new(action),
        })
    }

    /// Notes every callback, and does nothing.
    pub fn idle() -> Rig {
        Rig::new(|_, _| {})
    }

    /// Sends back what comes.
    pub fn echo() -> Rig {
        Rig::new(|conn, call| {
            if let Data(bytes) = call {
                conn.write(bytes);
            }
        })
    }

    /// A client whose connection has been accepted, and that connection.
    #[track_caller]
    pub fn client(&mut self, address: SocketAddr) -> (net::TcpStream, ConnectionId) {
        let before = self.count(|call| *call == Open);
        let client = dial(address);
        self.until("a connection", |app| {
            app.script.count(|call| *call == Open) > before
        });
        let opened = self
            .app
            .script
            .calls
            .iter()
            .rev()
            .find(|(_, call)| *call == Open);
        let id = opened.unwrap().0;
        (client, id)
    }

    /// Turns the loop until a connection has closed; what was called for it.
    #[track_caller]
    pub fn until_closed(&mut self, id: ConnectionId) -> Vec<Call> {
        let is_last = |call: &Call| matches!(call, Close(_) | ConnectFailed(_));
        self.until("close", |app| app.script.of(id).iter().any(is_last));
        let calls = self.calls(id);
        assert!(calls.last().is_some_and(is_last), "{calls:?}");
        calls
    }

    /// What was called for a connection.
    pub fn calls(&self, id: ConnectionId) -> Vec<Call> {
        self.app.script.of(id)
    }

    /// What has come on a connection.
    pub fn bytes(&self, id: ConnectionId) -> Vec<u8> {
        self.app.script.bytes(id)
    }

    pub fn count(&self, is_one: impl FnMut(&Call) -> bool) -> usize {
        self.app.script.count(is_one)
    }
}

impl Script {
    pub fn of(&self, id: ConnectionId) -> Vec<Call> {
        let calls = self.calls.iter().filter(|(it, _)| *it == id);
        calls.map(|(_, call)| call.clone()).collect()
    }

    pub fn bytes(&self, id: ConnectionId) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (it, call) in &self.calls {
            if let (true, Data(some)) = (*it == id, call) {
                bytes.extend_from_slice(some);
            }
        }
        bytes
    }

    pub fn count(&self, mut is_one: impl FnMut(&Call) -> bool) -> usize {
        self.calls.iter().filter(|(_, call)| is_one(call)).count()
    }
}

pub fn localhost() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// A blocking connection.
#[track_caller]
pub fn dial(address: SocketAddr) -> net::TcpStream {
    let client = net::TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.set_write_timeout(Some(PATIENCE)).unwrap();
    client.set_nodelay(true).unwrap();
    client
}

/// Closes a connection with a reset.
pub fn reset(client: net::TcpStream) {
    let socket = socket2::SockRef::from(&client);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}

/// Reads to the end, or to a reset: what came, and whether there was one.
pub fn read_out(mut client: &net::TcpStream) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    match client.read_to_end(&mut bytes) {
        Ok(_) => (bytes, false),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => (bytes, true),
        Err(error) => panic!("{error}"),
    }
}

/// Options of a server whose connections have these.
pub fn with(change: impl FnOnce(&mut ConnectionOptions)) -> ServerOptions {
    let mut options = ServerOptions::default();
    change(&mut options.connection);
    options
}

/// Bytes without a pattern, the same in every run.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(byte).take(len).collect()
}
