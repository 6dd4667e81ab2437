//! A shared thing, with words in its memory that the fuzzer has chosen.

use std::sync::Once;

use arbitrary::Arbitrary;

use crate::exercise::{KINDS, Kind, Thing};
use crate::memory::Memory;

/// Where, and how, one word is changed.
#[derive(Debug, Arbitrary)]
pub(crate) struct Change {
    /// Which word of the first 512 KiB.
    word: u16,
    how: How,
}

#[derive(Debug, Arbitrary)]
enum How {
    Set(u64),
    Add(i16),
    Flip(u8),
}

/// What is made, and what is changed in it.
#[derive(Debug, Arbitrary)]
pub(crate) struct Input {
    kind: u8,
    changes: Vec<Change>,
}

/// What things are called here.
pub(crate) fn name() -> String {
    format!("fuzzed-{}", std::process::id())
}

impl Input {
    pub(crate) fn kind(&self) -> Kind {
        KINDS[usize::from(self.kind) % KINDS.len()]
    }

    /// Makes the thing, and changes its memory.
    pub(crate) fn spoil(&self) -> Thing {
        static OWN_DIRECTORY: Once = Once::new();
        OWN_DIRECTORY.call_once(|| {
            let directory = format!("/dev/shm/tidegate-fuzz-{}", rustix::process::geteuid().as_raw());
            // SAFETY: the fuzzer runs its inputs one after the other, and this before the first. The library makes the
            // directory.
            unsafe { std::env::set_var("TIDEGATE_DIR", directory) };
        });
        let thing = self.kind().make(&name());
        let memory = Memory::of(&name());
        for change in &self.changes {
            let offset = u64::from(change.word) * 8;
            if offset + 8 > memory.len() {
                continue;
            }
            let word = memory.word(offset);
            memory.set_word(
                offset,
                match change.how {
                    How::Set(value) => value,
                    How::Add(number) => word.wrapping_add_signed(number.into()),
                    How::Flip(bit) => word ^ 1 << (bit % 64),
                },
            );
        }
        thing
    }
}
