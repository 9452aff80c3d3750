//! Both ends on threads of their own, as in the loop.
#![cfg(not(loom))]

mod util;

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use miolo_bridge::{Merge, Parking, Record};
use util::{Memory, RingMemory, record};

const RECORDS: u32 = if cfg!(miri) { 200 } else { 300_000 };
const DEADLINE: Duration = Duration::from_secs(120);

/// The side that sleeps; a wake-up that never comes fails the test.
struct Sleeper {
    parking: Parking,
    doorbell: Receiver<()>,
    sleeps: u32,
}

/// The side that wakes it.
#[derive(Clone)]
struct Waker {
    parking: Parking,
    doorbell: SyncSender<()>,
    rung: u32,
}

fn sleeper(parking: Parking) -> (Sleeper, Waker) {
    let (send, receive) = sync_channel(RECORDS as usize);
    let waker = Waker {
        parking: parking.clone(),
        doorbell: send,
        rung: 0,
    };
    (
        Sleeper {
            parking,
            doorbell: receive,
            sleeps: 0,
        },
        waker,
    )
}

impl Sleeper {
    /// Sleeps until the doorbell, unless `look` finds something.
    fn sleep(&mut self, look: impl FnOnce() -> bool) {
        self.sleeps += 1;
        self.parking.park();
        if look() {
            self.parking.unpark();
        } else {
            self.doorbell
                .recv_timeout(DEADLINE)
                .expect("the wake-up came");
        }
    }
}

impl Waker {
    fn wake(&mut self) {
        if self.parking.ring() {
            self.rung += 1;
            // The sleeper may be through with the test.
            let _ = self.doorbell.send(());
        }
    }
}

#[test]
fn every_record_arrives_in_order_with_both_sides_asleep_now_and_then() {
    let ring = RingMemory::new(8, u32::MAX - 100);
    let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
    let (mut for_records, mut new_records) = sleeper(ring.parking());
    let (mut for_room, mut new_room) = sleeper(ring.want_room());

    thread::scope(|scope| {
        let producing = scope.spawn(move || {
            for n in 0..RECORDS {
                while producer.push(record(n)).is_err() {
                    if producer.publish() {
                        new_records.wake();
                    }
                    for_room.sleep(|| producer.room().unwrap() > 0);
                }
                // Batches of all sizes, and the last one whole.
                if (n % 7 == 0 || n == RECORDS - 1) && producer.publish() {
                    new_records.wake();
                }
            }
            (new_records.rung, for_room.sleeps)
        });
        let mut next = 0;
        while next < RECORDS {
            while let Some(popped) = consumer.pop().unwrap() {
                assert_eq!(popped, record(next));
                next += 1;
            }
            consumer.release();
            new_room.wake();
            if next < RECORDS {
                for_records.sleep(|| !consumer.is_empty());
            }
        }
        let (rung, sleeps) = producing.join().unwrap();
        assert!(
            rung <= for_records.sleeps,
            "{rung} doorbells, {} sleeps",
            for_records.sleeps
        );
        assert!(
            new_room.rung <= sleeps,
            "{} doorbells, {sleeps} sleeps",
            new_room.rung
        );
    });
}

#[test]
fn several_producers_ring_one_sleeper_once() {
    const PRODUCERS: usize = 3;
    let rounds = RECORDS / 20;
    let memory = Memory::new(1 + PRODUCERS);
    let (mut sleeper, waker) = sleeper(Parking::new(memory.word(0)));
    let total = || (1..=PRODUCERS).map(|word| memory.read(word)).sum::<u32>();

    thread::scope(|scope| {
        let producers = [1, 2, 3].map(|word| {
            let (mut waker, memory) = (waker.clone(), &memory);
            scope.spawn(move || {
                for n in 1..=rounds {
                    memory.scribble(word, n);
                    waker.wake();
                }
                waker.rung
            })
        });
        loop {
            let seen = total();
            if seen == PRODUCERS as u32 * rounds {
                break;
            }
            sleeper.sleep(|| total() != seen);
        }
        let rung: u32 = producers
            .into_iter()
            .map(|producer| producer.join().unwrap())
            .sum();
        assert!(
            rung <= sleeper.sleeps,
            "{rung} doorbells, {} sleeps",
            sleeper.sleeps
        );
    });
}

/// Lets the other thread go on, but not for ever.
fn wait(since: Instant) {
    assert!(since.elapsed() < DEADLINE, "the other thread has stopped");
    thread::yield_now();
}

#[test]
fn every_event_is_delivered_or_stale() {
    let ring = RingMemory::new(4, 0);
    let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
    let readiness = ring.readiness();
    let generations = RECORDS / 100;
    let bits = |generation: u32| 1 + (generation as u8 & 1);
    let start = Instant::now();
    readiness.reset(0, 1);

    thread::scope(|scope| {
        // The loop: it learns of a new generation by its own going stale.
        scope.spawn(|| {
            let mut generation = 1;
            while generation <= generations {
                match readiness.merge(0, generation, bits(generation)) {
                    Merge::Announce => {
                        let event = Record {
                            kind: 1,
                            generation,
                            ..Record::default()
                        };
                        while producer.push(event).is_err() {
                            wait(start);
                        }
                        producer.publish();
                    }
                    Merge::Merged => wait(start),
                    Merge::Stale => generation += 1,
                }
            }
        });
        // JavaScript: two deliveries to a generation.
        for generation in 1..=generations {
            let mut delivered = 0;
            while delivered < 2 {
                let Some(event) = consumer.pop().unwrap() else {
                    wait(start);
                    continue;
                };
                consumer.release();
                let taken = readiness.take(0, event.generation);
                if event.generation == generation {
                    assert_eq!(taken, bits(generation), "another generation's event");
                    delivered += 1;
                } else {
                    assert_eq!(taken, 0, "a stale event was delivered");
                }
            }
            readiness.reset(0, generation + 1);
            assert_eq!(readiness.take(0, generation), 0);
        }
    });
}
