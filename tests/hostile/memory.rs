//! The memory of a channel or a lock, as a hostile process of the same user has it: to read and write at will.

use std::fs::File;
use std::os::unix::fs::FileExt;

pub(crate) struct Memory {
    file: File,
}

impl Memory {
    /// The memory behind `name`, which this process has open.
    pub(crate) fn of(name: &str) -> Self {
        let end = format!(":{name} (deleted)");
        let descriptors = std::fs::read_dir("/proc/self/fd").expect("/proc").flatten();
        let is_it = |path: &std::path::PathBuf| {
            std::fs::read_link(path).is_ok_and(|target| {
                let target = target.to_string_lossy().into_owned();
                target.starts_with("/memfd:tidegate") && target.ends_with(&end)
            })
        };
        let path = descriptors.map(|entry| entry.path()).find(is_it).expect("a memory file of that name");
        let file = File::options().read(true).write(true).open(path).expect("a process may open what it has");
        Self { file }
    }

    pub(crate) fn len(&self) -> u64 {
        self.file.metadata().expect("fstat").len()
    }

    pub(crate) fn word(&self, offset: u64) -> u64 {
        let mut word = [0; 8];
        self.file.read_exact_at(&mut word, offset).expect("inside the file");
        u64::from_le_bytes(word)
    }

    pub(crate) fn set_word(&self, offset: u64, word: u64) {
        self.file.write_all_at(&word.to_le_bytes(), offset).expect("inside the file");
    }

    /// Takes the memory of that range away: it reads as zeros.
    pub(crate) fn punch(&self, offset: u64, len: u64) {
        use rustix::fs::FallocateFlags;
        let flags = FallocateFlags::KEEP_SIZE | FallocateFlags::PUNCH_HOLE;
        rustix::fs::fallocate(&self.file, flags, offset, len).expect("a hole");
    }
}
