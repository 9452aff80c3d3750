//! The few functions of libuv that the embedded driver needs, looked up in the running process.
//!
//! Node exports them; other runtimes may not, and then there is no embedded driver.

use std::ffi::{c_int, c_void};
use std::sync::LazyLock;

use libloading::os::unix::Library;

/// A `uv_handle_t` of any type.
#[repr(C)]
pub struct Handle {
    _opaque: [u8; 0],
}

type PollCallback = unsafe extern "C" fn(*mut Handle, c_int, c_int);
type HandleCallback = unsafe extern "C" fn(*mut Handle);

/// `UV_READABLE`
pub const READABLE: c_int = 1;
/// `UV_IDLE` of `uv_handle_type`
pub const IDLE: c_int = 6;
/// `UV_POLL` of `uv_handle_type`
pub const POLL: c_int = 8;
/// `UV_PREPARE` of `uv_handle_type`
pub const PREPARE: c_int = 9;
/// `UV_TIMER` of `uv_handle_type`
pub const TIMER: c_int = 13;

macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)+) => {
        /// The functions, by their names in libuv.
        pub struct Uv {
            $(pub $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)+
        }

        impl Uv {
            fn load() -> Option<Self> {
                let process = Library::this();
                Some(Self {
                    // SAFETY: the types are those of libuv's public, stable API.
                    $($name: *unsafe {
                        process.get(concat!(stringify!($name), "\0").as_bytes())
                    }.ok()?,)+
                })
            }
        }
    };
}

functions! {
    uv_handle_size: fn(c_int) -> usize;
    uv_handle_set_data: fn(*mut Handle, *mut c_void);
    uv_handle_get_data: fn(*const Handle) -> *mut c_void;
    uv_idle_init: fn(*mut c_void, *mut Handle) -> c_int;
    uv_idle_start: fn(*mut Handle, HandleCallback) -> c_int;
    uv_idle_stop: fn(*mut Handle) -> c_int;
    uv_poll_init: fn(*mut c_void, *mut Handle, c_int) -> c_int;
    uv_poll_start: fn(*mut Handle, c_int, PollCallback) -> c_int;
    uv_poll_stop: fn(*mut Handle) -> c_int;
    uv_timer_init: fn(*mut c_void, *mut Handle) -> c_int;
    uv_timer_start: fn(*mut Handle, HandleCallback, u64, u64) -> c_int;
    uv_timer_stop: fn(*mut Handle) -> c_int;
    uv_prepare_init: fn(*mut c_void, *mut Handle) -> c_int;
    uv_prepare_start: fn(*mut Handle, HandleCallback) -> c_int;
    uv_metrics_idle_time: fn(*mut c_void) -> u64;
    uv_update_time: fn(*mut c_void);
    uv_close: fn(*mut Handle, Option<HandleCallback>);
    uv_ref: fn(*mut Handle);
    uv_unref: fn(*mut Handle);
}

impl Uv {
    /// The functions, if this process has all of them.
    pub fn get() -> Option<&'static Self> {
        static UV: LazyLock<Option<Uv>> = LazyLock::new(Uv::load);
        UV.as_ref()
    }
}
