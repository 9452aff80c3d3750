//! Signals and wake-ups.
#![cfg(unix)]

mod util;

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Once};
use std::thread;
use std::time::{Duration, Instant};

use miolo::{EventLoop, EventSet, PollOpt, Token};
use util::{Call, Script, pair, within_patience};

/// A signal handler that does nothing, but makes the poll return EINTR.
fn handle_sigusr1() {
    extern "C" fn nothing(_: libc::c_int) {}
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: an all-zero sigaction is valid, and the handler, which does nothing, may run at any
        // time.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
            assert_eq!(
                libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()),
                0
            );
        }
    });
}

/// Sends this thread signals until dropped.
struct Pest {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Pest {
    fn new() -> Pest {
        handle_sigusr1();
        let stop = Arc::new(AtomicBool::new(false));
        // SAFETY: no preconditions.
        let victim = unsafe { libc::pthread_self() };
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                while !stop.load(Ordering::SeqCst) {
                    // SAFETY: the victim holds the `Pest`, whose drop waits for this thread; so it lives.
                    unsafe { libc::pthread_kill(victim, libc::SIGUSR1) };
                    thread::sleep(Duration::from_millis(1));
                }
            }
        });
        Pest {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Pest {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().map(thread::JoinHandle::join);
    }
}

#[test]
fn a_signal_during_the_poll_calls_interrupted_and_the_loop_goes_on() {
    within_patience(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let mut interruptions = 0;
        let mut script = Script::new(move |event_loop: &mut EventLoop<_>, call| {
            if call == Call::Interrupted {
                interruptions += 1;
                if interruptions == 3 {
                    event_loop.shutdown();
                }
            }
        });
        let pest = Pest::new();
        event_loop.run(&mut script).unwrap();
        drop(pest);
        assert_eq!(script.calls, [[Call::Interrupted, Call::Tick]; 3].concat());
    });
}

#[test]
fn signals_do_not_make_timers_early_or_late_nor_lose_io() {
    within_patience(|| {
        let (ours, mut theirs) = pair();
        let mut event_loop = EventLoop::new().unwrap();
        event_loop
            .register(&ours, Token(0), EventSet::readable(), PollOpt::edge())
            .unwrap();
        let start = Instant::now();
        let mut script = Script::new(move |event_loop: &mut EventLoop<_>, call| match call {
            Call::Timeout(ms) => {
                assert!(start.elapsed() >= Duration::from_millis(ms.into()));
                if ms == 60 {
                    theirs.write_all(b"x").unwrap();
                }
            }
            Call::Ready(..) => event_loop.shutdown(),
            _ => {}
        });
        for ms in [10, 30, 31, 60] {
            event_loop.timeout_ms(ms, u64::from(ms)).unwrap();
        }
        let pest = Pest::new();
        event_loop.run(&mut script).unwrap();
        drop(pest);
        let mut calls = script.take();
        assert!(calls.contains(&Call::Interrupted));
        calls.retain(|call| *call != Call::Interrupted);
        let expected = [10, 30, 31, 60].map(Call::Timeout).into_iter();
        assert!(
            calls
                .into_iter()
                .eq(expected.chain([Call::Ready(Token(0), EventSet::readable())]))
        );
    });
}

#[test]
fn interrupt_calls_interrupted_as_a_signal_would() {
    within_patience(|| {
        let (send_wakeup, wakeups) = channel();
        let thread = thread::spawn(move || {
            let mut event_loop = EventLoop::new().unwrap();
            let mut script = Script::new(|event_loop: &mut EventLoop<_>, call| {
                if call == Call::Interrupted {
                    event_loop.shutdown();
                }
            });
            send_wakeup.send(event_loop.wakeup()).unwrap();
            event_loop.run(&mut script).unwrap();
            script.calls
        });
        wakeups.recv().unwrap().interrupt();
        assert_eq!(thread.join().unwrap(), [Call::Interrupted, Call::Tick]);
    });
}

#[test]
fn interruptions_before_an_iteration_are_one() {
    within_patience(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let mut script = Script::idle();
        event_loop.wakeup().interrupt();
        event_loop.wakeup().interrupt();
        event_loop.run_once(&mut script, None).unwrap();
        assert_eq!(script.take(), [Call::Interrupted]);
        event_loop.run_once(&mut script, Some(0)).unwrap();
        assert_eq!(script.take(), []);
    });
}

#[test]
fn wake_ends_a_poll_and_calls_only_tick() {
    within_patience(|| {
        let (send_wakeup, wakeups) = channel();
        let thread = thread::spawn(move || {
            let mut event_loop = EventLoop::new().unwrap();
            let mut script = Script::idle();
            send_wakeup.send(event_loop.wakeup()).unwrap();
            for _ in 0..100 {
                event_loop.run_once(&mut script, None).unwrap();
                send_wakeup.send(event_loop.wakeup()).unwrap();
            }
            script.calls
        });
        for _ in 0..100 {
            wakeups.recv().unwrap().wake();
        }
        wakeups.recv().unwrap();
        assert_eq!(thread.join().unwrap(), [Call::Tick; 100]);
    });
}

#[test]
fn a_wake_before_the_poll_is_not_lost() {
    within_patience(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let mut script = Script::idle();
        event_loop.wakeup().wake();
        event_loop.run_once(&mut script, None).unwrap();
        assert_eq!(script.calls, [Call::Tick]);
    });
}

#[test]
fn waking_a_loop_that_is_gone_does_nothing() {
    let event_loop = EventLoop::<Script>::new().unwrap();
    let wakeup = event_loop.wakeup();
    drop(event_loop);
    wakeup.wake();
    wakeup.clone().interrupt();
}
