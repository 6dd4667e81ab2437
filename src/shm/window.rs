//! Typed views into a segment that keep it mapped.

#[cfg(all(not(loom), target_arch = "x86_64"))]
pub(crate) use mapped::can_flush;
#[cfg(not(loom))]
pub(crate) use mapped::{Shared, SharedLayout, WeakShared, Window};
#[cfg(loom)]
pub(crate) use model::{Shared, Window};

#[cfg(not(loom))]
mod mapped {
    use std::ops::Deref;
    use std::ptr::NonNull;
    use std::sync::{Arc, Weak};

    use crate::prim::AtomicU64;
    use crate::shm::segment::Segment;

    /// A type that may lie in memory which other processes write.
    ///
    /// # Safety
    /// Every field is an atomic (or an array or struct of such), any bit pattern is a valid value, and the layout is
    /// `repr(C)`.
    pub(crate) unsafe trait SharedLayout {}

    /// A `T` in a segment, which stays mapped for as long as this handle lives.
    #[derive(Debug)]
    pub(crate) struct Shared<T> {
        target: NonNull<T>,
        segment: Arc<Segment>,
    }

    // SAFETY: `T: SharedLayout` holds only atomics, which any thread may use; the mapping is not tied to a thread.
    unsafe impl<T: SharedLayout> Send for Shared<T> {}
    // SAFETY: as above; `&Shared<T>` gives out only `&T`.
    unsafe impl<T: SharedLayout> Sync for Shared<T> {}

    impl<T> Clone for Shared<T> {
        fn clone(&self) -> Self {
            Self { target: self.target, segment: Arc::clone(&self.segment) }
        }
    }

    /// As [`Shared`], but keeps nothing mapped.
    #[derive(Debug)]
    pub(crate) struct WeakShared<T> {
        target: NonNull<T>,
        segment: Weak<Segment>,
    }

    impl<T> WeakShared<T> {
        /// The `T`, if its segment is mapped still.
        pub(crate) fn upgrade(&self) -> Option<Shared<T>> {
            Some(Shared { target: self.target, segment: self.segment.upgrade()? })
        }

        /// Whether it is that one.
        pub(crate) fn is(&self, other: &Shared<T>) -> bool {
            self.target == other.target && std::ptr::eq(self.segment.as_ptr(), Arc::as_ptr(&other.segment))
        }
    }

    impl<T> Shared<T> {
        pub(crate) fn downgrade(&self) -> WeakShared<T> {
            WeakShared { target: self.target, segment: Arc::downgrade(&self.segment) }
        }
    }

    impl<T: SharedLayout> Shared<T> {
        /// The `T` at `offset` bytes, or `None` where it would lie outside the segment or unaligned.
        pub(crate) fn at(segment: &Arc<Segment>, offset: usize) -> Option<Self> {
            let end = offset.checked_add(size_of::<T>())?;
            if end > segment.len() || !offset.is_multiple_of(align_of::<T>()) {
                return None;
            }
            // SAFETY: `offset` is inside the mapping, so the sum stays inside one allocation and is not null.
            let target = unsafe { NonNull::new_unchecked(segment.base().add(offset).cast::<T>()) };
            Some(Self { target, segment: Arc::clone(segment) })
        }
    }

    impl<T: SharedLayout> Deref for Shared<T> {
        type Target = T;
        #[inline]
        fn deref(&self) -> &T {
            // SAFETY:
            // - bounds and alignment were checked in `at`, and `segment` keeps the mapping alive;
            // - `T: SharedLayout`, so every bit pattern is valid and every access through `&T` is atomic.
            unsafe { self.target.as_ref() }
        }
    }

    #[cold]
    #[inline(never)]
    fn outside(offset: usize) -> ! {
        panic!("no word of the window at {offset}");
    }

    /// Whether the CPU has CLFLUSHOPT (Intel SDM, CPUID leaf 7, EBX bit 23).
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(crate) fn can_flush() -> bool {
        use std::arch::x86_64::{__cpuid, __cpuid_count};
        use std::sync::OnceLock;
        static CAN_FLUSH: OnceLock<bool> = OnceLock::new();
        *CAN_FLUSH.get_or_init(|| __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ebx >> 23 & 1 == 1)
    }

    /// A range of bytes in a segment, addressed by offset.
    #[derive(Debug, Clone)]
    pub(crate) struct Window {
        base: NonNull<u8>,
        len: usize,
        _segment: Arc<Segment>,
    }

    // SAFETY: the window gives out atomics, or plain bytes through `unsafe` methods whose callers own those bytes.
    unsafe impl Send for Window {}
    // SAFETY: as above.
    unsafe impl Sync for Window {}

    impl Window {
        /// The `len` bytes from `offset`, or `None` where they would lie outside the segment or off an 8-byte boundary.
        pub(crate) fn at(segment: &Arc<Segment>, offset: usize, len: usize) -> Option<Self> {
            if offset.checked_add(len)? > segment.len() || !offset.is_multiple_of(8) {
                return None;
            }
            // SAFETY: `offset` is inside the mapping.
            let base = unsafe { NonNull::new_unchecked(segment.base().add(offset)) };
            Some(Self { base, len, _segment: Arc::clone(segment) })
        }

