//! Every interleaving of park, publish and doorbell: no wake-up is lost, and a sleep has at most one doorbell. With two
//! producers there are too many: `scripts/loom.sh` checks every one with up to five preemptions.
#![cfg(loom)]

mod util;

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use miolo_bridge::Parking;
use util::{Memory, RingMemory, record};

/// A doorbell that can be heard late, as the real ones can: a count of rings not yet heard.
#[derive(Default)]
struct Doorbell {
    rings: Mutex<Rings>,
    rung: Condvar,
}

#[derive(Default)]
struct Rings {
    sleeps: u32,
    total: u32,
    unheard: u32,
}

impl Doorbell {
    fn ring(&self) {
        let mut rings = self.rings.lock().unwrap();
        rings.total += 1;
        rings.unheard += 1;
        assert!(rings.total <= rings.sleeps, "more doorbells than sleeps");
        self.rung.notify_one();
    }

    /// Parks and, unless `look` finds something, sleeps; loom reports a wake-up lost as a deadlock.
    fn sleep(&self, parking: &Parking, look: impl FnOnce() -> bool) {
        self.rings.lock().unwrap().sleeps += 1;
        parking.park();
        if look() {
            parking.unpark();
            return;
        }
        let mut rings = self.rings.lock().unwrap();
        while rings.unheard == 0 {
            rings = self.rung.wait(rings).unwrap();
        }
        rings.unheard -= 1;
    }
}

#[test]
fn a_consumer_sleeps_until_there_is_a_record() {
    loom::model(|| {
        let ring = Arc::new(RingMemory::new(2, u32::MAX));
        let doorbell = Arc::new(Doorbell::default());
        let producing = thread::spawn({
            let (ring, doorbell) = (ring.clone(), doorbell.clone());
            move || {
                let (mut producer, parking) = (ring.producer(), ring.parking());
                for n in 0..2 {
                    producer.push(record(n)).unwrap();
                    assert!(producer.publish());
                    if parking.ring() {
                        doorbell.ring();
                    }
                }
            }
        });
        // What the producer has already published is the consumer's to find.
        let mut consumer = ring.consumer();
        let parking = ring.parking();
        let mut next = 0;
        while next < 2 {
            while let Some(popped) = consumer.pop().unwrap() {
                assert_eq!(popped, record(next));
                next += 1;
            }
            consumer.release();
            if next < 2 {
                doorbell.sleep(&parking, || !consumer.is_empty());
            }
        }
        producing.join().unwrap();
    });
}

#[test]
fn two_producers_wake_one_sleeper() {
    loom::model(|| {
        // A parking word, and a word for each producer.
        let memory = Arc::new(Memory::new(3));
        let doorbell = Arc::new(Doorbell::default());
        let producers = [1, 2].map(|word| {
            let (memory, doorbell) = (memory.clone(), doorbell.clone());
            thread::spawn(move || {
                memory.scribble(word, 1);
                if Parking::new(memory.word(0)).ring() {
                    doorbell.ring();
                }
            })
        });
        let parking = Parking::new(memory.word(0));
        let total = || memory.read(1) + memory.read(2);
        loop {
            let seen = total();
            if seen == 2 {
                break;
            }
            doorbell.sleep(&parking, || total() != seen);
        }
        for producer in producers {
            producer.join().unwrap();
        }
    });
}

#[test]
fn a_producer_sleeps_until_there_is_room() {
    loom::model(|| {
        let ring = Arc::new(RingMemory::new(1, u32::MAX));
        let (new_record, new_room) = (Arc::new(Doorbell::default()), Arc::new(Doorbell::default()));
        let producing = thread::spawn({
            let (ring, new_record, new_room) = (ring.clone(), new_record.clone(), new_room.clone());
            move || {
                let mut producer = ring.producer();
                let (parking, want_room) = (ring.parking(), ring.want_room());
                for n in 0..2 {
                    while producer.push(record(n)).is_err() {
                        new_room.sleep(&want_room, || producer.room().unwrap() > 0);
                    }
                    producer.publish();
                    if parking.ring() {
                        new_record.ring();
                    }
                }
            }
        });
        let mut consumer = ring.consumer();
        let (parking, want_room) = (ring.parking(), ring.want_room());
        for n in 0..2 {
            let popped = loop {
                if let Some(popped) = consumer.pop().unwrap() {
                    break popped;
                }
                new_record.sleep(&parking, || !consumer.is_empty());
            };
            assert_eq!(popped, record(n));
            consumer.release();
            if want_room.ring() {
                new_room.ring();
            }
        }
        producing.join().unwrap();
    });
}
