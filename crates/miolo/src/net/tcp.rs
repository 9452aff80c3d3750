//! Non-blocking TCP sockets, with mio 0.5's signatures.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{self, SocketAddr};
use std::time::Duration;

use mio::net as mio_net;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};

use crate::source::{Evented, Shared, Source};
use crate::try_io::{TryAccept, would_block_as_none};

pub use std::net::Shutdown;

/// How a [`TcpListener`] listens.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// How many connections may wait to be accepted. Default 1024; the system may have a limit of its own.
    pub backlog: i32,
    /// Lets several listeners share the port (`SO_REUSEPORT`), where the system knows of that. Default false.
    pub reuse_port: bool,
    /// Keeps an IPv6 listener from taking IPv4 connections, or not. Default: as the system does.
    pub ipv6_only: Option<bool>,
}

impl Default for ListenOptions {
    fn default() -> ListenOptions {
        ListenOptions {
            backlog: 1024,
            reuse_port: false,
            ipv6_only: None,
        }
    }
}

/// A listening socket.
///
/// Clones made by [`try_clone`](TcpListener::try_clone) share the socket and its registration; it is
/// deregistered and closed when the last is dropped.
pub struct TcpListener {
    io: Shared<mio_net::TcpListener>,
}

impl TcpListener {
    /// Listens at an address, with `SO_REUSEADDR` on Unix.
    ///
    /// # Errors
    ///
    /// What the system says: `AddrInUse`, `PermissionDenied`, …
    pub fn bind(addr: &SocketAddr) -> io::Result<TcpListener> {
        TcpListener::bind_with(addr, &ListenOptions::default())
    }

    /// Listens at an address, with options.
    ///
    /// # Errors
    ///
    /// As [`bind`](TcpListener::bind).
    pub fn bind_with(addr: &SocketAddr, options: &ListenOptions) -> io::Result<TcpListener> {
        let socket = Socket::new(
            Domain::for_address(*addr),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        #[cfg(unix)]
        if options.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if addr.is_ipv6()
            && let Some(only) = options.ipv6_only
        {
            socket.set_only_v6(only)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::from(*addr))?;
        socket.listen(options.backlog)?;
        TcpListener::from_std(socket.into())
    }

    /// Takes a listening socket, and makes it non-blocking. The address is not needed here; the
    /// signature is mio's.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn from_listener(listener: net::TcpListener, addr: &SocketAddr) -> io::Result<TcpListener> {
        let _ = addr;
        TcpListener::from_std(listener)
    }

    /// Takes a listening socket, made with whatever options, and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn from_std(listener: net::TcpListener) -> io::Result<TcpListener> {
        listener.set_nonblocking(true)?;
        Ok(TcpListener::from_mio(mio_net::TcpListener::from_std(
            listener,
        )))
    }

    /// Accepts a connection; `None` if none waits.
    ///
    /// # Errors
    ///
    /// What the system says. The listener is none the worse for it: when the process is out of
    /// descriptors (`EMFILE`), for example, the connection goes on waiting.
    pub fn accept(&self) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        let accepted = would_block_as_none(self.io.with(|io| io.accept()))?;
        Ok(accepted.map(|(stream, addr)| (TcpStream::from_mio(stream), addr)))
    }

    /// The address it listens at.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.with(|io| io.local_addr())
    }

    /// Another handle of the same socket.
    ///
    /// # Errors
    ///
    /// None; the signature is mio's.
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        Ok(TcpListener {
            io: self.io.clone(),
        })
    }

    /// Takes the pending error of the socket (`SO_ERROR`), and returns it.
    ///
    /// # Errors
    ///
    /// That error.
    pub fn take_socket_error(&self) -> io::Result<()> {
        pending_error(self.io.with(|io| io.take_error()))
    }

    fn from_mio(io: mio_net::TcpListener) -> TcpListener {
        TcpListener {
            io: Shared::new(io),
        }
    }
}

impl TryAccept for TcpListener {
    type Output = TcpStream;

    fn accept(&self) -> io::Result<Option<TcpStream>> {
        Ok(TcpListener::accept(self)?.map(|(stream, _)| stream))
    }
}

impl Evented for TcpListener {
    fn source(&self) -> &Source {
        self.io.source()
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}

/// A connection.
///
/// Reading and writing go through [`Read`] and [`Write`], on `TcpStream` and on `&TcpStream`, and never
/// block. Clones made by [`try_clone`](TcpStream::try_clone) share the socket and its registration; it
/// is deregistered and closed when the last is dropped.
pub struct TcpStream {
    io: Shared<mio_net::TcpStream>,
}

impl TcpStream {
    /// Begins to connect. When the socket is writable, it has connected, or failed to:
    /// [`take_socket_error`](TcpStream::take_socket_error) tells.
    ///
    /// # Errors
    ///
    /// What the system says at once.
    pub fn connect(addr: &SocketAddr) -> io::Result<TcpStream> {
        mio_net::TcpStream::connect(*addr).map(TcpStream::from_mio)
    }

