//! What is sent: no two messages have the same bytes, so an echo of the wrong one is noticed.

/// The bytes of one message at a time.
pub struct Payload {
    bytes: Vec<u8>,
    /// Connection and number of the message that `bytes` holds.
    holds: Option<(usize, u64)>,
}

impl Payload {
    /// Messages of `length` bytes.
    pub fn new(length: usize) -> Self {
        Self {
            bytes: vec![0; length],
            holds: None,
        }
    }

    /// The bytes of message number `message` of connection `connection`.
    pub fn of(&mut self, connection: usize, message: u64) -> &[u8] {
        if self.holds != Some((connection, message)) {
            // The step of splitmix64: its low byte differs from each message to the next, so one-byte messages differ too.
            let mut word = (connection as u64).rotate_left(40)
                ^ message.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            for chunk in self.bytes.chunks_mut(8) {
                chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
                word = (word ^ (word >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            }
            self.holds = Some((connection, message));
        }
        &self.bytes
    }
}

/// A stream of bytes without an end that costs nothing to make: it repeats itself, after a prime number of bytes, so
/// that what is lost, doubled or out of order is noticed unless it is as long.
pub struct Pattern {
    /// A period, and as much of the next as one slice may need.
    bytes: Vec<u8>,
}

impl Pattern {
    const PERIOD: usize = 65_521;

    /// Of which up to `longest` bytes are wanted at a time.
    pub fn new(longest: usize) -> Self {
        let mut bytes = Payload::new(Self::PERIOD).of(0, 0).to_vec();
        bytes.reserve_exact(longest);
        for index in 0..longest {
            bytes.push(bytes[index]);
        }
        Self { bytes }
    }

    /// The `length` bytes behind the first `position`.
    pub fn at(&self, position: u64, length: usize) -> &[u8] {
        let start = (position % Self::PERIOD as u64) as usize;
        &self.bytes[start..start + length]
    }
}

#[cfg(test)]
mod tests {
    use super::{Pattern, Payload};

    #[test]
    fn differs_from_message_to_message_and_between_connections() {
        let mut payload = Payload::new(64);
        let first = payload.of(0, 0).to_vec();
        let second = payload.of(0, 1).to_vec();
        let other = payload.of(1, 0).to_vec();
        assert_ne!(first, second);
        assert_ne!(first, other);
        assert_eq!(payload.of(0, 0), first);
    }

    #[test]
    fn of_one_byte_differs_from_the_one_before() {
        let mut payload = Payload::new(1);
        let mut before = payload.of(0, 0)[0];
        for message in 1..1000 {
            let now = payload.of(0, message)[0];
            assert_ne!(now, before);
            before = now;
        }
    }

    #[test]
    fn a_pattern_goes_on_where_its_period_ends() {
        let pattern = Pattern::new(200_000);
        let period = Pattern::PERIOD as u64;
        let whole = pattern.at(0, 200_000);
        assert_eq!(pattern.at(60_000, 100_000), &whole[60_000..160_000]);
        assert_eq!(pattern.at(5 * period, 200_000), whole);
        // Pages and buffers are lost or doubled by powers of two.
        for distance in [1, 64, 4096, 16_384, 65_536, 1 << 20] {
            assert_ne!(pattern.at(distance, 64), pattern.at(0, 64));
        }
    }
}
