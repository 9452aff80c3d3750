use crate::ConnectionId;

/// The payload of the timers that connections set in their loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionTimeout(pub(crate) Timed);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timed {
    Connection(ConnectionId),
    Listener(u32),
}

impl ConnectionTimeout {
    /// As a number of 57 bits, for handlers whose payload is a number.
    pub fn to_bits(self) -> u64 {
        match self.0 {
            Timed::Connection(id) => u64::from(id.slot) | u64::from(id.generation) << 32,
            Timed::Listener(index) => u64::from(index) | 1 << 56,
        }
    }

    /// What [`to_bits`](ConnectionTimeout::to_bits) was made of.
    pub fn from_bits(bits: u64) -> ConnectionTimeout {
        let low = bits as u32;
        ConnectionTimeout(if bits >> 56 & 1 == 1 {
            Timed::Listener(low)
        } else {
            Timed::Connection(ConnectionId::new(
                low,
                (bits >> 32) as u32 & ConnectionId::GENERATION_MASK,
            ))
        })
    }
}
