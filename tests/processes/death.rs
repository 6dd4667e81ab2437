//! Processes that are killed.

use tidegate::ShmError;
use tidegate::channel::{ChannelError, RecvError, SendError};
use tidegate::{AsyncReceiver, Channel};

use crate::child::Process;
use crate::message::{self, Ledger};

pub(crate) fn a_killed_sender_leaves_exactly_what_it_committed() {
    let channel = Channel::options().create("killed-sender").expect("create");
    let mut receiver = channel.receiver().expect("receiver");
    for producer in 0..3 {
        let mut sender = Process::start("send_then_claim", "killed-sender", producer);
        sender.wait_ready();
        let pid = sender.pid();
        sender.kill();
        let mut ledger = Ledger::default();
        for _ in 0..10 {
            ledger.enter(&receiver.recv().expect("committed before the death"));
        }
        assert_eq!(ledger.count(producer), 10);
        assert_eq!(receiver.recv().expect_err("the eleventh was not committed"), RecvError::PeerDied { pid });
        assert_eq!(receiver.recv().expect_err("told once"), RecvError::Disconnected);
    }
    // Each successor took over the lane of the dead.
    assert_eq!(channel.view().lanes.len(), 1);
}

pub(crate) fn a_task_hears_of_a_death() {
    let channel = Channel::options().create("task").expect("create");
    let mut receiver = AsyncReceiver::from(channel.receiver().expect("receiver"));
    let mut sender = Process::start("send_then_claim", "task", 0);
    sender.wait_ready();
    let pid = sender.pid();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    runtime.block_on(async {
        for _ in 0..10 {
            message::check(&receiver.recv().await.expect("committed before the death"));
        }
        sender.kill();
        assert_eq!(receiver.recv().await.expect_err("nothing more was committed"), RecvError::PeerDied { pid });
    });
}

pub(crate) fn who_waits_again_and_again_hears_of_a_death() {
    let channel = Channel::options().create("impatient").expect("create");
    let mut receiver = channel.receiver().expect("receiver");
    for is_task in [false, true] {
        let mut sender = Process::start("send_then_claim", "impatient", 0);
        sender.wait_ready();
        for _ in 0..10 {
            message::check(&receiver.recv().expect("committed before the death"));
        }
        sender.kill();
        let patience = std::time::Duration::from_millis(2);
        let error = if is_task {
            let mut task = AsyncReceiver::from(receiver);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("runtime");
            let error = runtime.block_on(async {
                loop {
                    if let Ok(outcome) = tokio::time::timeout(patience, task.recv()).await {
                        break outcome.expect_err("nothing more was committed");
                    }
                }
            });
            receiver = task.into_inner();
            error
        } else {
            loop {
                match receiver.recv_timeout(patience).expect_err("nothing more was committed") {
                    RecvError::Stalled => {}
                    error => break error,
                }
            }
        };
        assert_eq!(error, RecvError::PeerDied { pid: sender.pid() });
    }
}

pub(crate) fn a_killed_receiver_is_reported_and_replaced() {
    let options = Channel::options().ring_bytes(1 << 15).message_bytes_max(message::BYTES_MAX as u32);
    let channel = options.create("killed-receiver").expect("create");
    let mut sender = channel.sender().expect("sender");
    let mut sent = 0;
    let mut send = |sender: &mut tidegate::Sender, sequence: u64| {
        let mut claim = sender.claim(message::len(3, sequence))?;
        message::fill(&mut claim, 3, sequence);
        claim.commit();
        sent = sequence + 1;
        Ok::<(), SendError>(())
    };
    let mut process = Process::start("receive_some", "killed-receiver", 0);
    for sequence in 0..20 {
        send(&mut sender, sequence).expect("room for twenty");
    }
    process.wait_ready();
    let pid = process.pid();
    process.kill();
    let error = (20..).find_map(|sequence| send(&mut sender, sequence).err()).expect("it fills");
    assert_eq!(error, SendError::PeerDied { pid });
    let mut receiver = channel.receiver().expect("the place is free");
    // The eleventh was in the dead receiver's hand, not released: it comes again.
    for sequence in 10..sent {
        let message = receiver.recv().expect("message");
        assert_eq!(message::check(&message), (3, sequence));
    }
}

pub(crate) fn a_name_is_free_again_when_its_holder_is_killed() {
    let mut holder = Process::start("hold", "orphan", 0);
    holder.wait_ready();
    let pid = holder.pid();
    let refused = Channel::options().create("orphan").expect_err("in use");
    assert!(matches!(refused, ChannelError::Shm(ShmError::NameInUse { pid: p, .. }) if p == pid), "{refused}");
    let opened = Channel::open("orphan").expect("open");
    holder.kill();
    // Our handle keeps the channel alive, and findable, past its creator.
    assert!(Channel::names().expect("names").contains(&"orphan".to_owned()));
    drop(Channel::open("orphan").expect("open through another holder"));
    drop(opened);
    assert!(!Channel::names().expect("names").contains(&"orphan".to_owned()));
    let error = Channel::open("orphan").expect_err("gone");
    assert!(matches!(error, ChannelError::Shm(ShmError::NotFound { .. })), "{error}");
    Channel::options().create("orphan").expect("free again");
}

pub(crate) fn senders_killed_at_random_lose_nothing_committed() {
    let options = Channel::options().ring_bytes(1 << 13).message_bytes_max(message::BYTES_MAX as u32);
    let channel = options.create("random-kills").expect("create");
    let mut receiver = channel.receiver().expect("receiver");
    for producer in 0..20 {
        let mut sender = Process::start("send", "random-kills", producer);
        sender.wait_ready();
        let mut ledger = Ledger::default();
        let until = message::mix(producer) % 3000;
        for _ in 0..until {
            ledger.enter(&receiver.recv().expect("message"));
        }
        channel.resize(1 << (12 + producer % 6)).expect("resize");
        sender.kill();
        let death = loop {
            match receiver.recv() {
                Ok(message) => ledger.enter(&message),
                Err(error) => break error,
            }
        };
        assert_eq!(death, RecvError::PeerDied { pid: sender.pid() });
        let lane = &channel.view().lanes[0];
        assert_eq!(lane.sent_bytes.max(lane.received_bytes), lane.received_bytes, "nothing is left behind");
    }
    assert_eq!(channel.view().lanes.len(), 1);
}
