//! The examples do what they say.
#![cfg(unix)]

mod util;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Once};
use std::thread;

use util::{PATIENCE, Random, within_patience};

/// The program of an example. `cargo test` builds them, but not if it is told to run this file only.
fn example(name: &str) -> Command {
    static BUILD: Once = Once::new();
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).unwrap();
    let program: PathBuf = profile.join("examples").join(name);
    BUILD.call_once(|| {
        if !program.exists() {
            let built = Command::new(env!("CARGO"))
                .args(["build", "--examples"])
                .args(profile.ends_with("release").then_some("--release"))
                .arg("--manifest-path")
                .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
                .arg("--target-dir")
                .arg(profile.parent().unwrap())
                .status();
            assert!(built.unwrap().success());
        }
    });
    Command::new(program)
}

fn output(name: &'static str) -> String {
    let output = example(name).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn base() {
    within_patience(|| assert_eq!(output("base"), "the loop has run, and has stopped\n"));
}

#[test]
fn timeout() {
    within_patience(|| {
        let output = output("timeout");
        let ms = output
            .strip_prefix("timeout 123 after ")
            .and_then(|s| s.strip_suffix(" ms\n"));
        assert!(ms.unwrap().parse::<u32>().unwrap() >= 100, "{output}");
    });
}

#[test]
fn notify() {
    within_patience(|| {
        assert_eq!(
            output("notify"),
            "notified of 1\nnotified of 2\nnotified of 3\nshut down\n"
        );
    });
}

#[test]
fn tick() {
    within_patience(|| {
        assert_eq!(
            output("tick"),
            "wrote: one\nwrote: two, behind the message that quits\nclosed after 2 lines\n"
        );
    });
}

/// An echo server in a process of its own.
struct EchoServer {
    child: Child,
    address: SocketAddr,
}

impl EchoServer {
    fn start(mut command: Command) -> EchoServer {
        let mut child = command
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim()
            .strip_prefix("listening on ")
            .unwrap()
            .parse()
            .unwrap();
        EchoServer { child, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn echoes(mut stream: &TcpStream, text: &[u8]) {
    stream.write_all(text).unwrap();
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, text);
}

#[test]
fn echo_server_echoes_to_many() {
    within_patience(|| {
        let server = EchoServer::start(example("echo_server"));
        let streams: Vec<TcpStream> = (0..50).map(|_| server.connect()).collect();
        for round in 0..5 {
            for (i, stream) in streams.iter().enumerate() {
                echoes(stream, format!("{i} in round {round}").as_bytes());
            }
        }
        // Some leave, and their places are taken.
        let streams: Vec<TcpStream> = streams.into_iter().step_by(2).collect();
        let more: Vec<TcpStream> = (0..50).map(|_| server.connect()).collect();
        streams
            .iter()
            .chain(&more)
            .for_each(|stream| echoes(stream, b"still there"));
    });
}

/// More than all the buffers hold, from a peer that sends everything before it reads.
#[test]
fn echo_server_holds_back_a_peer_that_does_not_read_and_loses_nothing() {
    const TOTAL: usize = 32 * 1024 * 1024;
    within_patience(|| {
        let server = EchoServer::start(example("echo_server"));
        let stream = server.connect();
        // A pattern of a length that is no power of two, twice, so that a part of any offset is whole.
        const PERIOD: usize = 250_007;
        let byte = |i: usize| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[7];
        let pattern: Arc<[u8]> = (0..2 * PERIOD).map(|i| byte(i % PERIOD)).collect();
        let mut writing = stream.try_clone().unwrap();
        let writer = thread::spawn({
            let pattern = Arc::clone(&pattern);
            move || {
                let mut random = Random(11);
                let mut sent = 0;
                while sent < TOTAL {
                    let n = (random.below(200_000) as usize + 1).min(TOTAL - sent);
                    writing.write_all(&pattern[sent % PERIOD..][..n]).unwrap();
                    sent += n;
                }
                writing.shutdown(Shutdown::Write).unwrap();
            }
        });
        // Until the server can take no more.
        thread::sleep(std::time::Duration::from_millis(200));
        let other = server.connect();
        echoes(&other, b"others are served meanwhile");
        let mut received = 0;
        let mut buffer = vec![0; 100_000];
        loop {
            let n = (&stream).read(&mut buffer).unwrap();
            if n == 0 {
                break;
            }
            assert!(buffer[..n] == pattern[received % PERIOD..][..n]);
            received += n;
        }
        assert_eq!(received, TOTAL);
        writer.join().unwrap();
    });
}

#[test]
fn echo_server_sends_everything_to_a_peer_that_has_ended() {
    within_patience(|| {
        let server = EchoServer::start(example("echo_server"));
        for size in [0, 1, 65_535, 65_536, 65_537, 1_000_000] {
            let mut stream = server.connect();
            let text = vec![b'e'; size];
            let reading = stream.try_clone().unwrap();
            let reader = thread::spawn(move || {
                let mut back = Vec::new();
                (&reading).read_to_end(&mut back).unwrap();
                back
            });
            stream.write_all(&text).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(reader.join().unwrap(), text);
        }
    });
}

#[test]
fn echo_server_survives_peers_that_reset() {
    within_patience(|| {
        let server = EchoServer::start(example("echo_server"));
        for i in 0..100 {
            let stream = server.connect();
            if i % 2 == 0 {
                (&stream).write_all(&[0; 100_000]).unwrap();
            }
            let socket = socket2::SockRef::from(&stream);
            socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
        }
        echoes(&server.connect(), b"still there");
    });
}

#[test]
fn echo_server_survives_running_out_of_descriptors() {
    const LIMIT: u64 = 24;
    within_patience(|| {
        let mut command = example("echo_server");
        command.stderr(Stdio::null());
        // SAFETY: setrlimit is async-signal-safe, and the pointer is to a local.
        unsafe {
            command.pre_exec(|| {
                let limit = libc::rlimit {
                    rlim_cur: LIMIT,
                    rlim_max: LIMIT,
                };
                match libc::setrlimit(libc::RLIMIT_NOFILE, &limit) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            });
        }
        let server = EchoServer::start(command);
        let first = server.connect();
        echoes(&first, b"served");
        let streams: Vec<TcpStream> = (0..2 * LIMIT).map(|_| server.connect()).collect();
        echoes(&first, b"still served");
        // As those who are served leave, those who wait are accepted.
        for stream in streams {
            echoes(&stream, b"served in the end");
        }
    });
}

#[test]
fn echo_server_says_what_is_wrong_with_an_address() {
    within_patience(|| {
        for address in ["nonsense", "127.0.0.1:99999", "203.0.113.1:7000"] {
            let output = example("echo_server").arg(address).output().unwrap();
            assert!(!output.status.success());
            assert!(
                String::from_utf8_lossy(&output.stderr).contains("Error"),
                "{output:?}"
            );
        }
    });
}
