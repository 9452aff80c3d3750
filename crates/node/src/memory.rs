//! Shared memory: typed arrays over a SharedArrayBuffer become [`Words`].

use std::ffi::c_void;
use std::ptr;

use miolo_bridge::Words;
use napi::bindgen_prelude::{FromNapiValue, TypeName, ValidateNapiValue};
use napi::{Error, Result, Status, ValueType, sys};

/// The address and length of a typed array's bytes.
#[derive(Clone, Copy)]
pub struct Bytes {
    pub address: *mut u8,
    pub length: usize,
}

impl Bytes {
    /// Where the bytes of the `Uint8Array` (or `Int32Array`) `value` lie.
    ///
    /// # Safety
    /// `env` and `value` belong to the call that is under way.
    #[inline]
    pub unsafe fn get(env: sys::napi_env, value: sys::napi_value) -> Option<Self> {
        let (mut kind, mut length, mut address) = (0, 0, ptr::null_mut::<c_void>());
        // SAFETY: both are valid, as the caller promises; null results are allowed.
        let status = unsafe {
            sys::napi_get_typedarray_info(
                env,
                value,
                &mut kind,
                &mut length,
                &mut address,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        let size = match kind {
            sys::TypedarrayType::uint8_array => 1,
            sys::TypedarrayType::int32_array => 4,
            _ => return None,
        };
        (status == sys::Status::napi_ok).then_some(Self {
            address: address.cast(),
            length: length * size,
        })
    }
}

/// A typed array that stays where it is for as long as native code uses its memory.
pub struct Pinned {
    bytes: Bytes,
    reference: sys::napi_ref,
    env: sys::napi_env,
}

impl Pinned {
    /// The memory as words.
    pub fn words(&self) -> Words {
        // SAFETY: the reference keeps the array, and so its SharedArrayBuffer, alive; whoever
        // holds the Pinned drops every window on it first. `pin` checked the alignment.
        unsafe { Words::from_raw(self.bytes.address.cast(), self.bytes.length / 4) }
    }

    /// Where the memory begins: the same for every isolate that shares it.
    pub fn address(&self) -> usize {
        self.bytes.address as usize
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: made by `pin` in this environment; dropped on its thread, by a finalizer at the
        // latest, which runs while the environment is still there.
        unsafe { sys::napi_delete_reference(self.env, self.reference) };
    }
}

/// An argument that is a typed array over shared memory.
pub struct View {
    env: sys::napi_env,
    value: sys::napi_value,
    bytes: Bytes,
}

impl View {
    /// Keeps the array alive beyond the call.
    pub fn pin(self) -> Result<Pinned> {
        if !(self.bytes.address as usize).is_multiple_of(8) || self.bytes.address.is_null() {
            return Err(Error::new(
                Status::InvalidArg,
                "shared memory is not aligned",
            ));
        }
        let mut reference = ptr::null_mut();
        // SAFETY: `value` is an argument of the call under way.
        let status = unsafe { sys::napi_create_reference(self.env, self.value, 1, &mut reference) };
        if status != sys::Status::napi_ok {
            return Err(Error::new(Status::from(status), "cannot reference memory"));
        }
        Ok(Pinned {
            bytes: self.bytes,
            reference,
            env: self.env,
        })
    }

    /// The bytes, for the length of the call.
    pub fn bytes(&self) -> Bytes {
        self.bytes
    }
}

impl TypeName for View {
    fn type_name() -> &'static str {
        "TypedArray"
    }

    fn value_type() -> ValueType {
        ValueType::Object
    }
}

impl ValidateNapiValue for View {}

impl FromNapiValue for View {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> Result<Self> {
        // SAFETY: napi-rs passes the environment and an argument of the call under way.
        unsafe { Bytes::get(env, value) }
            .map(|bytes| Self { env, value, bytes })
            .ok_or_else(|| Error::new(Status::InvalidArg, "not a Uint8Array or Int32Array"))
    }
}
