//! Connections that a server has accepted, and who is counted.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use miolo::tcp::TcpStream;

/// A connection that a server has accepted, within its limits, and that is not open yet: it is opened where it was
/// accepted, or in another table, on another thread, perhaps, which [adopts](crate::Connections::adopt) it. It counts
/// among its server's until it ends. Dropping it closes it.
pub struct Accepted {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) place: Place,
}

impl Accepted {
    /// The peer's address.
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = &self.peer;
        f.debug_struct("Accepted")
            .field("peer", peer)
            .finish_non_exhaustive()
    }
}

/// Who is connected with a server, in whichever table.
#[derive(Debug)]
pub(crate) struct Census {
    max: usize,
    max_per_address: usize,
    present: Mutex<Present>,
}

#[derive(Debug, Default)]
struct Present {
    count: usize,
    /// Kept only if there is a limit.
    by_address: HashMap<IpAddr, usize>,
}

/// One who is counted, until this is dropped.
pub(crate) struct Place {
    census: Arc<Census>,
    ip: IpAddr,
}

impl Census {
    pub(crate) fn new(max: usize, max_per_address: usize) -> Arc<Census> {
        Arc::new(Census {
            max,
            max_per_address,
            present: Mutex::default(),
        })
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a peer, unless a limit is reached.
    pub(crate) fn count_in(self: &Arc<Census>, peer: SocketAddr) -> Option<Place> {
        // One address, whether it came by IPv4 or by an IPv6 listener that takes both.
        let ip = peer.ip().to_canonical();
        let mut present = self.present();
        if present.count >= self.max {
            return None;
        }
        if self.max_per_address != usize::MAX {
            let of_address = present.by_address.get(&ip).copied().unwrap_or(0);
            if of_address >= self.max_per_address {
                return None;
            }
            present.by_address.insert(ip, of_address + 1);
        }
        present.count += 1;
        let census = Arc::clone(self);
        Some(Place { census, ip })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut present = self.census.present();
        present.count -= 1;
        if let Some(count) = present.by_address.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                present.by_address.remove(&self.ip);
            }
        }
    }
}
