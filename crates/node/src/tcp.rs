//! The functions behind TypeScript's `TcpListener` and `TcpStream`.
//!
//! They return what the system returned: a count, or a negative errno, from which TypeScript makes
//! errors like Node's.

use std::cell::RefCell;
use std::ffi::CStr;
use std::net::{Shutdown, SocketAddr};
use std::ops::Deref;
use std::time::Duration;
use std::{io, ptr};

use miolo::tcp::{self, TcpListener, TcpStream};
use miolo::{EventSet, Evented, PollOpt, Source, Token};
use napi::bindgen_prelude::Object;
use napi::{Either, Env, Error, JsValue, Result, Status, sys};
use napi_derive::napi;

use crate::errno::{OTHER, errno};
use crate::event_loop::LoopHandle;
use crate::forwarder::pack;
use crate::handle::{Give, Handle, Held};
use crate::memory::Bytes;

/// What `read` and `write` return where the kernel would block: no count and no errno.
#[napi]
pub const WOULD_BLOCK: i32 = -100_002;

/// A socket as its isolate holds it. Empty once it is closed.
pub struct Socket(RefCell<Option<Kind>>);

enum Kind {
    Listener(TcpListener),
    Stream(Stream),
}

impl Evented for Kind {
    fn source(&self) -> &Source {
        match self {
            Kind::Listener(listener) => listener.source(),
            Kind::Stream(stream) => stream.source(),
        }
    }
}

/// A stream, and its descriptor at hand for the two hottest functions.
struct Stream {
    stream: TcpStream,
    #[cfg(unix)]
    descriptor: std::os::fd::RawFd,
}

impl From<TcpStream> for Kind {
    fn from(stream: TcpStream) -> Self {
        Kind::Stream(Stream {
            #[cfg(unix)]
            descriptor: std::os::fd::AsRawFd::as_raw_fd(&stream),
            stream,
        })
    }
}

impl Deref for Stream {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.stream
    }
}

impl Held for Socket {
    const TAG: u64 = 0x6d69_6f6c_6f02;
}

impl Socket {
    fn with_stream<T>(&self, act: impl FnOnce(&Stream) -> io::Result<T>) -> io::Result<T> {
        match &*self.0.borrow() {
            Some(Kind::Stream(stream)) => act(stream),
            _ => Err(closed()),
        }
    }

    fn with_listener<T>(&self, act: impl FnOnce(&TcpListener) -> io::Result<T>) -> io::Result<T> {
        match &*self.0.borrow() {
            Some(Kind::Listener(listener)) => act(listener),
            _ => Err(closed()),
        }
    }
}

fn closed() -> io::Error {
    io::Error::from(io::ErrorKind::NotConnected)
}

fn number(result: io::Result<()>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(error) => errno(&error),
    }
}

fn socket(result: io::Result<Kind>) -> Either<Give<Socket>, i32> {
    match result {
        Ok(kind) => Either::A(Give(Socket(RefCell::new(Some(kind))))),
        Err(error) => Either::B(errno(&error)),
    }
}

/// An address as TypeScript has it.
#[napi(object)]
pub struct Address {
    pub address: String,
    pub port: u16,
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self {
            address: address.ip().to_string(),
            port: address.port(),
        }
    }
}

fn address(result: io::Result<SocketAddr>) -> Either<Address, i32> {
    match result {
        Ok(address) => Either::A(address.into()),
        Err(error) => Either::B(errno(&error)),
    }
}

/// Whether `text` is an address with a port, such as `127.0.0.1:80` or `[::1]:80`.
#[napi(catch_unwind)]
pub fn address_parse(text: String) -> Option<Address> {
    text.parse::<SocketAddr>().ok().map(Address::from)
}

/// What a listener can be told before it binds.
#[napi(object)]
pub struct ListenOptions {
    pub backlog: i32,
    pub reuse_port: bool,
    pub ipv6_only: bool,
}

/// Binds and listens.
#[napi(catch_unwind)]
pub fn listener_bind(text: String, options: ListenOptions) -> Either<Give<Socket>, i32> {
    socket(bind(&text, &options).map(Kind::Listener))
}

