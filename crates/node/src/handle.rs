//! Native objects held by JavaScript: a Node-API external, and a tag that tells its type.

use std::ffi::c_void;
use std::ops::Deref;
use std::ptr::NonNull;

use napi::bindgen_prelude::{FromNapiValue, ToNapiValue, TypeName, ValidateNapiValue};
use napi::{Error, Result, Status, ValueType, sys};

/// A type that JavaScript can hold. The tag is checked before a pointer is believed.
pub trait Held: 'static {
    /// Distinct for each type.
    const TAG: u64;
    /// Called on the JS thread when JavaScript has let go of it, or its environment ends.
    fn released(&self) {}
}

#[repr(C)]
struct Tagged<T> {
    tag: u64,
    value: T,
}

/// A borrowed native object, good for the length of one call from JavaScript.
pub struct Handle<T: Held>(NonNull<Tagged<T>>);

impl<T: Held> Deref for Handle<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the pointer came from an external that the caller's arguments keep alive, and
        // the tag was checked when the handle was made.
        unsafe { &self.0.as_ref().value }
    }
}

impl<T: Held> Handle<T> {
    /// The native object behind `value`.
    ///
    /// # Safety
    /// `env` and `value` belong to the call that is under way.
    #[inline]
    pub unsafe fn get(env: sys::napi_env, value: sys::napi_value) -> Option<Self> {
        let mut data: *mut c_void = std::ptr::null_mut();
        // SAFETY: both are valid, as the caller promises.
        if unsafe { sys::napi_get_value_external(env, value, &mut data) } != sys::Status::napi_ok {
            return None;
        }
        let tagged = NonNull::new(data.cast::<Tagged<T>>())?;
        // SAFETY: the only externals that reach this module are those that it made itself (ts/
        // keeps them private), all of which begin with a tag.
        (unsafe { (*tagged.as_ptr()).tag } == T::TAG).then_some(Self(tagged))
    }
}

/// A native object on its way to JavaScript, which owns it from then on.
pub struct Give<T: Held>(pub T);

unsafe extern "C" fn finalize<T: Held>(_: sys::napi_env, data: *mut c_void, _: *mut c_void) {
    // SAFETY: `data` is the box that `to_napi_value` leaked, and Node calls this once.
    let tagged = unsafe { Box::from_raw(data.cast::<Tagged<T>>()) };
    tagged.value.released();
}

impl<T: Held> ToNapiValue for Give<T> {
    unsafe fn to_napi_value(env: sys::napi_env, give: Self) -> Result<sys::napi_value> {
        let tagged = Box::into_raw(Box::new(Tagged {
            tag: T::TAG,
            value: give.0,
        }));
        let mut value = std::ptr::null_mut();
        // SAFETY: the box stays alive until `finalize`.
        let status = unsafe {
            sys::napi_create_external(
                env,
                tagged.cast(),
                Some(finalize::<T>),
                std::ptr::null_mut(),
                &mut value,
            )
        };
        if status != sys::Status::napi_ok {
            // SAFETY: Node did not take the box.
            drop(unsafe { Box::from_raw(tagged) });
            return Err(Error::new(
                Status::from(status),
                "cannot create an external",
            ));
        }
        Ok(value)
    }
}

impl<T: Held> TypeName for Handle<T> {
    fn type_name() -> &'static str {
        "External"
    }

    fn value_type() -> ValueType {
        ValueType::External
    }
}

impl<T: Held> TypeName for Give<T> {
    fn type_name() -> &'static str {
        "External"
    }

    fn value_type() -> ValueType {
        ValueType::External
    }
}

impl<T: Held> ValidateNapiValue for Handle<T> {}

impl<T: Held> FromNapiValue for Handle<T> {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> Result<Self> {
        // SAFETY: napi-rs passes the environment and an argument of the call under way.
        unsafe { Self::get(env, value) }
            .ok_or_else(|| Error::new(Status::InvalidArg, "not a native object of this kind"))
    }
}
