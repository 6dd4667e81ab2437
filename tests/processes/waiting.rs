//! Wait strategies and deadlines between processes.

use std::time::Duration;

use rustix::process::Signal;
use tidegate::channel::{RecvError, SendError};
use tidegate::{Channel, WaitStrategy};

use crate::child::Process;
use crate::message::{self, Ledger};

pub(crate) fn strategies_switch_under_traffic() {
    let channel = Channel::options().ring_bytes(1 << 12).create("waiting").expect("create");
    let mut consumer = Process::start("receive", "waiting", 0);
    consumer.wait_ready();
    let mut producer = Process::start("send", "waiting", 0);
    producer.wait_ready();
    let strategies = [
        WaitStrategy::Spin,
        WaitStrategy::Park,
        WaitStrategy::SpinYield,
        WaitStrategy::SpinPark { budget_ns: 1_000 },
        WaitStrategy::Park,
    ];
    for round in 0..100 {
        let strategy = strategies[round % strategies.len()];
        channel.set_wait_strategy(strategy);
        assert_eq!(channel.wait_strategy(), strategy);
        // Traffic goes on under each. (That no wake-up is lost is for the unit tests, which do not heal one.)
        let before = channel.view().lanes[0].received_messages;
        while channel.view().lanes[0].received_messages < before + 100 {
            std::thread::yield_now();
        }
    }
    let sent = producer.finish();
    assert_eq!(consumer.line().parse::<u64>().expect("a count"), sent);
}

pub(crate) fn a_deadline_is_a_stall_and_not_a_death() {
    let options = Channel::options().ring_bytes(1 << 12).message_bytes_max(message::BYTES_MAX as u32);
    let channel = options.create("stall").expect("create");
    let mut sleeper = Process::start("sleep_with_receiver", "stall", 0);
    sleeper.wait_ready();
    let mut sender = channel.sender().expect("sender");
    sleeper.signal(Signal::STOP);
    let mut sent = 0;
    let error = loop {
        let mut bytes = vec![0; message::len(7, sent)];
        message::fill(&mut bytes, 7, sent);
        match sender.send_timeout(&bytes, Duration::from_millis(100)) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, SendError::Stalled);
    sleeper.signal(Signal::CONT);
    // Nothing was stolen from the stopped process: it still is the receiver.
    assert_eq!(channel.view().receiver_pids, [sleeper.pid()]);
    assert!(channel.receiver().is_err());
    sleeper.kill();
    let mut receiver = channel.receiver().expect("the place of the dead is free");
    let mut ledger = Ledger::default();
    (0..sent).for_each(|_| ledger.enter(&receiver.recv().expect("message")));
    let error = receiver.recv_timeout(Duration::from_millis(1)).expect_err("empty");
    assert_eq!(error, RecvError::Stalled);
}
