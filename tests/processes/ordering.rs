//! Senders in several processes whose messages are in one order, and which are killed.

use tidegate::channel::RecvError;
use tidegate::{Channel, Order};

use crate::child::Process;
use crate::message::{self, Ledger};

fn create(name: &str) -> Channel {
    let options = Channel::options().ring_bytes(1 << 13).message_bytes_max(message::BYTES_MAX as u32);
    options.order(Order::Global).create(name).expect("create")
}

pub(crate) fn claims_of_killed_senders_hold_nobody_up() {
    let channel = create("claims");
    let (mut receiver, mut ledger) = (channel.receiver().expect("receiver"), Ledger::default());
    let mut sender = channel.sender().expect("sender");
    let mut send = |sequence| {
        let mut claim = sender.claim(message::len(9, sequence)).expect("claim");
        message::fill(&mut claim, 9, sequence);
        claim.commit();
    };
    for producer in 0..3 {
        let mut dead = Process::start("send_then_claim", "claims", producer);
        dead.wait_ready();
        send(producer);
        let pid = dead.pid();
        dead.kill();
        let mut told = 0;
        while ledger.count(9) <= producer || told == 0 {
            match receiver.recv() {
                Ok(message) => ledger.enter(&message),
                Err(RecvError::PeerDied { pid: dead }) if dead == pid => told += 1,
                Err(e) => panic!("{e}"),
            }
        }
        assert_eq!((ledger.count(producer), told), (10, 1));
    }
}

pub(crate) fn senders_killed_at_random_leave_one_order() {
    const KILLS: u64 = 12;
    let channel = create("killed-in-order");
    let (mut receiver, mut ledger) = (channel.receiver().expect("receiver"), Ledger::default());
    let mut lasting = Process::start("send", "killed-in-order", 0);
    lasting.wait_ready();
    let mut deaths = 0;
    for kill in 1..=KILLS {
        let mut other = Process::start("send", "killed-in-order", kill);
        other.wait_ready();
        let until = ledger.count(kill) + 1 + message::mix(kill) % 2000;
        while ledger.count(kill) < until {
            match receiver.recv() {
                Ok(message) => ledger.enter(&message),
                Err(RecvError::PeerDied { .. }) => deaths += 1,
                Err(e) => panic!("{e}"),
            }
        }
        other.kill();
    }
    lasting.stop();
    let sent = loop {
        match receiver.recv() {
            Ok(message) => ledger.enter(&message),
            Err(RecvError::PeerDied { .. }) => deaths += 1,
            Err(RecvError::Disconnected) => break lasting.finish(),
            Err(e) => panic!("{e}"),
        }
    };
    assert_eq!(ledger.count(0), sent, "what was committed beside the dead");
    assert!((1..=KILLS).contains(&deaths), "{deaths} deaths told");
}
