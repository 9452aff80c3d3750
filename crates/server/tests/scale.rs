//! Nothing is left of connections that have gone. One test, since it counts the descriptors of the process.
#![cfg(target_os = "linux")]

mod util;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::thread;

use miolo_server::ServerOptions;
use util::{Data, Rig, dial, reset, within_patience};

const CONNECTIONS: usize = 20_000;
const THREADS: usize = 4;
/// At a time, from each thread.
const TOGETHER: usize = 50;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Comes, and goes in one of several ways.
fn visit(address: SocketAddr, count: usize) {
    for round in 0..count / TOGETHER {
        let mut clients: Vec<_> = (0..TOGETHER).map(|_| dial(address)).collect();
        for client in &mut clients {
            client.write_all(b"hello").unwrap();
        }
        for (n, mut client) in clients.into_iter().enumerate() {
            match (round + n) % 4 {
                0 => drop(client),
                1 => reset(client),
                _ => client.read_exact(&mut [0; 5]).unwrap(),
            }
        }
    }
}

#[test]
fn twenty_thousand_come_and_go() {
    within_patience(|| {
        let mut rig = Rig::new(|conn, call| {
            if let Data(bytes) = call {
                conn.write(bytes);
            }
        });
        let (server, address) = rig.serve(ServerOptions {
            max_connections_per_address: THREADS * TOGETHER * 3,
            ..ServerOptions::default()
        });
        let before = descriptors();
        let threads: Vec<_> = (0..THREADS)
            .map(|_| thread::spawn(move || visit(address, CONNECTIONS / THREADS)))
            .collect();
        let mut highest = 0;
        rig.until("all to come", |app| {
            let slots = app.script.calls.drain(..).map(|(id, _)| id.slot());
            highest = highest.max(slots.max().unwrap_or(0));
            threads.iter().all(thread::JoinHandle::is_finished)
        });
        for thread in threads {
            thread.join().unwrap();
        }
        rig.until("all to go", |app| app.table.is_empty());
        assert_eq!(descriptors(), before);
        assert_eq!(rig.app.table.refused(server), 0);
        assert!(rig.app.table.of(server).is_empty());
        assert!(
            (highest as usize) < CONNECTIONS / 4,
            "slot {highest} was used"
        );
        assert!(!rig.app.table.wants_turn());
        // All of them are counted out: as many may come again.
        let (_client, id) = rig.client(address);
        assert!((id.slot() as usize) < CONNECTIONS / 4);
    });
}
