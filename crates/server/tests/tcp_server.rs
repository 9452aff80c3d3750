//! A server in somebody's event loop, beside what else that does.

mod util;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::thread;

use miolo::tcp::TcpListener;
use miolo::{EventLoop, EventSet, Handler, PollOpt, Sender, Token};
use miolo_server::{
    CloseReason, Connection, ConnectionHandler, ConnectionId, ConnectionTimeout, ServerOptions,
    TcpServer,
};
use util::{dial, localhost, read_out, within_patience};

/// The app's own timer, or one of its server's.
enum Timer {
    Own,
    Server(ConnectionTimeout),
}

impl From<ConnectionTimeout> for Timer {
    fn from(timeout: ConnectionTimeout) -> Timer {
        // There and back, as for a payload that is a number.
        Timer::Server(ConnectionTimeout::from_bits(timeout.to_bits()))
    }
}

#[derive(Default)]
struct Echo {
    last: Option<ConnectionId>,
    closed: Vec<String>,
}

impl ConnectionHandler for Echo {
    fn data(&mut self, conn: &mut Connection<'_>, bytes: &[u8]) {
        self.last = Some(conn.id());
        conn.write(bytes);
    }

    fn close(&mut self, _: ConnectionId, reason: CloseReason) {
        self.closed.push(reason.to_string());
    }
}

struct App {
    server: TcpServer<Echo>,
    own: TcpListener,
    own_events: usize,
    own_timers: usize,
}

const OWN: Token = Token(3);

impl Handler for App {
    type Timeout = Timer;
    type Message = &'static str;

    fn ready(&mut self, event_loop: &mut EventLoop<Self>, token: Token, events: EventSet) {
        if !self.server.ready(event_loop, token, events) {
            assert_eq!(token, OWN);
            self.own_events += 1;
            while self.own.accept().unwrap().is_some() {}
        }
    }

    fn notify(&mut self, event_loop: &mut EventLoop<Self>, message: &'static str) {
        match message {
            "greet" => {
                event_loop.timeout_ms(Timer::Own, 0).unwrap();
            }
            "stop listening" => self.server.stop_listening(),
            _ => event_loop.shutdown(),
        }
    }

    fn timeout(&mut self, event_loop: &mut EventLoop<Self>, timeout: Timer) {
        match timeout {
            Timer::Own => {
                self.own_timers += 1;
                for id in self.server.connections() {
                    self.server.connection(id).unwrap().write(b"greetings");
                }
            }
            Timer::Server(timeout) => self.server.timeout(event_loop, timeout),
        }
    }

    fn tick(&mut self, event_loop: &mut EventLoop<Self>) {
        self.server.tick(event_loop);
    }
}

/// Runs an app on a thread: its server's address, its own, a way to talk to it, and what it has come to.
fn start(
    options: ServerOptions,
) -> (
    SocketAddr,
    SocketAddr,
    Sender<&'static str>,
    thread::JoinHandle<App>,
) {
    let (started, receiver) = channel();
    let thread = thread::spawn(move || {
        let mut event_loop = EventLoop::new().unwrap();
        let mut server = TcpServer::new(Token(10), Echo::default(), options);
        let address = server.listen(&event_loop, &localhost()).unwrap();
        let own = TcpListener::bind(&localhost()).unwrap();
        event_loop
            .register(&own, OWN, EventSet::readable(), PollOpt::edge())
            .unwrap();
        started
            .send((address, own.local_addr().unwrap(), event_loop.channel()))
            .unwrap();
        let mut app = App {
            server,
            own,
            own_events: 0,
            own_timers: 0,
        };
        event_loop.run(&mut app).unwrap();
        app
    });
    let (address, own, sender) = receiver.recv().unwrap();
    (address, own, sender, thread)
}

fn exchange(mut client: &TcpStream, bytes: &[u8]) {
    client.write_all(bytes).unwrap();
    expect(client, bytes);
}

fn expect(mut client: &TcpStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    client.read_exact(&mut got).unwrap();
    assert_eq!(got, bytes);
}

#[test]
fn it_runs_beside_its_hosts_own_tokens_timers_and_messages() {
    within_patience(|| {
        let (address, own, sender, thread) = start(ServerOptions::default());
        let client = dial(address);
        exchange(&client, b"one");
        let _own = dial(own);
        exchange(&client, b"two");
        sender.send("greet").unwrap();
        expect(&client, b"greetings");
        sender.send("stop listening").unwrap();
        exchange(&client, b"three");
        TcpStream::connect(address).unwrap_err();
        sender.send("shut down").unwrap();
        let mut app = thread.join().unwrap();
        assert_eq!((app.own_events, app.own_timers), (1, 1));
        let last = app.server.handler.last.unwrap();
        assert_eq!(app.server.connections(), [last]);
        assert!(app.server.connection(last).is_some());
        assert_eq!(app.server.refused(), 0);
        drop(app);
        assert_eq!(read_out(&client).0, b"");
    });
}

/// The loop sleeps for as long as nothing happens: whatever is left over has to wake it.
#[test]
fn nothing_is_left_over_while_the_loop_sleeps() {
    within_patience(|| {
        let (address, _, sender, thread) = start(ServerOptions::default());
        let client = dial(address);
        let sent = util::noise(5_000_000);
        let bytes = sent.clone();
        let mut writer = client.try_clone().unwrap();
        let writing = thread::spawn(move || writer.write_all(&bytes).unwrap());
        expect(&client, &sent);
        writing.join().unwrap();
        let crowd: Vec<_> = (0..400).map(|_| dial(address)).collect();
        for client in &crowd {
            exchange(client, b"x");
        }
        sender.send("shut down").unwrap();
        thread.join().unwrap();
    });
}

#[test]
fn its_timeouts_come_through_its_hosts() {
    within_patience(|| {
        let options = util::with(|it| it.idle_timeout = Some(std::time::Duration::from_millis(30)));
        let (address, _, sender, thread) = start(options);
        let client = dial(address);
        assert_eq!(read_out(&client), (vec![], false));
        sender.send("shut down").unwrap();
        assert_eq!(thread.join().unwrap().server.handler.closed, ["idle"]);
    });
}

#[test]
fn names_and_timeouts_made_of_garbage_are_nobodys() {
    struct Idle(TcpServer<Echo>);

    impl Handler for Idle {
        type Timeout = ConnectionTimeout;
        type Message = ();
    }

    let mut event_loop = EventLoop::<Idle>::new().unwrap();
    let mut idle = Idle(TcpServer::new(
        Token(0),
        Echo::default(),
        ServerOptions::default(),
    ));
    idle.0.listen(&event_loop, &localhost()).unwrap();
    for bits in [
        0,
        1,
        1 << 32,
        1 << 56,
        u64::MAX,
        u64::MAX >> 1,
        0x00ff_ffff_0000_0000,
    ] {
        idle.0
            .timeout(&mut event_loop, ConnectionTimeout::from_bits(bits));
        idle.0
            .ready(&mut event_loop, Token(bits as usize), !EventSet::none());
    }
    idle.0.tick(&mut event_loop);
    assert!(idle.0.connections().is_empty());
}
