//! The channel.

mod util;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, channel};
use std::sync::{Arc, Barrier};
use std::thread;

use miolo::{EventLoop, EventLoopConfig, Handler, NotifyError, Sender};
use util::{Call, Script, within_patience};

fn with_capacity<H: Handler>(messages: usize) -> EventLoop<H> {
    let mut config = EventLoopConfig::new();
    config.notify_capacity(messages);
    EventLoop::configured(config).unwrap()
}

/// Counts how many of it are dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct Holder;

impl Handler for Holder {
    type Timeout = ();
    type Message = Counted;
}

#[test]
fn a_message_of_a_thread_wakes_the_loop_and_one_of_the_handler_follows() {
    struct Texts {
        sender: Sender<String>,
        texts: Vec<String>,
    }

    impl Handler for Texts {
        type Timeout = ();
        type Message = String;

        fn notify(&mut self, event_loop: &mut EventLoop<Self>, text: String) {
            if text == "First" {
                self.sender.send("Second".into()).unwrap();
            } else {
                event_loop.shutdown();
            }
            self.texts.push(text);
        }
    }

    within_patience(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let sender = event_loop.channel();
        let mut handler = Texts {
            sender: sender.clone(),
            texts: vec![],
        };
        let thread = thread::spawn(move || sender.send("First".into()).unwrap());
        event_loop.run(&mut handler).unwrap();
        assert_eq!(handler.texts, ["First", "Second"]);
        thread.join().unwrap();
    });
}

#[test]
fn a_full_channel_gives_the_message_back_and_recovers() {
    within_patience(|| {
        let mut event_loop = with_capacity(1);
        let sender = event_loop.channel();
        let (in_callback, entered) = channel();
        let (leave, may_leave) = channel();
        let thread = thread::spawn(move || {
            let mut script = Script::new(move |event_loop: &mut EventLoop<_>, call| {
                match call {
                    Call::Notify(1) => {
                        in_callback.send(()).unwrap();
                        may_leave.recv().unwrap()
                    }
                    Call::Notify(3) => event_loop.shutdown(),
                    _ => {}
                };
            });
            event_loop.run(&mut script).unwrap();
            (event_loop, script.take())
        });
        sender.send(1).unwrap();
        entered.recv().unwrap();
        // The one in the callback does not count any more.
        sender.send(2).unwrap();
        assert!(matches!(sender.send(9), Err(NotifyError::Full(9))));
        leave.send(()).unwrap();
        loop {
            match sender.send(3) {
                Ok(()) => break,
                Err(NotifyError::Full(3)) => thread::yield_now(),
                Err(error) => panic!("{error:?}"),
            }
        }
        let (_event_loop, calls) = thread.join().unwrap();
        assert_eq!(calls, [Call::Notify(1), Call::Notify(2), Call::Notify(3)]);
    });
}

#[test]
fn capacity_is_exact() {
    within_patience(|| {
        for capacity in [1, 2, 3, 5, 100, 1000] {
            let mut event_loop = with_capacity(capacity);
            let sender = event_loop.channel();
            let mut script = Script::idle();
            for _ in 0..3 {
                (0..capacity).for_each(|i| sender.send(i as u32).unwrap());
                assert!(matches!(sender.send(0), Err(NotifyError::Full(_))));
                assert!(matches!(event_loop.post(0), Err(NotifyError::Full(_))));
                let mut delivered = 0;
                while delivered < capacity {
                    event_loop.run_once(&mut script, None).unwrap();
                    delivered += script.take().len();
                }
                assert_eq!(delivered, capacity);
            }
        }
    });
}

#[test]
fn capacity_is_exact_for_many_senders_at_once() {
    within_patience(|| {
        let event_loop: EventLoop<Script> = with_capacity(1000);
        let start = Arc::new(Barrier::new(8));
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (sender, start) = (event_loop.channel(), Arc::clone(&start));
                thread::spawn(move || {
                    start.wait();
                    (0..500).filter(|&i| sender.send(i).is_ok()).count()
                })
            })
            .collect();
        let sent: usize = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum();
        assert_eq!(sent, 1000);
    });
}

