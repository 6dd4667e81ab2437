//! Every bit of what a segment says about itself, flipped in turn; and its pages, taken away in turn.

use crate::child::{is_whole_form, say};
use crate::exercise::Kind;
use crate::memory::Memory;

const PAGE: u64 = 4096;

/// The words of a segment that others read, but for those of participants, lanes and nodes that nobody uses: `(first, last)`.
/// Wherever else a word is, it is like one of these.
fn described(kind: Kind) -> Vec<(u64, u64)> {
    let (header, participants, upper) = ((0, 96), (4096, 4096 + 4 * 64), 20 * 1024);
    let own = match kind.name {
        "mutex" => vec![(upper, upper + 64), (upper + 128, upper + 128 + 3 * 64)],
        // The lock, and the words of the first three participants' readers.
        "rwlock" => vec![(upper, upper + 64), (upper + 128 + 64 * 64, upper + 128 + (64 + 3) * 64)],
        "semaphore" => vec![(upper, upper + 1024)],
        // Control words, the receiver's wait point, the blocks' words, two lanes, their senders' wait points and their consumers'
        // words, and the ring's first words.
        _ => {
            let (lanes, waits) = (upper + 4 * 4096, 3 << 14);
            vec![
                (upper, upper + 256),
                (upper + 512, upper + 1024),
                (upper + 9 * 1024, upper + 9 * 1024 + 64),
                (lanes, lanes + 2 * 896),
                (waits, waits + 2 * 512),
                (waits + 2 * 512, waits + 2 * 512 + 2176 + 256),
                ((1 << 16) + (1 << 16), (1 << 16) + (1 << 16) + 64),
            ]
        }
    };
    [header, participants].into_iter().chain(own).collect()
}

/// Flips each bit in a thing of its own, opens that anew, and uses it. The short form takes every eighth, others in each word.
pub(crate) fn flip(kind: Kind) {
    let mut flipped = 0u32;
    for (first, last) in described(kind) {
        for word in (first..last).step_by(8) {
            let bits = (0..64).filter(|bit| is_whole_form() || bit % 8 == word / 8 % 8);
            for bit in bits {
                let name = format!("flipped-{}-{flipped}", std::process::id());
                let mut thing = kind.make(&name);
                let memory = Memory::of(&name);
                memory.set_word(word, memory.word(word) ^ 1 << bit);
                kind.open_and_use(&name);
                thing.exercise();
                flipped += 1;
                drop(thing);
                // Who attaches waits half a second for one who holds a lane's lock and does not go on.
                say(format!("flipped {flipped} bits, to bit {bit} of {word}"));
            }
        }
    }
    assert!(flipped > 500, "hardly anything was tried");
    say("done");
}

/// Takes each page away from a thing of its own, and all of them from one, opens that anew, and uses it.
pub(crate) fn punch(kind: Kind) {
    let mut len = u64::MAX;
    let mut page = 0;
    while page <= len {
        let name = format!("punched-{}-{page}", std::process::id());
        let mut thing = kind.make(&name);
        let memory = Memory::of(&name);
        len = memory.len();
        if page == len {
            memory.punch(0, len)
        } else {
            memory.punch(page, PAGE)
        }
        kind.open_and_use(&name);
        thing.exercise();
        say(format!("punched at {page}"));
        page += PAGE;
    }
    say("done");
}
