//! How a connection is made and proved.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::options::Options;

/// How long a connection may take to be made and to echo a message.
const DEADLINE: Duration = Duration::from_secs(10);
/// The most that one read takes.
pub const BUFFER: usize = 64 * 1024;

/// Makes a connection, proved by the echo of its first message, so that one made after the other overflows no listen
/// queue.
pub fn connect(options: &Options, index: usize, first: &[u8]) -> io::Result<TcpStream> {
    let connect = || {
        let stream = TcpStream::connect_timeout(&options.address, DEADLINE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        if !exchange(&stream, first)? {
            return Err(io::Error::other("the first echo brought other bytes"));
        }
        Ok(stream)
    };
    connect().map_err(|error: io::Error| {
        io::Error::new(error.kind(), format!("connection {index}: {error}"))
    })
}

/// Sends a message over a blocking stream, and says whether the same came back.
pub fn exchange(mut stream: &TcpStream, message: &[u8]) -> io::Result<bool> {
    let mut answer = vec![0; message.len().min(BUFFER)];
    // In pieces, so that a message larger than the sockets' buffers cannot block both ends.
    for piece in message.chunks(BUFFER) {
        let answer = &mut answer[..piece.len()];
        stream.write_all(piece)?;
        stream.read_exact(answer)?;
        if answer != piece {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Lets this process have as many sockets as the system allows it.
pub fn allow_many_sockets() {
    #[cfg(unix)]
    {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: both calls only access the local they are given a pointer to.
        unsafe {
            if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
                limit.rlim_cur = limit.rlim_max;
                libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
            }
        }
    }
}
