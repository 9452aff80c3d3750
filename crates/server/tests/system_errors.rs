//! The example echo server, where the system fails it: errors are injected by strace.
//!
//! Without strace, or where it may not trace, nothing is tested, and standard error says so; with
//! `MIOLO_REQUIRE_STRACE=1` that is a failure.
#![cfg(target_os = "linux")]

mod util;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use util::{PATIENCE, dial, within_patience};

/// The program. `cargo test` builds it, but not if it is told to run this file only.
fn program() -> PathBuf {
    static BUILD: Once = Once::new();
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).unwrap();
    let program = profile.join("examples").join("tcp_server_echo");
    BUILD.call_once(|| {
        if !program.exists() {
            let built = Command::new(env!("CARGO"))
                .args(["build", "--example", "tcp_server_echo"])
                .args(profile.ends_with("release").then_some("--release"))
                .arg("--manifest-path")
                .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
                .arg("--target-dir")
                .arg(profile.parent().unwrap())
                .status();
            assert!(built.unwrap().success());
        }
    });
    program
}

/// Whether strace is here, may trace, and injects.
fn can_trace() -> bool {
    let traced = Command::new("strace")
        .args([
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "inject=getppid:error=EPERM",
            "true",
        ])
        .stderr(Stdio::null())
        .status();
    let can = traced.is_ok_and(|status| status.success());
    let required = std::env::var_os("MIOLO_REQUIRE_STRACE").is_some_and(|it| it == "1");
    assert!(
        can || !required,
        "strace is required, and does not work here"
    );
    if !can {
        eprintln!("no strace that works here: NOT TESTED");
    }
    can
}

/// The server, under strace.
struct Traced {
    strace: Child,
    log: PathBuf,
    address: SocketAddr,
    /// Its own number; strace has another.
    pid: String,
}

