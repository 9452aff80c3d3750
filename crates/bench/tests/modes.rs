//! The load generator's other modes: exchange, bulk and idle.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use support::{assert_no_errors, figure, load, server};

#[cfg(target_os = "linux")]
mod against_epoll_echo {
    use super::support::epoll_echo::Server;
    use super::*;

    #[test]
    fn exchange_makes_a_connection_for_each_message() {
        let server = Server::start();
        let pid = server.0.id().to_string();
        let output = load(
            server.1,
            &["--mode", "exchange", "--connections", "8", "--pid", &pid],
        );
        assert_no_errors(&output);
        assert_eq!(figure(&output, "aliveAtEnd"), 8.0);
        assert!(figure(&output, "p50") > 0.0);
        assert!(figure(&output, "serverCpuSeconds") > 0.0);
    }

    #[test]
    fn bulk_counts_the_chunks_that_come_back_after_the_warm_up() {
        let server = Server::start();
        let output = load(
            server.1,
            &["--mode", "bulk", "--bytes", "16384", "--total", "33554432"],
        );
        assert_no_errors(&output);
        // Where the window opens depends on how much one read brings.
        let chunks = 33_554_432.0 / 16_384.0;
        assert!((chunks - 8.0..=chunks).contains(&figure(&output, "messages")));
    }

    #[test]
    fn idle_holds_its_connections_and_finds_that_they_still_work() {
        let server = Server::start();
        // Its stdin has ended from the beginning.
        let output = load(server.1, &["--mode", "idle", "--connections", "300"]);
        assert_no_errors(&output);
        assert_eq!(figure(&output, "messages"), 300.0);
        assert!(output.stdout.starts_with(b"holding 300 connections\n"));
    }
}

/// As `server`, with each connection in a thread of its own.
fn threaded(serve: fn(std::net::TcpStream)) -> SocketAddr {
    server(move |stream| {
        thread::spawn(move || serve(stream));
    })
}

fn echo_once(mut stream: &std::net::TcpStream) {
    let mut bytes = [0; 64];
    if stream.read_exact(&mut bytes).is_ok() {
        let _ = stream.write_all(&bytes);
    }
}

#[test]
fn exchange_notices_a_server_that_ends_before_it_has_answered() {
    let address = threaded(|mut stream| {
        let _ = stream.read_exact(&mut [0; 64]);
    });
    let output = load(address, &["--mode", "exchange", "--connections", "3"]);
    assert_eq!(figure(&output, "closed"), 3.0);
    assert_eq!(figure(&output, "aliveAtEnd"), 0.0);
}

#[test]
fn exchange_does_not_count_what_the_server_never_ends() {
    let address = threaded(|stream| {
        echo_once(&stream);
        thread::park();
    });
    let output = load(address, &["--mode", "exchange"]);
    assert_eq!(figure(&output, "messages"), 0.0);
}

#[test]
fn exchange_with_nobody_is_all_errors() {
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let output = load(address, &["--mode", "exchange", "--connections", "2"]);
    assert!(!output.status.success() || figure(&output, "io") == 2.0);
}

#[test]
fn bulk_notices_a_byte_that_is_missing() {
    let address = threaded(|mut stream| {
        echo_once(&stream);
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).unwrap();
        let _ = stream.write_all(&bytes[1..count]);
        while stream.read(&mut bytes).is_ok_and(|count| count > 0) {}
    });
    let output = load(address, &["--mode", "bulk", "--total", "1000000"]);
    assert_eq!(figure(&output, "wrong"), 1.0);
}

#[test]
fn idle_notices_connections_that_were_closed() {
    let address = threaded(|stream| echo_once(&stream));
    let output = load(address, &["--mode", "idle", "--connections", "5"]);
    assert!(output.status.success());
    assert_eq!(figure(&output, "messages"), 0.0);
    assert_eq!(figure(&output, "closed") + figure(&output, "io"), 5.0);
}
