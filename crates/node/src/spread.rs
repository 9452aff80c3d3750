//! A server whose connections several loops serve, each in its turn.

use miolo_server::Accepted;

/// Gives a connection to another loop. It is returned if that is closed.
pub type Give = Box<dyn Fn(Accepted) -> Option<Accepted> + Send>;

/// The loops beside the one that accepts.
#[derive(Default)]
pub struct Spread {
    others: Vec<Give>,
    /// Whose turn it is; 0: that of the one that accepts.
    turn: usize,
}

impl Spread {
    /// Adds a loop.
    pub fn add(&mut self, give: Give) {
        self.others.push(give);
    }

    /// Gives a connection to the loop whose turn it is. It is returned if that is the one that has accepted it, or is
    /// closed.
    pub fn pass_on(&mut self, accepted: Accepted) -> Option<Accepted> {
        let turn = self.turn;
        self.turn = (turn + 1) % (self.others.len() + 1);
        match turn.checked_sub(1) {
            Some(index) => self.others[index](accepted),
            None => Some(accepted),
        }
    }
}
