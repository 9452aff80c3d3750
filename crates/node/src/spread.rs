//! A server whose connections several loops serve, each in its turn.

use std::sync::{Arc, Weak};

use miolo_server::{Accepted, ServerId};

use crate::crank::Crank;

/// The loops beside the one that accepts.
#[derive(Default)]
pub struct Spread {
    others: Vec<(Weak<Crank>, ServerId)>,
    /// Whose turn it is; 0: that of the one that accepts.
    turn: usize,
}

impl Spread {
    /// Adds a loop, and what the server is called there.
    pub fn add(&mut self, crank: &Arc<Crank>, server: ServerId) {
        self.others.push((Arc::downgrade(crank), server));
    }

    /// Gives a connection to the loop whose turn it is. It is returned if that is the one that has accepted it, or is
    /// closed.
    pub fn pass_on(&mut self, accepted: Accepted) -> Option<Accepted> {
        let turn = self.turn;
        self.turn = (turn + 1) % (self.others.len() + 1);
        let Some((crank, server)) = turn.checked_sub(1).map(|index| &self.others[index]) else {
            return Some(accepted);
        };
        let mut accepted = Some(accepted);
        if let Some(crank) = crank.upgrade() {
            // The state of the accepting loop is locked, too. Nobody locks the two the other way round.
            crank.change(|_, forwarder| {
                if let Some(connections) = forwarder.connections()
                    && let Some(accepted) = accepted.take()
                {
                    connections.table.adopt(*server, accepted);
                }
            });
            crank.wake();
        }
        accepted
    }
}