fn bind(text: &str, options: &ListenOptions) -> io::Result<TcpListener> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    TcpListener::bind_with(
        &address,
        &tcp::ListenOptions {
            backlog: options.backlog,
            reuse_port: options.reuse_port,
            ipv6_only: Some(options.ipv6_only),
        },
    )
}

/// A connection that a listener accepted.
#[napi(object, object_from_js = false)]
pub struct Accepted {
    pub socket: Give<Socket>,
    pub peer: Address,
}

/// The next waiting connection, or `WOULD_BLOCK`, or an errno.
#[napi(catch_unwind)]
pub fn listener_accept(listener: Handle<Socket>) -> Either<Accepted, i32> {
    match listener.with_listener(TcpListener::accept) {
        Ok(Some((stream, peer))) => Either::A(Accepted {
            socket: Give(Socket(RefCell::new(Some(stream.into())))),
            peer: peer.into(),
        }),
        Ok(None) => Either::B(WOULD_BLOCK),
        Err(error) => Either::B(errno(&error)),
    }
}

/// Starts to connect.
#[napi(catch_unwind)]
pub fn stream_connect(text: String) -> Either<Give<Socket>, i32> {
    let address = text
        .parse::<SocketAddr>()
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    socket(
        address
            .and_then(|address| TcpStream::connect(&address))
            .map(Kind::from),
    )
}

/// The two functions that are called for every message, `read` and `write`. Made by hand, since
/// what napi-rs wraps around a function costs as much as the function.
#[napi(catch_unwind, ts_return_type = "object")]
pub fn stream_transfers(env: &Env) -> Result<Object<'_>> {
    let functions = Object::new(env)?;
    define(env, &functions, c"read", stream_read)?;
    define(env, &functions, c"write", stream_write)?;
    Ok(functions)
}

type Callback = unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value;

fn define(env: &Env, object: &Object, name: &CStr, callback: Callback) -> Result<()> {
    let mut function = ptr::null_mut();
    // SAFETY: the environment and the object are those of the call under way.
    let status = unsafe {
        sys::napi_create_function(
            env.raw(),
            name.as_ptr(),
            name.count_bytes() as isize,
            Some(callback),
            ptr::null_mut(),
            &mut function,
        );
        sys::napi_set_named_property(env.raw(), object.raw(), name.as_ptr(), function)
    };
    match status {
        sys::Status::napi_ok => Ok(()),
        status => Err(Error::new(Status::from(status), "cannot define a function")),
    }
}

/// `read(stream, into)`: the count, `WOULD_BLOCK`, or an errno.
unsafe extern "C" fn stream_read(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: Node passes the environment and the call that is under way.
    unsafe { transfer(env, info, receive) }
}

/// `write(stream, from)`: the count, `WOULD_BLOCK`, or an errno.
unsafe extern "C" fn stream_write(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: Node passes the environment and the call that is under way.
    unsafe { transfer(env, info, transmit) }
}

/// # Safety
/// `env` and `info` are those of the call that is under way.
unsafe fn transfer(
    env: sys::napi_env,
    info: sys::napi_callback_info,
    act: fn(&Stream, *mut u8, usize) -> io::Result<usize>,
) -> sys::napi_value {
    let (mut arguments, mut count) = ([ptr::null_mut(); 2], 2);
    // SAFETY: as the caller promises; missing arguments come as undefined.
    let (socket, bytes) = unsafe {
        let arguments_start = arguments.as_mut_ptr();
        let (this, data) = (ptr::null_mut(), ptr::null_mut());
        sys::napi_get_cb_info(env, info, &mut count, arguments_start, this, data);
        (
            Handle::<Socket>::get(env, arguments[0]),
            Bytes::get(env, arguments[1]),
        )
    };
    let transferred = match (socket, bytes) {
        // A count must fit the result; what is left over is the caller's next call.
        (Some(socket), Some(Bytes { address, length })) => {
            let length = length.min(i32::MAX as usize);
            socket.with_stream(|stream| act(stream, address, length))
        }
        _ => Err(io::Error::from(io::ErrorKind::InvalidInput)),
    };
    let number = match transferred {
        Ok(count) => count as i32,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => WOULD_BLOCK,
        Err(error) => errno(&error),
    };
    let mut result = ptr::null_mut();
    // SAFETY: as the caller promises.
    unsafe { sys::napi_create_int32(env, number, &mut result) };
    result
}

