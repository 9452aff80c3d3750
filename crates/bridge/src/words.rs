//! A checked window over shared memory.

use std::ptr::NonNull;

use crate::sync::AtomicU32;
#[cfg(not(loom))]
use crate::sync::AtomicU64;

/// A checked window over 32-bit words of shared memory, each of them an atomic.
///
/// JavaScript may write to the same memory at any time, so there is no way from here to a `&[u32]` or a `&mut`, and
/// every access checks its index.
#[derive(Clone, Debug)]
pub struct Words {
    /// Valid for `len` words for as long as this value or any window of it lives.
    start: NonNull<AtomicU32>,
    len: usize,
}

// SAFETY: all access goes through atomics, and the memory's validity does not depend on the thread (see `from_raw`).
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    /// A window over `len` words at `ptr`.
    ///
    /// # Panics
    ///
    /// If `ptr` is null or not aligned to 4 bytes.
    ///
    /// # Safety
    ///
    /// The memory must stay readable and writable for `len` words until the returned value and everything made from
    /// it have been dropped, and Rust must not access it in any other way than by 32-bit atomics (and, for the words
    /// used through [`Words::get_u64`], by 64-bit ones only).
    #[cfg(not(loom))]
    pub unsafe fn from_raw(ptr: *mut u32, len: usize) -> Words {
        // SAFETY: `AtomicU32` has the size, the alignment and the bit validity of `u32`; the rest is the caller's.
        unsafe { Words::from_atomics(ptr.cast(), len) }
    }

    /// A window over `len` atomics at `ptr`, which under loom are no plain words.
    ///
    /// # Panics
    ///
    /// If `ptr` is null or misaligned.
    ///
    /// # Safety
    ///
    /// As of `from_raw`.
    pub unsafe fn from_atomics(ptr: *const AtomicU32, len: usize) -> Words {
        assert!(ptr.is_aligned(), "shared memory is misaligned");
        let start = NonNull::new(ptr.cast_mut()).expect("shared memory is at null");
        Words { start, len }
    }

    /// The number of words.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "an empty window is of no use")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The `len` words from `start` on.
    ///
    /// # Panics
    ///
    /// If they are not all inside this window.
    pub fn window(&self, start: usize, len: usize) -> Words {
        self.check(start, len);
        // SAFETY: `start` is at most `self.len`, so the pointer stays inside the same memory or at its end.
        let start = unsafe { self.start.add(start) };
        Words { start, len }
    }

    /// Where the window begins, for bytes that are copied or handed to the system. What may be done there is the
    /// same as with the words: no reference, no belief.
    #[inline]
    pub fn bytes(&self) -> *mut u8 {
        self.start.as_ptr().cast()
    }

    /// The word at `index`.
    ///
    /// # Panics
    ///
    /// If `index` is not below [`Words::len`].
    #[inline]
    pub fn get(&self, index: usize) -> &AtomicU32 {
        let [word] = self.array(index);
        word
    }

    /// The words at `index` and `index + 1` as one 64-bit atomic in the machine's byte order.
    ///
    /// # Panics
    ///
    /// If they are not inside this window or not aligned to 8 bytes.
    #[cfg(not(loom))]
    #[inline]
    pub fn get_u64(&self, index: usize) -> &AtomicU64 {
        self.check(index, 2);
        // SAFETY: the check above keeps both words inside the memory.
        let word = unsafe { self.start.add(index) }.cast::<AtomicU64>();
        assert!(
            word.is_aligned(),
            "a 64-bit counter must be aligned to 8 bytes"
        );
        // SAFETY: in bounds and aligned (just checked), valid while `self` lives, and any bits are a valid u64.
        unsafe { word.as_ref() }
    }

    /// `N` words from `start` on, with one check for all.
    #[inline]
    pub(crate) fn array<const N: usize>(&self, start: usize) -> &[AtomicU32; N] {
        self.check(start, N);
        // SAFETY: the check keeps all N words inside the memory, which is aligned and valid while `self` lives.
        unsafe { self.start.add(start).cast::<[AtomicU32; N]>().as_ref() }
    }

    #[inline]
    fn check(&self, start: usize, len: usize) {
        assert!(
            start <= self.len && len <= self.len - start,
            "words {start}..+{len} are outside a window of {}",
            self.len
        );
    }
}
