//! What a connection has still to send.

use std::io::{self, Write};

use miolo::tcp::TcpStream;

/// A short read has taken all that there is, and a short write leaves no room, without asking once more. Where the
/// poll is no poll of readiness, it tells nothing more until that has been answered with `WouldBlock`.
pub(crate) const SHORT_IS_ALL: bool = cfg!(unix);

/// Bytes on their way to the kernel: first those that are kept here, then those lent for the length of an iteration.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    kept: Vec<u8>,
    /// How many of `kept` have been sent.
    sent: usize,
    lent: Option<Lent>,
}

/// Bytes in somebody else's memory.
#[derive(Clone, Copy, Debug)]
struct Lent {
    start: *const u8,
    len: usize,
}

// SAFETY: whoever lends bytes promises that they can be read from wherever the outbox goes (see `lend`).
unsafe impl Send for Lent {}

/// Vectors that are not in use, so that busy connections need not allocate and idle ones hold nothing.
#[derive(Debug, Default)]
pub(crate) struct Pool(Vec<Vec<u8>>);

impl Pool {
    const VECTORS: usize = 64;
    const CAPACITY: usize = 64 * 1024;

    fn give(&mut self, mut vector: Vec<u8>) {
        if self.0.len() < Pool::VECTORS && (1..=Pool::CAPACITY).contains(&vector.capacity()) {
            vector.clear();
            self.0.push(vector);
        }
    }
}

impl Outbox {
    pub(crate) fn len(&self) -> usize {
        self.kept.len() - self.sent + self.lent.map_or(0, |lent| lent.len)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lent.is_none() && self.sent == self.kept.len()
    }

    pub(crate) fn push(&mut self, bytes: &[u8], pool: &mut Pool) {
        if bytes.is_empty() {
            return;
        }
        self.keep(pool);
        self.take_vector(pool);
        self.kept.extend_from_slice(bytes);
    }

    /// Adds bytes without copying them, if none wait but such as lie just before them.
    ///
    /// # Safety
    ///
    /// They can be read until [`send`](Outbox::send) or [`keep`](Outbox::keep) has returned. Others may write to
    /// them: then what is sent is undefined, and nothing else.
    pub(crate) unsafe fn lend(&mut self, start: *const u8, len: usize, pool: &mut Pool) {
        if len == 0 {
            return;
        }
        if let Some(lent) = &mut self.lent
            && lent.start.wrapping_add(lent.len) == start
        {
            lent.len += len;
            return;
        }
        let was_empty = self.is_empty();
        self.keep(pool);
        self.lent = Some(Lent { start, len });
        if !was_empty {
            self.keep(pool);
        }
    }

    /// Copies what was lent.
    pub(crate) fn keep(&mut self, pool: &mut Pool) {
        let Some(Lent { start, len }) = self.lent.take() else {
            return;
        };
        self.take_vector(pool);
        let at = self.kept.len();
        self.kept.reserve(len);
        // SAFETY: the source is readable, as `lend` was promised; the room was reserved, and all of it is written
        // before the length says so. Both are bytes, and the vector is nobody else's.
        unsafe {
            std::ptr::copy_nonoverlapping(start, self.kept.as_mut_ptr().add(at), len);
            self.kept.set_len(at + len);
        }
    }

    fn take_vector(&mut self, pool: &mut Pool) {
        if self.kept.capacity() == 0 {
            self.kept = pool.0.pop().unwrap_or_default();
        } else if self.sent > self.kept.len() / 2 {
            // What has been sent makes room for what is added; each byte is moved once at most on average.
            self.kept.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Sends as much as the system takes; returns how much. What was lent and is not sent is copied.
    ///
    /// # Errors
    ///
    /// The system's, but for `WouldBlock`: then it has taken what was sent, and no more.
    pub(crate) fn send(&mut self, stream: &TcpStream, pool: &mut Pool) -> io::Result<usize> {
        let mut total = 0;
        let mut result = Ok(());
        while !self.is_empty() {
            let asked = self.len();
            let sent = if self.sent < self.kept.len() {
                (&mut &*stream).write(&self.kept[self.sent..])
            } else {
                self.send_lent(stream, pool)
            };
            match sent {
                Ok(count) => {
                    total += count;
                    self.advance(count);
                    if count < asked && SHORT_IS_ALL {
                        // The kernel is full; when it is not any more is told as an edge.
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.keep(pool);
        if self.is_empty() {
            self.clear(pool);
        }
        result.map(|()| total)
    }

    fn advance(&mut self, count: usize) {
        if self.sent < self.kept.len() {
            self.sent += count;
        } else if let Some(lent) = &mut self.lent {
            lent.len -= count;
            // SAFETY: no more than `len` bytes have been sent.
            lent.start = unsafe { lent.start.add(count) };
            if lent.len == 0 {
                self.lent = None;
            }
        }
    }

    /// By the system call: no slice may be made of memory that others write to.
    #[cfg(unix)]
    fn send_lent(&mut self, stream: &TcpStream, _: &mut Pool) -> io::Result<usize> {
        use std::os::fd::AsRawFd;

        #[cfg(any(target_os = "linux", target_os = "android"))]
        const FLAGS: libc::c_int = libc::MSG_NOSIGNAL;
        // Elsewhere the socket itself was told not to raise SIGPIPE.
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        const FLAGS: libc::c_int = 0;
        let Some(Lent { start, len }) = self.lent else {
            return Ok(0);
        };
        // SAFETY: the bytes are readable, as `lend` was promised, and the stream is open.
        let count = unsafe { libc::send(stream.as_raw_fd(), start.cast(), len, FLAGS) };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    #[cfg(not(unix))]
    fn send_lent(&mut self, stream: &TcpStream, pool: &mut Pool) -> io::Result<usize> {
        self.keep(pool);
        (&mut &*stream).write(&self.kept[self.sent..])
    }

    /// Drops what has not been sent.
    pub(crate) fn clear(&mut self, pool: &mut Pool) {
        self.lent = None;
        self.sent = 0;
        pool.give(std::mem::take(&mut self.kept));
    }
}
