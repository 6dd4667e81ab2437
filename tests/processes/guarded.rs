//! Receivers that map what senders write read-only.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use tidegate::channel::RecvError;
use tidegate::{Channel, Receivers};

use crate::child::{Process, say};
use crate::message::Ledger;

/// What a child does, by role.
pub(crate) fn run(role: &str, name: &str, number: u64) {
    match role {
        "write_to_message" => write_to_message(&Channel::open(name).expect("open")),
        "write_to_message_guarded" => write_to_message(&Channel::open_to_receive(name).expect("open")),
        other => crate::stopping::run(other, name, number),
    }
}

/// Does what no safe program does: writes to a message that it has received.
fn write_to_message(channel: &Channel) {
    let mut receiver = channel.receiver().expect("receiver");
    say("ready");
    for _ in 0..2 {
        let message = receiver.recv().expect("message");
        let first = message.as_ptr().cast_mut();
        say("received");
        // SAFETY: none; this is the mistake that the mapping is there to find.
        unsafe { first.write_volatile(0xff) };
        say("written");
    }
}

pub(crate) fn who_only_receives_cannot_write_to_messages() {
    let options = Channel::options().receivers(Receivers::Each).message_bytes_max(50_000);
    let channel = options.create("guarded").expect("create");
    let mut sender = channel.sender().expect("sender");
    for (role, signal) in [("write_to_message", None), ("write_to_message_guarded", Some(libc::SIGSEGV))] {
        // One in the ring first, and one in a block first.
        for lens in [[100, 40_000], [40_000, 100]] {
            let mut receiver = channel.receiver().expect("receiver");
            let mut careless = Process::start(role, "guarded", 0);
            careless.wait_ready();
            lens.iter().for_each(|&len| sender.send(&vec![7; len]).expect("room"));
            assert_eq!(careless.line(), "received");
            assert_eq!(careless.status().signal(), signal, "{role}");
            let intact = lens.map(|len| *receiver.recv().expect("message") == *vec![7; len]);
            assert_eq!(intact, [signal.is_some(); 2], "{role}: what another receives");
        }
    }
}

pub(crate) fn who_only_receives_hears_of_deaths() {
    let channel = Channel::options().create("guarded-deaths").expect("create");
    let guarded = Channel::open_to_receive("guarded-deaths").expect("open");
    let mut receiver = guarded.receiver().expect("receiver");
    for producer in 0..3 {
        let mut sender = Process::start("send_then_claim", "guarded-deaths", producer);
        sender.wait_ready();
        let pid = sender.pid();
        sender.kill();
        let mut ledger = Ledger::default();
        (0..10).for_each(|_| ledger.enter(&receiver.recv().expect("committed before the death")));
        assert_eq!(receiver.recv().expect_err("no more was committed"), RecvError::PeerDied { pid });
        assert_eq!(receiver.recv().expect_err("told once"), RecvError::Disconnected);
    }
    // A lane of the dead is not taken for one that lives beside it.
    let mut living = channel.sender().expect("sender");
    assert_eq!(receiver.recv_timeout(Duration::from_millis(50)).expect_err("nothing yet"), RecvError::Stalled);
    living.send(&[1; 20]).expect("room");
    assert_eq!(*receiver.recv().expect("message"), [1; 20]);
    assert_eq!(channel.view().lanes.len(), 1, "each took over the lane of the dead");
}
