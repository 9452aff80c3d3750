//! I/O errors as one number: what Node calls `errno`, always negative.

use std::io;

use napi_derive::napi;

/// A socket belongs to another loop.
#[napi]
pub const ALREADY_REGISTERED: i32 = -100_000;
/// libuv's UV_UNKNOWN: an error that the system has no number for.
pub const OTHER: i32 = -4094;

/// The negative errno of `error`, as `err.errno` has it in Node; [`ALREADY_REGISTERED`] where a
/// socket belongs to another loop, [`OTHER`] where the system has no number for it.
pub fn errno(error: &io::Error) -> i32 {
    match (error.raw_os_error(), error.kind()) {
        (Some(code), _) => native(code),
        (None, io::ErrorKind::AlreadyExists) => native(EEXIST),
        (None, io::ErrorKind::NotFound) => native(ENOENT),
        (None, io::ErrorKind::TimedOut) => native(ETIMEDOUT),
        (None, io::ErrorKind::ConnectionReset) => native(ECONNRESET),
        (None, io::ErrorKind::ConnectionAborted) => native(ECONNABORTED),
        (None, io::ErrorKind::Other) if error.to_string().contains("already registered") => {
            ALREADY_REGISTERED
        }
        _ => OTHER,
    }
}

const EEXIST: i32 = 17;
const ENOENT: i32 = 2;
#[cfg(unix)]
const ETIMEDOUT: i32 = libc::ETIMEDOUT;
#[cfg(unix)]
const ECONNRESET: i32 = libc::ECONNRESET;
#[cfg(unix)]
const ECONNABORTED: i32 = libc::ECONNABORTED;
#[cfg(windows)]
const ETIMEDOUT: i32 = 10060;
#[cfg(windows)]
const ECONNRESET: i32 = 10054;
#[cfg(windows)]
const ECONNABORTED: i32 = 10053;

#[cfg(unix)]
fn native(code: i32) -> i32 {
    -code
}

/// libuv's numbers, which Node shows on Windows, for the Winsock errors that sockets give.
#[cfg(windows)]
fn native(code: i32) -> i32 {
    match code {
        EEXIST => -4075,
        ENOENT => -4058,
        10004 => -4072,
        10013 => -4092,
        10022 => -4071,
        10024 => -4066,
        10035 => -4088,
        10048 => -4091,
        10049 => -4090,
        10050 => -4060,
        10051 => -4062,
        10053 => -4079,
        10054 => -4077,
        10055 => -4060,
        10057 => -4053,
        10060 => -4039,
        10061 => -4078,
        10065 => -4061,
        _ => OTHER,
    }
}