#[test]
fn nothing_is_lost_or_doubled_and_each_senders_order_is_kept() {
    const SENDERS: u32 = 4;
    const EACH: u32 = 20_000;

    struct Check {
        next: [u32; SENDERS as usize],
    }

    impl Handler for Check {
        type Timeout = ();
        type Message = (u32, u32);

        fn notify(&mut self, event_loop: &mut EventLoop<Self>, (sender, i): (u32, u32)) {
            assert_eq!(self.next[sender as usize], i);
            self.next[sender as usize] += 1;
            if self.next == [EACH; SENDERS as usize] {
                event_loop.shutdown();
            }
        }
    }

    within_patience(|| {
        // Few enough that senders meet a full channel, and the loop an empty one.
        let mut event_loop = with_capacity(7);
        let threads: Vec<_> = (0..SENDERS)
            .map(|id| {
                let sender = event_loop.channel();
                thread::spawn(move || {
                    for i in 0..EACH {
                        let mut message = (id, i);
                        while let Err(error) = sender.send(message) {
                            let NotifyError::Full(back) = error else {
                                panic!("{error:?}")
                            };
                            message = back;
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        event_loop
            .run(&mut Check {
                next: [0; SENDERS as usize],
            })
            .unwrap();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_million_messages_arrive() {
    const MESSAGES: usize = 1_000_000;

    struct Battery(usize);

    impl Handler for Battery {
        type Timeout = ();
        type Message = [u8; 22];

        fn notify(&mut self, event_loop: &mut EventLoop<Self>, message: [u8; 22]) {
            assert_eq!(message, *b"a message of 22 bytes.");
            self.0 += 1;
            if self.0 == MESSAGES {
                event_loop.shutdown();
            }
        }
    }

    within_patience(|| {
        let mut config = EventLoopConfig::new();
        config.notify_capacity(1_048_576).messages_per_tick(64);
        let mut event_loop = EventLoop::configured(config).unwrap();
        let sender = event_loop.channel();
        let thread = thread::spawn(move || {
            (0..MESSAGES).for_each(|_| sender.send(*b"a message of 22 bytes.").unwrap());
        });
        event_loop.run(&mut Battery(0)).unwrap();
        thread.join().unwrap();
    });
}

#[test]
fn no_message_is_left_behind_by_a_loop_that_goes_to_sleep() {
    within_patience(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let sender = event_loop.channel();
        let (echo, echoes) = channel();
        // Each message is sent when the loop is done with the one before: about to sleep, or asleep.
        let thread = thread::spawn(move || {
            for i in 0..20_000 {
                sender.send(i).unwrap();
                assert_eq!(echoes.recv(), Ok(i));
            }
            sender.send(u32::MAX).unwrap();
        });
        let mut script = Script::new(move |event_loop: &mut EventLoop<_>, call| match call {
            Call::Notify(u32::MAX) => event_loop.shutdown(),
            Call::Notify(i) => echo.send(i).unwrap(),
            _ => {}
        });
        event_loop.run(&mut script).unwrap();
        thread.join().unwrap();
    });
}

#[test]
fn dropping_the_loop_drops_what_is_queued_and_closes_the_channel() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let counted = || Counted(Arc::clone(&dropped));
    let event_loop = EventLoop::<Holder>::new().unwrap();
    let sender = event_loop.channel();
    for _ in 0..3 {
        sender.send(counted()).unwrap();
    }
    assert_eq!(dropped.load(Ordering::SeqCst), 0);
    drop(event_loop);
    assert_eq!(dropped.load(Ordering::SeqCst), 3);

    let error = sender.clone().send(counted()).unwrap_err();
    assert!(matches!(error, NotifyError::Closed(Some(_))));
    assert_eq!(dropped.load(Ordering::SeqCst), 3, "it is in the error");
    drop(error);
    assert_eq!(dropped.load(Ordering::SeqCst), 4);
}

#[test]
fn what_was_sent_after_a_run_waits_for_the_next_or_for_the_drop() {
    within_patience(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let mut event_loop = EventLoop::<Holder>::new().unwrap();
        let sender = event_loop.channel();
        event_loop.shutdown();
        event_loop.run(&mut Holder).unwrap();
        sender.send(Counted(Arc::clone(&dropped))).unwrap();
        assert_eq!(dropped.load(Ordering::SeqCst), 0);
        event_loop.run_once(&mut Holder, Some(0)).unwrap();
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
        sender.send(Counted(Arc::clone(&dropped))).unwrap();
        drop(event_loop);
        assert_eq!(dropped.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn a_loop_dropped_while_others_send_leaks_no_message() {
    within_patience(|| {
        for _ in 0..200 {
            let dropped = Arc::new(AtomicUsize::new(0));
            let event_loop = EventLoop::<Holder>::new().unwrap();
            let sender = event_loop.channel();
            let (started, start) = mpsc::channel();
            let thread = thread::spawn({
                let (sender, dropped) = (sender.clone(), Arc::clone(&dropped));
                move || {
                    for sent in 1.. {
                        match sender.send(Counted(Arc::clone(&dropped))) {
                            Ok(()) | Err(NotifyError::Full(_)) => {}
                            Err(NotifyError::Closed(message)) => {
                                drop(message);
                                return sent;
                            }
                            Err(error) => panic!("{error:?}"),
                        }
                        let _ = started.send(());
                    }
                    unreachable!()
                }
            });
            start.recv().unwrap();
            drop(event_loop);
            let sent: usize = thread.join().unwrap();
            // `sender` is still there, so it is not by its end that they are dropped.
            assert_eq!(dropped.load(Ordering::SeqCst), sent);
            drop(sender);
        }
    });
}

#[test]
fn errors_read_well_and_need_nothing_of_the_message() {
    struct Opaque;

    struct Null;

    impl Handler for Null {
        type Timeout = ();
        type Message = Opaque;
    }

    let event_loop = with_capacity::<Null>(1);
    let sender = event_loop.channel();
    sender.send(Opaque).unwrap();
    let full = sender.send(Opaque).unwrap_err();
    assert_eq!(format!("{full:?}"), "Full(..)");
    assert_eq!(full.to_string(), "the event loop's channel is full");
    drop(event_loop);
    let closed = sender.send(Opaque).unwrap_err();
    assert_eq!(format!("{closed:?}"), "Closed(..)");
    assert_eq!(closed.to_string(), "the event loop is closed");
}
