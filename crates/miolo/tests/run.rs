//! Running, shutting down, running again.

mod util;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use miolo::{Error, EventLoop, EventLoopConfig};
use util::{Call, Script, within_patience};

/// The loop's own error inside an I/O error.
fn cause(error: &std::io::Error) -> &Error {
    error
        .get_ref()
        .and_then(|cause| cause.downcast_ref())
        .expect("an error of the loop's own")
}

#[test]
fn run_once_with_nothing_to_do_waits_and_ticks() {
    within_patience(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let mut script = Script::idle();
        let start = Instant::now();
        event_loop.run_once(&mut script, Some(100)).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(100));
        assert_eq!(script.calls, [Call::Tick]);
    });
}

#[test]
fn run_once_with_timeout_zero_does_not_wait() {
    within_patience(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let mut script = Script::idle();
        event_loop.timeout_ms(0, 1_000_000).unwrap();
        for _ in 0..100 {
            event_loop.run_once(&mut script, Some(0)).unwrap();
        }
        assert_eq!(script.calls, [Call::Tick; 100]);
    });
}

#[test]
fn a_new_loop_is_running_until_shutdown() {
    let mut event_loop = EventLoop::<Script>::new().unwrap();
    assert!(event_loop.is_running());
    event_loop.shutdown();
    assert!(!event_loop.is_running());
}

#[test]
fn a_shutdown_before_run_makes_run_return_at_once_without_an_iteration() {
    within_patience(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let mut script = Script::idle();
        event_loop.channel().send(1).unwrap();
        event_loop.shutdown();
        event_loop.run(&mut script).unwrap();
        assert_eq!(script.calls, []);
        assert!(!event_loop.is_running());
    });
}

#[test]
fn a_shutdown_ends_one_run_only() {
    within_patience(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let mut script = Script::new(|event_loop: &mut EventLoop<_>, call| {
            if let Call::Notify(_) = call {
                assert!(event_loop.is_running());
                event_loop.shutdown();
            }
        });
        event_loop.shutdown();
        event_loop.shutdown();
        event_loop.run(&mut script).unwrap();
        event_loop.channel().send(7).unwrap();
        event_loop.run(&mut script).unwrap();
        assert_eq!(script.calls, [Call::Notify(7), Call::Tick]);
        assert!(!event_loop.is_running());
    });
}

#[test]
fn the_iteration_in_progress_finishes_after_a_shutdown() {
    within_patience(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let mut script = Script::new(|event_loop: &mut EventLoop<_>, call| {
            if call == Call::Notify(1) {
                event_loop.shutdown();
            }
        });
        let sender = event_loop.channel();
        sender.send(1).unwrap();
        sender.send(2).unwrap();
        event_loop.timeout_ms(3, 0).unwrap();
        // So that the timer is due, rounded up as it is.
        std::thread::sleep(Duration::from_millis(3));
        event_loop.run(&mut script).unwrap();
        assert_eq!(
            script.calls,
            [
                Call::Notify(1),
                Call::Notify(2),
                Call::Timeout(3),
                Call::Tick
            ]
        );
    });
}

#[test]
fn a_shutdown_in_tick_ends_the_run() {
    within_patience(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let mut script = Script::new(|event_loop: &mut EventLoop<_>, call| {
            if call == Call::Tick {
                event_loop.shutdown();
            }
        });
        event_loop.channel().send(1).unwrap();
        event_loop.run(&mut script).unwrap();
        assert_eq!(script.calls, [Call::Notify(1), Call::Tick]);
    });
}

#[test]
fn what_is_left_of_one_run_is_there_in_the_next() {
    within_patience(|| {
        let mut config = EventLoopConfig::new();
        config.messages_per_tick(1);
        let mut event_loop = EventLoop::configured(config).unwrap();
        let mut script = Script::new(|event_loop: &mut EventLoop<_>, call| {
            if call != Call::Tick {
                event_loop.shutdown();
            }
        });
        let sender = event_loop.channel();
        sender.send(1).unwrap();
        sender.send(2).unwrap();
        event_loop.timeout_ms(3, 500).unwrap();
        event_loop.run(&mut script).unwrap();
        assert_eq!(script.take(), [Call::Notify(1)]);
        event_loop.run(&mut script).unwrap();
        assert_eq!(script.take(), [Call::Notify(2)]);
        event_loop.run(&mut script).unwrap();
        assert_eq!(script.take(), [Call::Timeout(3)]);
    });
}

#[test]
fn run_once_neither_reads_nor_sets_the_flag() {
    within_patience(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let mut script = Script::idle();
        event_loop.shutdown();
        event_loop.run_once(&mut script, Some(0)).unwrap();
        assert!(!event_loop.is_running());
        assert_eq!(script.calls, [Call::Tick]);
        event_loop.run(&mut script).unwrap();
        assert_eq!(script.calls, [Call::Tick], "the shutdown was still to come");
    });
}

#[test]
fn a_callback_cannot_run_the_loop_it_is_in() {
    within_patience(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let mut script = Script::new(|event_loop: &mut EventLoop<Script>, call| {
            if call == Call::Notify(1) {
                let mut inner = Script::idle();
                let error = event_loop.run(&mut inner).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ResourceBusy);
                assert_eq!(*cause(&error), Error::Running);
                let error = event_loop.run_once(&mut inner, Some(0)).unwrap_err();
                assert_eq!(*cause(&error), Error::Running);
                let done = event_loop.dispatch(None, &mut inner, Default::default());
                assert_eq!(done, Default::default());
                assert_eq!(inner.calls, []);
                event_loop.shutdown();
            }
        });
        event_loop.channel().send(1).unwrap();
        event_loop.run(&mut script).unwrap();
        assert_eq!(script.calls, [Call::Notify(1), Call::Tick]);
    });
}

#[test]
fn settings_out_of_range_are_refused() {
    let refused = |change: fn(&mut EventLoopConfig) -> &mut EventLoopConfig| {
        let mut config = EventLoopConfig::new();
        change(&mut config);
        let error = EventLoop::<Script>::configured(config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(matches!(cause(&error), Error::Config(_)));
    };
    refused(|config| config.notify_capacity(0));
    refused(|config| config.notify_capacity((1 << 24) + 1));
    refused(|config| config.notify_capacity(usize::MAX));
    refused(|config| config.messages_per_tick(0));
    refused(|config| config.timer_tick_ms(0));
    refused(|config| config.timer_capacity((1 << 24) + 1));
}

#[test]
fn settings_at_their_limits_are_taken() {
    let mut config = EventLoopConfig::default();
    config
        .notify_capacity(1)
        .messages_per_tick(usize::MAX)
        .timer_tick_ms(u64::MAX)
        .timer_wheel_size(0)
        .timer_capacity(1 << 24);
    let mut event_loop = EventLoop::configured(config).unwrap();
    event_loop.timeout_ms(1, 0).unwrap();
    let mut script = Script::idle();
    event_loop.run_once(&mut script, Some(0)).unwrap();
    assert_eq!(script.calls, [Call::Tick]);
}