impl Traced {
    /// Which calls to note, and what to inject.
    fn start(calls: &str, inject: &str) -> Traced {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "miolo-strace-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let log = std::env::temp_dir().join(name);
        let mut strace = Command::new("strace")
            .args(["-f", "-qq", "-o"])
            .arg(&log)
            .args([
                "-e",
                &format!("trace={calls}"),
                "-e",
                &format!("inject={inject}"),
            ])
            .arg(program())
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(strace.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap();
        let children = format!("/proc/{0}/task/{0}/children", strace.id());
        let children = fs::read_to_string(children).unwrap();
        Traced {
            address: address.parse().unwrap(),
            pid: children.split_whitespace().next().unwrap().into(),
            strace,
            log,
        }
    }

    /// The calls of this name so far, one a line.
    fn calls(&self, name: &str) -> Vec<String> {
        let log = fs::read_to_string(&self.log).unwrap();
        let start = format!("{name}(");
        let calls = log.lines().filter(|line| line.contains(&start));
        calls.map(String::from).collect()
    }

    /// Waits until the log has so many lines that contain this.
    fn wait_for(&self, text: &str, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = fs::read_to_string(&self.log).unwrap();
            let found = log.lines().filter(|line| line.contains(text)).count();
            if found >= count {
                return;
            }
            assert!(Instant::now() < deadline, "waiting for {text}: {log}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it; what it has said on standard error.
    fn finish(mut self) -> String {
        let killed = Command::new("kill").args(["-KILL", &self.pid]).status();
        assert!(killed.unwrap().success());
        let mut stderr = String::new();
        let mut said = self.strace.stderr.take().unwrap();
        said.read_to_string(&mut stderr).unwrap();
        self.strace.wait().unwrap();
        stderr
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // Of a test that has failed: the server goes, and strace with it.
        if let Ok(None) = self.strace.try_wait() {
            let _ = Command::new("kill").args(["-KILL", &self.pid]).status();
        }
        let _ = self.strace.wait();
        let _ = fs::remove_file(&self.log);
    }
}

#[track_caller]
fn exchange(client: &mut TcpStream, bytes: &[u8]) {
    client.write_all(bytes).unwrap();
    let mut got = vec![0; bytes.len()];
    client.read_exact(&mut got).unwrap();
    assert_eq!(got, bytes);
}

#[test]
fn a_want_of_descriptors_or_memory_is_told_once_and_waited_out() {
    for error in ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EPERM"] {
        within_patience(move || {
            if !can_trace() {
                return;
            }
            // The first accepts one, the second finds that no other waits, and from then on there is no room.
            let inject = format!("accept4:error={error}:when=3+");
            let server = Traced::start("accept4,?epoll_wait,?epoll_pwait", &inject);
            let mut first = dial(server.address);
            exchange(&mut first, b"before");
            let _waits = dial(server.address);
            server.wait_for("(INJECTED)", 3);
            exchange(&mut first, b"served all the while");
            let turns = || server.calls("epoll_wait").len() + server.calls("epoll_pwait").len();
            let (failed, before) = (server.calls("accept4").len(), turns());
            let began = Instant::now();
            thread::sleep(Duration::from_millis(500));
            let again = server.calls("accept4").len() - failed;
            let turns = turns() - before;
            // Ten times a second. A machine that is busy sleeps longer.
            let most = began.elapsed().as_millis() as usize / 100 + 2;
            assert!(again <= most, "{again} attempts, at most {most} expected");
            assert!(turns <= 3 * most, "{turns} turns of the loop");
            exchange(&mut first, b"and still");
            let said = server.finish();
            assert_eq!(said.matches("cannot accept").count(), 1, "{error}: {said}");
        });
    }
}

#[test]
fn those_who_waited_are_accepted_when_there_is_room_again() {
    within_patience(|| {
        if !can_trace() {
            return;
        }
        let server = Traced::start("accept4", "accept4:error=EMFILE:when=1..3");
        let mut clients: Vec<_> = (0..10).map(|_| dial(server.address)).collect();
        for client in &mut clients {
            exchange(client, b"at last");
        }
        let said = server.finish();
        assert_eq!(said.matches("cannot accept").count(), 1, "{said}");
    });
}

/// Somebody's leaving makes room: it is not waited for longer than that.
#[test]
fn every_third_attempt_may_fail() {
    within_patience(|| {
        if !can_trace() {
            return;
        }
        let server = Traced::start("accept4", "accept4:error=EMFILE:when=1+3");
        for n in 0..30 {
            let mut client = dial(server.address);
            exchange(&mut client, format!("exchange {n}").as_bytes());
        }
        server.finish();
    });
}

#[test]
fn one_that_was_gone_before_it_was_accepted_does_not_hold_up_the_next() {
    for error in ["ECONNABORTED", "EPROTO"] {
        within_patience(move || {
            if !can_trace() {
                return;
            }
            let inject = format!("accept4:error={error}:when=1+2");
            let server = Traced::start("accept4", &inject);
            let mut clients: Vec<_> = (0..10).map(|_| dial(server.address)).collect();
            for client in &mut clients {
                exchange(client, b"served");
            }
            let calls = server.calls("accept4").len();
            assert!(calls <= 60, "{calls} attempts for ten");
            server.finish();
        });
    }
}

#[test]
fn interrupted_calls_are_made_again() {
    for calls in ["accept4", "recvfrom", "sendto"] {
        within_patience(move || {
            if !can_trace() {
                return;
            }
            let server = Traced::start(calls, &format!("{calls}:error=EINTR:when=1+2"));
            let mut client = dial(server.address);
            for n in 0..20 {
                exchange(&mut client, format!("exchange {n}").as_bytes());
            }
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
            server.wait_for("(INJECTED)", 1);
            assert_eq!(server.finish(), "");
        });
    }
}

#[test]
fn an_error_of_one_connection_ends_that_one_only() {
    for inject in [
        "recvfrom:error=ETIMEDOUT:when=3",
        "recvfrom:error=ECONNRESET:when=3",
        "sendto:error=EPIPE:when=3",
        "sendto:error=ENOBUFS:when=3",
    ] {
        within_patience(move || {
            if !can_trace() {
                return;
            }
            let calls = inject.split(':').next().unwrap();
            let server = Traced::start(calls, inject);
            let (mut ended, mut served) = (0, 0);
            let mut clients: Vec<_> = (0..5).map(|_| dial(server.address)).collect();
            for _ in 0..2 {
                clients.retain_mut(|client| {
                    client.write_all(b"x").unwrap();
                    let lives = matches!(client.read(&mut [0]), Ok(1));
                    if lives {
                        served += 1
                    } else {
                        ended += 1
                    }
                    lives
                });
            }
            assert_eq!((ended, served), (1, 8), "{inject}");
            server.finish();
        });
    }
}

/// All that one iteration writes leaves in one call: here, the answer to many small messages that came together.
#[test]
fn an_exchange_costs_one_read_and_one_write() {
    within_patience(|| {
        if !can_trace() {
            return;
        }
        let server = Traced::start("recvfrom,sendto", "getppid:error=EPERM");
        let mut client = dial(server.address);
        for n in 0..100 {
            exchange(&mut client, format!("exchange {n}").as_bytes());
        }
        let (reads, writes) = (server.calls("recvfrom").len(), server.calls("sendto").len());
        // The first turn may look before anything has come.
        assert!((100..=101).contains(&reads), "{reads} reads");
        assert_eq!(writes, 100);
        server.finish();
    });
}
