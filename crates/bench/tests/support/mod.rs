//! What the tests of the load generator share.

#[cfg(target_os = "linux")]
pub mod epoll_echo;

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::thread;

pub fn load(address: SocketAddr, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_load"))
        .args(["--address", &address.to_string()])
        .args(["--warmup-ms", "20", "--duration-ms", "200"])
        .args(arguments)
        .output()
        .unwrap()
}

/// The number that stands behind `key` in the report.
pub fn figure(output: &Output, key: &str) -> f64 {
    let report = String::from_utf8(output.stdout.clone()).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let (_, value) = report
        .split_once(&format!("\"{key}\":"))
        .unwrap_or_else(|| panic!("no {key} in {report:?}, stderr {stderr:?}"));
    let end = value.find([',', '}']).unwrap();
    value[..end].parse().unwrap()
}

pub fn assert_no_errors(output: &Output) {
    assert!(output.status.success());
    for kind in ["io", "closed", "wrong", "unanswered"] {
        assert_eq!(figure(output, kind), 0.0, "{kind}");
    }
    assert!(figure(output, "messages") > 0.0);
}

/// A server for one connection after the other, each served by `serve`.
pub fn server(serve: impl Fn(std::net::TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.unwrap());
        }
    });
    address
}
