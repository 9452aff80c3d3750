use std::io::{self, ErrorKind, Read, Write};

/// Reads, with `WouldBlock` as `None`.
pub trait TryRead {
    /// Reads into `buf`: how many bytes, 0 at the end of the stream; `None` if there are none yet.
    ///
    /// # Errors
    ///
    /// As [`Read::read`], but for `WouldBlock`.
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<Option<usize>>;
}

/// Writes, with `WouldBlock` as `None`.
pub trait TryWrite {
    /// Writes from `buf`: how many bytes, maybe not all; `None` if there is no room yet.
    ///
    /// # Errors
    ///
    /// As [`Write::write`], but for `WouldBlock`.
    fn try_write(&mut self, buf: &[u8]) -> io::Result<Option<usize>>;
}

/// Accepts, with `WouldBlock` as `None`.
pub trait TryAccept {
    /// What is accepted.
    type Output;

    /// Accepts a connection; `None` if there is none yet.
    ///
    /// # Errors
    ///
    /// What the system says, but for `WouldBlock`.
    fn accept(&self) -> io::Result<Option<Self::Output>>;
}

impl<T: Read> TryRead for T {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        would_block_as_none(self.read(buf))
    }
}

impl<T: Write> TryWrite for T {
    fn try_write(&mut self, buf: &[u8]) -> io::Result<Option<usize>> {
        would_block_as_none(self.write(buf))
    }
}

pub(crate) fn would_block_as_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
