//! The bytes of a message: no two messages have the same, so an echo of the wrong one is noticed.

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

#[cfg(test)]
mod tests {
    use super::Payload;

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
}