/// By the system call, since JavaScript may share the memory: no slice may be made of it.
#[cfg(unix)]
fn receive(stream: &Stream, into: *mut u8, length: usize) -> io::Result<usize> {
    // SAFETY: the array is an argument of the call under way, so its memory is there.
    retry(|| unsafe { libc::recv(stream.descriptor, into.cast(), length, 0) })
}

#[cfg(unix)]
fn transmit(stream: &Stream, from: *mut u8, length: usize) -> io::Result<usize> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const FLAGS: libc::c_int = libc::MSG_NOSIGNAL;
    // Elsewhere the socket itself was told not to raise SIGPIPE.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const FLAGS: libc::c_int = 0;
    // SAFETY: the array is an argument of the call under way, so its memory is there.
    retry(|| unsafe { libc::send(stream.descriptor, from.cast(), length, FLAGS) })
}

#[cfg(unix)]
fn retry(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        if let Ok(count) = usize::try_from(call()) {
            return Ok(count);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Through a copy of its own, since JavaScript may share the memory: no slice may be made of it.
#[cfg(not(unix))]
fn receive(stream: &Stream, into: *mut u8, length: usize) -> io::Result<usize> {
    use std::io::Read;
    let mut copy = vec![0; length.min(64 * 1024)];
    let count = (&stream.stream).read(&mut copy)?;
    // SAFETY: the array is an argument of the call under way and at least as long.
    unsafe { std::ptr::copy_nonoverlapping(copy.as_ptr(), into, count) };
    Ok(count)
}

#[cfg(not(unix))]
fn transmit(stream: &Stream, from: *mut u8, length: usize) -> io::Result<usize> {
    use std::io::Write;
    let mut copy = vec![0; length.min(64 * 1024)];
    // SAFETY: the array is an argument of the call under way and at least as long.
    unsafe { std::ptr::copy_nonoverlapping(from, copy.as_mut_ptr(), copy.len()) };
    (&stream.stream).write(&copy)
}

/// Shuts down: 0 reading, 1 writing, 2 both.
#[napi(catch_unwind)]
pub fn stream_shutdown(stream: Handle<Socket>, how: u32) -> i32 {
    let how = match how {
        0 => Shutdown::Read,
        1 => Shutdown::Write,
        _ => Shutdown::Both,
    };
    number(stream.with_stream(|stream| stream.shutdown(how)))
}

/// The address of the other end.
#[napi(catch_unwind)]
pub fn stream_peer_address(stream: Handle<Socket>) -> Either<Address, i32> {
    address(stream.with_stream(|stream| stream.peer_addr()))
}

/// The address of this end.
#[napi(catch_unwind)]
pub fn socket_local_address(socket: Handle<Socket>) -> Either<Address, i32> {
    address(match &*socket.0.borrow() {
        Some(Kind::Listener(listener)) => listener.local_addr(),
        Some(Kind::Stream(stream)) => stream.local_addr(),
        None => Err(closed()),
    })
}

/// Sends small writes at once, or waits to gather them.
#[napi(catch_unwind)]
pub fn stream_set_nodelay(stream: Handle<Socket>, on: bool) -> i32 {
    number(stream.with_stream(|stream| stream.set_nodelay(on)))
}

/// Probes an idle connection after so many seconds; 0: never.
#[napi(catch_unwind)]
pub fn stream_set_keepalive(stream: Handle<Socket>, seconds: u32) -> i32 {
    let seconds = (seconds > 0).then_some(seconds);
    number(stream.with_stream(|stream| stream.set_keepalive(seconds)))
}

/// How long a close may wait for unsent data, in seconds; 0 resets the connection; negative: the
/// system's way.
#[napi(catch_unwind)]
pub fn stream_set_linger(stream: Handle<Socket>, seconds: i32) -> i32 {
    let linger = u64::try_from(seconds).ok().map(Duration::from_secs);
    number(stream.with_stream(|stream| stream.set_linger(linger)))
}

/// Takes the socket's pending error: 0 if there is none.
#[napi(catch_unwind)]
pub fn socket_take_error(socket: Handle<Socket>) -> i32 {
    number(match &*socket.0.borrow() {
        Some(Kind::Listener(listener)) => listener.take_socket_error(),
        Some(Kind::Stream(stream)) => stream.take_socket_error(),
        None => Err(closed()),
    })
}

/// Closes the socket, which deregisters it.
#[napi(catch_unwind)]
pub fn socket_close(socket: Handle<Socket>) {
    let taken = socket.0.borrow_mut().take();
    drop(taken);
}

/// Registers a socket under JavaScript's slot and generation.
#[napi(catch_unwind)]
pub fn socket_register(
    handle: Handle<LoopHandle>,
    socket: Handle<Socket>,
    slot: u32,
    generation: u32,
    interest: u32,
    opt: u32,
) -> i32 {
    change(&handle, &socket, slot, generation, |kind| {
        let (registrar, token) = (&handle.crank.registrar, token(slot, generation));
        let (interest, opt) = flags(interest, opt);
        registrar.register(kind, token, interest, opt)
    })
}

/// Changes what a registered socket waits for, and under which slot and generation.
#[napi(catch_unwind)]
pub fn socket_reregister(
    handle: Handle<LoopHandle>,
    socket: Handle<Socket>,
    slot: u32,
    generation: u32,
    interest: u32,
    opt: u32,
) -> i32 {
    change(&handle, &socket, slot, generation, |kind| {
        let (registrar, token) = (&handle.crank.registrar, token(slot, generation));
        let (interest, opt) = flags(interest, opt);
        registrar.reregister(kind, token, interest, opt)
    })
}

/// Ends a registration.
#[napi(catch_unwind)]
pub fn socket_deregister(handle: Handle<LoopHandle>, socket: Handle<Socket>, slot: u32) -> i32 {
    change(&handle, &socket, slot, 0, |kind| {
        handle.crank.registrar.deregister(kind)
    })
}

fn change(
    handle: &LoopHandle,
    socket: &Socket,
    slot: u32,
    generation: u32,
    act: impl FnOnce(&Kind) -> io::Result<()>,
) -> i32 {
    if slot >= miolo_bridge::layout::MAX_REGISTRATIONS {
        return OTHER;
    }
    let kind = socket.0.borrow();
    let Some(kind) = &*kind else {
        return errno(&closed());
    };
    let registrar = &handle.crank.registrar;
    // In one step for the loop thread, which may be about to rearm it as it was.
    let changed = handle.crank.with_forwarder(|forwarder| {
        act(kind)?;
        let id = registrar.registration(kind).map(|id| (id, generation));
        forwarder.set_registration(slot, id);
        Ok(())
    });
    number(changed.unwrap_or_else(|| Err(closed())))
}

fn token(slot: u32, generation: u32) -> Token {
    Token(pack(slot, generation) as usize)
}

fn flags(interest: u32, opt: u32) -> (EventSet, PollOpt) {
    let oneshot = opt & PollOpt::oneshot().bits() as u32 != 0;
    let mut interests = EventSet::none();
    for set in [
        EventSet::readable(),
        EventSet::writable(),
        EventSet::error(),
        EventSet::hup(),
    ] {
        if interest & set.bits() as u32 != 0 {
            interests.insert(set);
        }
    }
    // A level-triggered registration is edge-triggered here: JavaScript rearms it, when it has
    // handled its `ready`.
    let opts = if oneshot {
        PollOpt::oneshot()
    } else {
        PollOpt::edge()
    };
    (interests, opts)
}