        /// The first byte of the window, which is mapped for as long as the window lives.
        #[inline]
        pub(crate) fn base(&self) -> *mut u8 {
            self.base.as_ptr()
        }

        /// The atomic word at `offset`.
        ///
        /// # Panics
        /// Panics if `offset` is off an 8-byte boundary or outside the window: the callers mask their offsets.
        #[inline]
        pub(crate) fn word(&self, offset: usize) -> &AtomicU64 {
            // One comparison for both: bits that are off the boundary make the largest numbers.
            if offset.rotate_right(3) >= self.len / 8 {
                outside(offset);
            }
            // SAFETY: inside the window (just checked), aligned (just checked; the base is 8-byte aligned), and
            // mapped for as long as `self` lives.
            unsafe { &*self.base.as_ptr().add(offset).cast::<AtomicU64>() }
        }

        /// Asks for the line at `offset`, which will soon be read.
        #[inline]
        pub(crate) fn prefetch(&self, offset: usize) {
            #[cfg(target_arch = "x86_64")]
            {
                use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
                let line = self.base.as_ptr().wrapping_add(offset).cast::<i8>();
                // SAFETY: a prefetch of any address is a hint: it reads nothing and cannot fault.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(line) };
            }
            #[cfg(not(target_arch = "x86_64"))]
            let _no_stable_intrinsic_here = offset;
        }

        /// Puts the line at `offset` out of every cache, where the CPU can do so without waiting for it (CLFLUSHOPT).
        #[inline]
        pub(crate) fn flush(&self, offset: usize) {
            #[cfg(target_arch = "x86_64")]
            if can_flush() && offset < self.len {
                let line = self.base.as_ptr().wrapping_add(offset);
                // SAFETY: the CPU has the instruction, and the line is mapped: it is inside the window (just checked). What
                // memory holds, as anybody reads it, is the same before and after.
                unsafe { std::arch::asm!("clflushopt [{0}]", in(reg) line, options(nostack, preserves_flags)) };
            }
            #[cfg(not(target_arch = "x86_64"))]
            let _no_such_instruction_here = offset;
        }

        /// The bytes at `offset`.
        ///
        /// # Safety
        /// No one may write these bytes while the slice lives. In a channel that follows from the protocol: they
        /// belong to a committed frame that has not been released.
        #[inline]
        pub(crate) unsafe fn bytes(&self, offset: usize, len: usize) -> &[u8] {
            assert!(offset <= self.len && len <= self.len - offset, "bytes outside window");
            // SAFETY: bounds were just checked; freedom from writers is the caller's promise.
            unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(offset), len) }
        }

        /// The bytes at `offset`, to write.
        ///
        /// # Safety
        /// No one else may read or write these bytes while the slice lives: they belong to a claim that is neither
        /// committed nor aborted.
        #[inline]
        #[allow(clippy::mut_from_ref)]
        pub(crate) unsafe fn bytes_mut(&self, offset: usize, len: usize) -> &mut [u8] {
            assert!(offset <= self.len && len <= self.len - offset, "bytes outside window");
            // SAFETY: bounds were just checked; exclusiveness is the caller's promise.
            unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr().add(offset), len) }
        }
    }
}

#[cfg(loom)]
mod model {
    use crate::prim::{AtomicU64, Ordering};
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;

    /// Loom's stand-in for a `T` in a segment.
    pub(crate) type Shared<T> = Arc<T>;

    /// Loom's stand-in for a range of bytes. A payload word is both an atomic, so that it can be mistaken for a header
    /// as in real memory, and a cell on which loom reports every unordered pair of accesses.
    #[derive(Debug, Clone)]
    pub(crate) struct Window {
        words: Arc<Vec<Word>>,
    }

    #[derive(Debug)]
    struct Word {
        header: AtomicU64,
        payload: UnsafeCell<u64>,
    }

    impl Window {
        /// A window filled with `stale`, as memory that held other messages before.
        pub(crate) fn filled(len: usize, stale: u64) -> Self {
            let word = || Word { header: AtomicU64::new(stale), payload: UnsafeCell::new(stale) };
            Self { words: Arc::new((0..len / 8).map(|_| word()).collect()) }
        }

        pub(crate) fn word(&self, offset: usize) -> &AtomicU64 {
            assert_eq!(offset % 8, 0);
            &self.words[offset / 8].header
        }

        pub(crate) fn prefetch(&self, _offset: usize) {}

        pub(crate) fn flush(&self, _offset: usize) {}

        pub(crate) fn load_payload(&self, offset: usize) -> u64 {
            // SAFETY: loom fails the model if a write to the cell is not ordered before or after this read.
            self.words[offset / 8].payload.with(|value| unsafe { *value })
        }

        pub(crate) fn store_payload(&self, offset: usize, value: u64) {
            let word = &self.words[offset / 8];
            word.header.store(value, Ordering::Relaxed);
            // SAFETY: loom fails the model if another access to the cell is not ordered before or after this write.
            word.payload.with_mut(|cell| unsafe { *cell = value });
        }
    }
}
