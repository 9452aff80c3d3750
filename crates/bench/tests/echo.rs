//! The load generator against servers that echo, and against those that do not.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use support::{assert_no_errors, figure, load, server};

#[cfg(target_os = "linux")]
mod against_epoll_echo {
    use super::support::epoll_echo::Server;
    use super::*;

    #[test]
    fn closed_loop_counts_messages_and_the_servers_cpu() {
        let server = Server::start();
        let pid = server.0.id().to_string();
        let output = load(server.1, &["--connections", "50", "--pid", &pid]);
        assert_no_errors(&output);
        assert_eq!(figure(&output, "aliveAtEnd"), 50.0);
        assert!(figure(&output, "p50") > 0.0);
        assert!(figure(&output, "serverCpuSeconds") > 0.0);
        assert!(figure(&output, "serverMainThreadCpuSeconds") > 0.0);
        assert!(figure(&output, "loadCpuSeconds") > 0.0);
    }

    #[test]
    fn a_spinning_load_measures_the_same_things() {
        let server = Server::start();
        assert_no_errors(&load(server.1, &["--spin"]));
        assert_no_errors(&load(server.1, &["--spin", "--rate", "500"]));
    }

    #[test]
    fn open_loop_never_sends_more_than_its_rate() {
        let server = Server::start();
        let output = load(server.1, &["--connections", "7", "--rate", "1000"]);
        assert_no_errors(&output);
        // Those of the window, and what the warm-up may have left over.
        assert!(figure(&output, "messages") <= 1000.0 * 0.22 + 1.0);
    }

    #[test]
    fn messages_larger_than_the_sockets_buffers_come_back_whole() {
        let server = Server::start();
        let output = load(server.1, &["--connections", "2", "--bytes", "8000001"]);
        assert!(output.status.success());
        for kind in ["io", "closed", "wrong"] {
            assert_eq!(figure(&output, kind), 0.0, "{kind}");
        }
        assert_eq!(figure(&output, "aliveAtEnd"), 2.0);
    }
}

#[test]
fn other_bytes_are_noticed() {
    let address = server(|mut stream| {
        let mut bytes = [0; 64];
        for served in 0.. {
            if stream.read_exact(&mut bytes).is_err() {
                return;
            }
            // The first echo proves the connection; the second is off by a bit.
            bytes[63] ^= u8::from(served == 1);
            stream.write_all(&bytes).unwrap();
        }
    });
    let output = load(address, &[]);
    assert_eq!(figure(&output, "wrong"), 1.0);
    assert_eq!(figure(&output, "aliveAtEnd"), 0.0);
}

#[test]
fn bytes_that_were_never_sent_are_noticed() {
    let address = server(|mut stream| {
        let mut bytes = [0; 64];
        if stream.read_exact(&mut bytes).is_ok() {
            stream.write_all(&bytes).unwrap();
            stream.write_all(&bytes).unwrap();
            let _ = stream.read(&mut bytes);
        }
    });
    assert_eq!(figure(&load(address, &[]), "wrong"), 1.0);
}

#[test]
fn a_server_that_dies_ends_the_run() {
    for loop_mode in [&[][..], &["--rate", "100"]] {
        let address = server(|mut stream| {
            let mut bytes = [0; 64];
            for _ in 0..3 {
                stream.read_exact(&mut bytes).unwrap();
                stream.write_all(&bytes).unwrap();
            }
        });
        let output = load(address, &[loop_mode, &["--duration-ms", "60000"]].concat());
        assert!(output.status.success());
        assert_eq!(figure(&output, "aliveAtEnd"), 0.0);
        assert!(figure(&output, "closed") + figure(&output, "io") >= 1.0);
    }
}

#[test]
fn a_server_that_stalls_is_given_its_latency_in_an_open_loop() {
    let address = server(|mut stream| {
        let mut bytes = [0; 64];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
        // Reads on, and answers nothing.
        while stream.read(&mut bytes).is_ok_and(|count| count > 0) {}
    });
    let output = load(address, &["--rate", "1000"]);
    assert_eq!(figure(&output, "messages"), 0.0);
    assert!(figure(&output, "unanswered") > 0.0);
    assert!(
        figure(&output, "p50") > 1_000_000.0,
        "the grace of 2 s at least"
    );
}

#[test]
fn nobody_there_is_a_failure() {
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let output = load(address, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let address = SocketAddr::from(([127, 0, 0, 1], 9));
    for arguments in [
        &["--bytes"][..],
        &["--bytes", "-1"],
        &["--bytes", "0"],
        &["--connections", "0"],
        &["--rate", "NaN"],
        &["--rate", "0"],
        &["--speed", "9"],
        &["--address", "nowhere"],
        &["--mode", "slow"],
        &["--mode", "bulk"],
        &["--mode", "bulk", "--total", "0"],
        &["--mode", "bulk", "--total", "9", "--connections", "2"],
        &["--total", "9"],
        &["--mode", "exchange", "--rate", "9"],
        &["--mode", "idle", "--spin"],
    ] {
        assert_eq!(
            load(address, arguments).status.code(),
            Some(2),
            "{arguments:?}"
        );
    }
}
