//! A plain epoll echo server: the floor that the Rust example `echo_server` is measured against.
//!
//! Level-triggered, one `recv` and one `send` for each message, nothing else. What a short `send`
//! leaves is kept, and the connection is not read again until it is out.
//!
//! `epoll_echo [ADDRESS]` listens on `ADDRESS` (127.0.0.1:0) and prints `listening on <address>`.

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1);
    linux::serve(address.as_deref().unwrap_or("127.0.0.1:0"))
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("epoll_echo: epoll is only there on Linux");
    std::process::exit(2);
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::net::TcpListener;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

    /// The most that one `recv` takes.
    const BUFFER: usize = 64 * 1024;
    /// The most events that one `epoll_wait` brings.
    const EVENTS: usize = 1024;

    struct Connection {
        socket: OwnedFd,
        /// What was received and is not yet sent; while there is any, only EPOLLOUT is asked for.
        unsent: Vec<u8>,
    }

    enum Outcome {
        Open,
        Closed,
    }

    pub fn serve(address: &str) -> io::Result<()> {
        let listener = TcpListener::bind(address)?;
        // std asks for a backlog of 128 only; listening again sets it anew.
        // SAFETY: the descriptor is the listener's, which is open.
        checked(unsafe { libc::listen(listener.as_raw_fd(), 1024) })?;
        listener.set_nonblocking(true)?;

        // SAFETY: no pointers are passed; the descriptor returned is new, and owned from here on.
        let epoll = unsafe {
            let epoll = checked(libc::epoll_create1(libc::EPOLL_CLOEXEC))?;
            OwnedFd::from_raw_fd(epoll)
        };
        control(
            &epoll,
            libc::EPOLL_CTL_ADD,
            listener.as_raw_fd(),
            libc::EPOLLIN,
        )?;
        println!("listening on {}", listener.local_addr()?);

        // By descriptor: the kernel hands out the lowest that is free.
        let mut connections: Vec<Option<Connection>> = Vec::new();
        let mut buffer = vec![0u8; BUFFER];
        let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        loop {
            // SAFETY: `events` has room for the EVENTS entries that the kernel may write.
            let ready = checked(unsafe {
                libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), EVENTS as i32, -1)
            });
            let ready = match ready {
                Ok(count) => count as usize,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            for event in &events[..ready] {
                let socket = event.u64 as RawFd;
                if socket == listener.as_raw_fd() {
                    accept(&epoll, &listener, &mut connections)?;
                    continue;
                }
                let slot = &mut connections[socket as usize];
                if let Some(connection) = slot {
                    let outcome = if connection.unsent.is_empty() {
                        echo(&epoll, connection, &mut buffer)
                    } else {
                        flush(&epoll, connection)
                    };
                    if !matches!(outcome, Ok(Outcome::Open)) {
                        *slot = None;
                    }
                }
            }
        }
    }

    fn accept(
        epoll: &OwnedFd,
        listener: &TcpListener,
        connections: &mut Vec<Option<Connection>>,
    ) -> io::Result<()> {
        loop {
            // An accept that fails (nothing left, a peer gone already, no descriptors) is tried again at the next event.
            let Ok((stream, _)) = listener.accept() else {
                return Ok(());
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let socket = OwnedFd::from(stream);
            let index = socket.as_raw_fd();
            control(epoll, libc::EPOLL_CTL_ADD, index, libc::EPOLLIN)?;
            let index = index as usize;
            if connections.len() <= index {
                connections.resize_with(index + 1, || None);
            }
            connections[index] = Some(Connection {
                socket,
                unsent: Vec::new(),
            });
        }
    }

    /// One `recv`, one `send`.
    fn echo(
        epoll: &OwnedFd,
        connection: &mut Connection,
        buffer: &mut [u8],
    ) -> io::Result<Outcome> {
        let socket = connection.socket.as_raw_fd();
        // SAFETY: `buffer` has room for the bytes that the kernel may write.
        let received = unsafe { libc::recv(socket, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        let received = match transferred(received)? {
            Some(0) => return Ok(Outcome::Closed),
            Some(count) => count,
            None => return Ok(Outcome::Open),
        };
        let sent = send(socket, &buffer[..received])?;
        if sent < received {
            connection.unsent.extend_from_slice(&buffer[sent..received]);
            control(epoll, libc::EPOLL_CTL_MOD, socket, libc::EPOLLOUT)?;
        }
        Ok(Outcome::Open)
    }

    /// One `send` of what was left over.
    fn flush(epoll: &OwnedFd, connection: &mut Connection) -> io::Result<Outcome> {
        let socket = connection.socket.as_raw_fd();
        let sent = send(socket, &connection.unsent)?;
        connection.unsent.drain(..sent);
        if connection.unsent.is_empty() {
            control(epoll, libc::EPOLL_CTL_MOD, socket, libc::EPOLLIN)?;
        }
        Ok(Outcome::Open)
    }

    fn send(socket: RawFd, bytes: &[u8]) -> io::Result<usize> {
        // SAFETY: the kernel only reads `bytes`.
        let sent = unsafe {
            libc::send(
                socket,
                bytes.as_ptr().cast(),
                bytes.len(),
                libc::MSG_NOSIGNAL,
            )
        };
        Ok(transferred(sent)?.unwrap_or(0))
    }

    fn control(epoll: &OwnedFd, operation: i32, socket: RawFd, interest: i32) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: interest as u32,
            u64: socket as u64,
        };
        // SAFETY: the kernel only reads `event`, and both descriptors are open.
        checked(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), operation, socket, &mut event) })?;
        Ok(())
    }

    fn checked(result: i32) -> io::Result<i32> {
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(result)
        }
    }

    /// The bytes moved by a `recv` or `send`; `None` if it would have blocked, or was interrupted:
    /// the next wait tells of the same readiness again.
    fn transferred(result: isize) -> io::Result<Option<usize>> {
        if let Ok(count) = usize::try_from(result) {
            return Ok(Some(count));
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
            _ => Err(error),
        }
    }
}
