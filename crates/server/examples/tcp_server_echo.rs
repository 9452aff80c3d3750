//! An echo server, by connections.
//!
//! `cargo run --release -p miolo-server --example tcp_server_echo -- 127.0.0.1:7000`, then `nc 127.0.0.1 7000`.

use std::env;
use std::error::Error;
use std::io;

use miolo::{EventLoop, EventSet, Handler, Token};
use miolo_server::{
    Connection, ConnectionHandler, ConnectionTimeout, ServerId, ServerOptions, TcpServer,
};

struct Echo;

impl ConnectionHandler for Echo {
    fn data(&mut self, conn: &mut Connection<'_>, data: &[u8]) {
        // The peer does not read: then neither do we.
        if !conn.write(data) {
            conn.pause();
        }
    }

    fn drain(&mut self, conn: &mut Connection<'_>) {
        conn.resume();
    }

    fn error(&mut self, _: ServerId, error: io::Error) {
        eprintln!("cannot accept: {error}");
    }
}

struct App(TcpServer<Echo>);

impl Handler for App {
    type Timeout = ConnectionTimeout;
    type Message = ();

    fn ready(&mut self, event_loop: &mut EventLoop<Self>, token: Token, events: EventSet) {
        self.0.ready(event_loop, token, events);
    }

    fn timeout(&mut self, event_loop: &mut EventLoop<Self>, timeout: ConnectionTimeout) {
        self.0.timeout(event_loop, timeout);
    }

    fn tick(&mut self, event_loop: &mut EventLoop<Self>) {
        self.0.tick(event_loop);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:7000".into())
        .parse()?;
    let mut event_loop = EventLoop::new()?;
    let mut server = TcpServer::new(Token(0), Echo, ServerOptions::default());
    let address = server.listen(&event_loop, &address)?;
    println!("listening on {address}");
    event_loop.run(&mut App(server))?;
    Ok(())
}
