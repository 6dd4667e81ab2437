//! Sixty-four processes that find the same dead at once.

use std::collections::HashSet;
use std::time::Duration;

use tidegate::channel::RecvError;
use tidegate::{Channel, LockError, LockStrategy, Receivers, ShmMutex};

use crate::child::Process;
use crate::message;

const CROWD: u64 = 64;
/// Longer than the time between two looks for the dead.
const LOOKS: Duration = Duration::from_millis(200);

fn crowd(role: &str, name: &str) -> Vec<Process> {
    let mut crowd: Vec<_> = (0..CROWD).map(|number| Process::start(role, name, number)).collect();
    crowd.iter_mut().for_each(Process::wait_ready);
    crowd
}

pub(crate) fn sixty_four_senders_find_a_dead_receiver_at_once() {
    const DEAD: usize = 3;
    /// What such a receiver has released when it is killed; the next one it has in hand.
    const RELEASED: usize = 10;
    let options = Channel::options().ring_bytes(1 << 13).message_bytes_max(message::BYTES_MAX as u32);
    let options = options.senders_max(CROWD as u32).receivers(Receivers::Competing);
    let channel = options.create("crowd").expect("create");
    let crowd = crowd("send", "crowd");
    for _ in 0..DEAD {
        let mut dead = Process::start("receive_any", "crowd", 0);
        dead.wait_ready();
        // Their rings fill, and they sleep; then all of them look.
        std::thread::sleep(LOOKS);
        dead.kill();
        std::thread::sleep(LOOKS);
    }
    let mut receiver = channel.receiver().expect("the seats of the dead are free");
    let mut crowd: Vec<_> = crowd.into_iter().map(Some).collect();
    crowd.iter_mut().flatten().for_each(Process::stop);
    let mut received = HashSet::new();
    loop {
        match receiver.recv() {
            Ok(message) => assert!(received.insert(message::check(&message)), "one came again"),
            Err(RecvError::PeerDied { .. }) => {}
            Err(RecvError::Disconnected) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let sent: u64 = crowd.iter_mut().filter_map(Option::take).map(Process::finish).sum();
    assert_eq!(received.len() + DEAD * RELEASED, sent as usize);
}

pub(crate) fn sixty_four_waiters_find_a_dead_owner_at_once() {
    let mutex = ShmMutex::create("crowd-lock", [0u64; 3]).expect("create");
    mutex.set_strategy(LockStrategy::Park);
    let mut owner = Process::start("lock_and_hold", "crowd-lock", 0);
    owner.wait_ready();
    let crowd = crowd("lock_again_and_again", "crowd-lock");
    std::thread::sleep(LOOKS);
    owner.kill();
    let locked = mutex.lock_timeout(Duration::from_secs(120)).unwrap_or_else(|error| match error {
        LockError::OwnerDied(mut found) => {
            found[1] = found[0];
            found[2] += 1;
            found.mark_consistent()
        }
        error => panic!("{error}"),
    });
    assert_eq!((locked[0], locked[2]), (locked[1], 1), "one death, told to one");
    drop((locked, crowd));
}