    /// As [`connect`](TcpStream::connect), with a socket of the caller's, made with whatever options.
    ///
    /// # Errors
    ///
    /// What the system says at once.
    pub fn connect_stream(stream: net::TcpStream, addr: &SocketAddr) -> io::Result<TcpStream> {
        stream.set_nonblocking(true)?;
        match SockRef::from(&stream).connect(&SockAddr::from(*addr)) {
            Err(error) if !in_progress(&error) => Err(error),
            _ => TcpStream::from_std(stream),
        }
    }

    /// Takes a connected socket, and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn from_std(stream: net::TcpStream) -> io::Result<TcpStream> {
        stream.set_nonblocking(true)?;
        Ok(TcpStream::from_mio(mio_net::TcpStream::from_std(stream)))
    }

    /// The peer's address.
    ///
    /// # Errors
    ///
    /// `NotConnected` while it connects; or what the system says.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.with(|io| io.peer_addr())
    }

    /// The address on this side.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.with(|io| io.local_addr())
    }

    /// Another handle of the same socket.
    ///
    /// # Errors
    ///
    /// None; the signature is mio's.
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        Ok(TcpStream {
            io: self.io.clone(),
        })
    }

    /// Shuts down the reading half, the writing half or both.
    ///
    /// # Errors
    ///
    /// `NotConnected`; or what the system says.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.io.with(|io| io.shutdown(how))
    }

    /// Sends small writes at once (`TCP_NODELAY`).
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.io.with(|io| io.set_nodelay(nodelay))
    }

    /// Probes an idle connection after so many seconds (`SO_KEEPALIVE`); `None`: never.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_keepalive(&self, seconds: Option<u32>) -> io::Result<()> {
        self.io.with(|io| {
            let socket = SockRef::from(io);
            match seconds {
                Some(seconds) => {
                    let idle = Duration::from_secs(u64::from(seconds));
                    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle))
                }
                None => socket.set_keepalive(false),
            }
        })
    }

    /// How long closing goes on sending what is not yet sent (`SO_LINGER`), in whole seconds; zero: the
    /// connection is reset instead; `None`: in the background, as the system sees fit.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.io.with(|io| SockRef::from(io).set_linger(linger))
    }

    /// Takes the pending error of the socket (`SO_ERROR`), and returns it: how a connect has failed.
    ///
    /// # Errors
    ///
    /// That error.
    pub fn take_socket_error(&self) -> io::Result<()> {
        pending_error(self.io.with(|io| io.take_error()))
    }

    /// Reads without taking: the next read gets the same bytes again.
    ///
    /// # Errors
    ///
    /// As [`Read::read`].
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.io.with(|io| io.peek(buf))
    }

    fn from_mio(io: mio_net::TcpStream) -> TcpStream {
        TcpStream {
            io: Shared::new(io),
        }
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.io.with(|mut io| io.read(buf))
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.io.with(|mut io| io.read_vectored(bufs))
    }
}

impl Read for TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

impl Write for &TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.io.with(|mut io| io.write(buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.io.with(|mut io| io.write_vectored(bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Evented for TcpStream {
    fn source(&self) -> &Source {
        self.io.source()
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}

#[cfg(unix)]
mod unix {
    use std::os::fd::{AsRawFd, FromRawFd, RawFd};

    use super::{TcpListener, TcpStream, mio_net};

    impl AsRawFd for TcpListener {
        fn as_raw_fd(&self) -> RawFd {
            self.io.with(|io| io.as_raw_fd())
        }
    }

    impl AsRawFd for TcpStream {
        fn as_raw_fd(&self) -> RawFd {
            self.io.with(|io| io.as_raw_fd())
        }
    }

    /// Takes a listening socket as it is: that it is non-blocking is the caller's to see to.
    /// [`from_std`](TcpListener::from_std) makes it so.
    impl FromRawFd for TcpListener {
        unsafe fn from_raw_fd(fd: RawFd) -> TcpListener {
            // SAFETY: the descriptor is open and nobody else's, as the caller promises.
            TcpListener::from_mio(unsafe { mio_net::TcpListener::from_raw_fd(fd) })
        }
    }

    /// Takes a socket as it is, connected or not yet: that it is non-blocking is the caller's to see to.
    /// [`from_std`](TcpStream::from_std) makes it so.
    impl FromRawFd for TcpStream {
        unsafe fn from_raw_fd(fd: RawFd) -> TcpStream {
            // SAFETY: the descriptor is open and nobody else's, as the caller promises.
            TcpStream::from_mio(unsafe { mio_net::TcpStream::from_raw_fd(fd) })
        }
    }
}

#[cfg(windows)]
mod windows {
    use std::os::windows::io::{AsRawSocket, RawSocket};

    use super::{TcpListener, TcpStream};

    impl AsRawSocket for TcpListener {
        fn as_raw_socket(&self) -> RawSocket {
            self.io.with(|io| io.as_raw_socket())
        }
    }

    impl AsRawSocket for TcpStream {
        fn as_raw_socket(&self) -> RawSocket {
            self.io.with(|io| io.as_raw_socket())
        }
    }
}

fn pending_error(error: io::Result<Option<io::Error>>) -> io::Result<()> {
    match error? {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Whether a connect that has not succeeded may yet.
fn in_progress(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::EINPROGRESS) {
        return true;
    }
    error.kind() == io::ErrorKind::WouldBlock
}
