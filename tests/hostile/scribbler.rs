//! A process that writes numbers all over the memory while others use it.

use crate::child::{is_whole_form, say, start};
use crate::exercise::Kind;
use crate::memory::Memory;

/// Uses of a thing while it is scribbled over.
const USES: u32 = 60;

fn name(kind: Kind, parent: u32) -> String {
    format!("scribbled-{}-{parent}", kind.name)
}

/// The one who uses it.
pub(crate) fn be_scribbled_over(kind: Kind) {
    let name = name(kind, std::process::id());
    let things = if is_whole_form() { 100 } else { 8 };
    for thing_number in 0..things {
        let mut thing = kind.make(&name);
        let mut hostile = start(&format!("scribble {}", kind.name));
        let mut line = String::new();
        let mut output = std::io::BufReader::new(hostile.stdout.take().expect("piped"));
        std::io::BufRead::read_line(&mut output, &mut line).expect("child's output");
        assert_eq!(line, "scribbling\n");
        for use_number in 0..USES {
            thing.exercise();
            if use_number % 16 == 0 {
                kind.open_and_use(&name);
                say(format!("used {thing_number} for the {use_number}th time"));
            }
        }
        hostile.kill().expect("kill");
        hostile.wait().expect("reaped");
        thing.exercise();
    }
    say("done");
}

/// The hostile one: opens the thing as anybody does, and writes where it likes. All but the header, which others read once.
pub(crate) fn scribble(kind: Kind) {
    let parent = rustix::process::getppid().expect("a parent").as_raw_pid() as u32;
    let name = name(kind, parent);
    let _keep: Box<dyn std::any::Any> = match kind.name {
        "mutex" => Box::new(tidegate::ShmMutex::<[u64; 4]>::open(&name).expect("open")),
        "rwlock" => Box::new(tidegate::ShmRwLock::<[u64; 4]>::open(&name).expect("open")),
        "semaphore" => Box::new(tidegate::ShmSemaphore::open(&name).expect("open")),
        _ => Box::new(tidegate::Channel::open(&name).expect("open")),
    };
    let memory = Memory::of(&name);
    let end = memory.len().min(400 << 10);
    say("scribbling");
    let mut random = u64::from(std::process::id()) | 1 << 40;
    let mut next = || {
        // Xorshift (Marsaglia, "Xorshift RNGs", 2003).
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    loop {
        let (place, value, choice) = (next(), next(), next());
        // Mostly the words of control, lanes and nodes; now and then whatever there is.
        let offset = match choice % 8 {
            0 => place % end,
            1 => 4096 + place % 512,
            _ => 20 * 1024 + place % (36 << 10),
        } & !7;
        if offset < 4096 || offset + 8 > end {
            continue;
        }
        let found = memory.word(offset);
        // Near what is there, or anything; lengths, states and cursors go wrong by a little and by much.
        let word = match choice >> 8 & 7 {
            0 => value,
            1 => 0,
            2 => u64::MAX,
            3 => found.wrapping_add(8),
            4 => found.wrapping_sub(8),
            5 => found ^ 1 << (value & 63),
            6 => found.rotate_left(32),
            _ => value & 0xffff,
        };
        memory.set_word(offset, word);
        if parent != rustix::process::getppid().map_or(0, |pid| pid.as_raw_pid() as u32) {
            return;
        }
    }
}
