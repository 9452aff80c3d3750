//! Nothing leaks a descriptor. One test, since it counts those of the whole process.
#![cfg(target_os = "linux")]

mod util;

use std::io::Write;
use std::net;

use miolo::tcp::{TcpListener, TcpStream};
use miolo::{EventLoop, EventSet, PollOpt, Token};
use util::{Script, expect_ready, listen, pair};

const READABLE: EventSet = EventSet::readable();

fn open() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[track_caller]
fn leaks_nothing<T>(name: &str, mut f: impl FnMut() -> T) {
    let before = open();
    let kept = f();
    assert_eq!(open(), before, "{name}");
    drop(kept);
    assert_eq!(open(), before, "{name}, after");
}

#[test]
fn nothing_leaks_a_descriptor() {
    leaks_nothing("2000 loops", || {
        for _ in 0..2000 {
            EventLoop::<Script>::new().unwrap();
        }
    });

    leaks_nothing("handles that outlive their loop", || {
        let mut event_loop = EventLoop::<Script>::new().unwrap();
        let poller = event_loop.take_poller().unwrap();
        let handles = (
            event_loop.channel(),
            event_loop.registrar(),
            event_loop.wakeup(),
        );
        drop(event_loop);
        drop(poller);
        handles
    });

    leaks_nothing("a poller that outlives its loop", || {
        let mut event_loop = EventLoop::<Script>::new().unwrap();
        let poller = event_loop.take_poller().unwrap();
        drop(event_loop);
        drop(poller);
    });

    leaks_nothing("sockets, registered or not, with clones", || {
        let mut event_loop = EventLoop::new().unwrap();
        let mut script = Script::idle();
        for round in 0..100 {
            let (listener, address) = listen();
            let clone = listener.try_clone().unwrap();
            event_loop
                .register(&clone, Token(0), READABLE, PollOpt::level())
                .unwrap();
            let client = TcpStream::connect(&address).unwrap();
            expect_ready(&mut event_loop, &mut script, Token(0), READABLE);
            let (server, _) = listener.accept().unwrap().unwrap();
            if round % 2 == 0 {
                event_loop
                    .register(&server, Token(1), READABLE, PollOpt::edge())
                    .unwrap();
            }
            if round % 4 == 0 {
                event_loop.deregister(&server).unwrap();
            }
            drop(client);
        }
    });

    leaks_nothing("registered sockets that outlive their loop", || {
        let (ours, mut theirs) = pair();
        let event_loop = EventLoop::<Script>::new().unwrap();
        event_loop
            .register(&ours, Token(0), READABLE, PollOpt::oneshot())
            .unwrap();
        theirs.write_all(b"x").unwrap();
        drop(event_loop);
    });

    leaks_nothing("failures", || {
        let (_listener, address) = listen();
        for _ in 0..10 {
            TcpListener::bind(&address).unwrap_err();
            let file = net::TcpListener::bind(util::localhost()).unwrap();
            let listener = TcpListener::from_std(file).unwrap();
            let (first, second) = (
                EventLoop::<Script>::new().unwrap(),
                EventLoop::<Script>::new().unwrap(),
            );
            first
                .register(&listener, Token(0), READABLE, PollOpt::edge())
                .unwrap();
            second
                .register(&listener, Token(0), READABLE, PollOpt::edge())
                .unwrap_err();
        }
    });

    out_of_descriptors();
}

/// The loop survives not being able to accept, and what is waiting is accepted later.
fn out_of_descriptors() {
    let (listener, address) = listen();
    let mut event_loop = EventLoop::new().unwrap();
    let mut script = Script::idle();
    event_loop
        .register(&listener, Token(0), READABLE, PollOpt::level())
        .unwrap();
    let client = net::TcpStream::connect(address).unwrap();
    expect_ready(&mut event_loop, &mut script, Token(0), READABLE);

    let limit = |soft: libc::rlim_t| {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: the pointers are to a local.
        unsafe {
            assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
            let before = std::mem::replace(&mut limit.rlim_cur, soft);
            assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
            before
        }
    };
    // No descriptor below the limit is free: the lowest that is, is the limit.
    let free = std::fs::File::open("/dev/null").map(|file| std::os::fd::AsRawFd::as_raw_fd(&file));
    let before = limit(free.unwrap() as libc::rlim_t);
    let refused = listener.accept();
    let refused_loop = EventLoop::<Script>::new();
    limit(before);

    assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EMFILE));
    assert_eq!(refused_loop.unwrap_err().raw_os_error(), Some(libc::EMFILE));
    expect_ready(&mut event_loop, &mut script, Token(0), READABLE);
    assert!(listener.accept().unwrap().is_some());
    drop(client);
}
