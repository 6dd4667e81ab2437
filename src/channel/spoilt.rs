//! A lane that some process has spoilt keeps nobody from the others.

use crate::channel::{Channel, ChannelError, RecvError, TryRecvError};
use crate::prim::Ordering::Relaxed;

const NO_HEADER: u64 = 77;

#[test]
fn a_sender_takes_the_next_lane() {
    let channel = Channel::options().senders_max(2).create_anonymous().unwrap();
    drop(channel.sender().unwrap());
    channel.core.lane(0).unwrap().producing.cursor.store(NO_HEADER, Relaxed);
    let mut sender = channel.sender().unwrap();
    sender.send(b"by lane 1").unwrap();
    assert!(matches!(channel.sender(), Err(ChannelError::Corrupt { lane: 0, .. })), "there is no other");
    assert_eq!(*channel.receiver().unwrap().recv().unwrap(), *b"by lane 1");
}

#[test]
fn a_receiver_hears_the_others() {
    let channel = Channel::options().senders_max(2).create_anonymous().unwrap();
    let (mut spoilt, mut sound) = (channel.sender().unwrap(), channel.sender().unwrap());
    let mut receiver = channel.receiver().unwrap();
    spoilt.send(b"fine").unwrap();
    assert_eq!(*receiver.recv().unwrap(), *b"fine");
    let end = channel.view().lanes[0].sent_bytes;
    let next = channel.ring_bytes() + end;
    channel.core.area(0).unwrap().word(next as usize).store(NO_HEADER, Relaxed);
    for _ in 0..3 {
        sound.send(b"sound").unwrap();
    }
    let outcomes: Vec<_> = (0..6).map(|_| receiver.try_recv().map(|message| message.to_vec())).collect();
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Ok(message) if message == b"sound")).count(), 3);
    let corrupt =
        |outcome: &&Result<_, _>| matches!(outcome, Err(TryRecvError::Corrupt { lane: 0, word: NO_HEADER, .. }));
    assert_eq!(outcomes.iter().filter(corrupt).count(), 1, "told once: {outcomes:?}");
    drop((spoilt, sound));
    assert_eq!(receiver.recv().unwrap_err(), RecvError::Disconnected);
}

#[test]
fn a_lane_that_was_never_used_is_passed_over_by_both_sides() {
    let channel = Channel::options().senders_max(3).create_anonymous().unwrap();
    let _first = channel.sender().unwrap();
    let mut receiver = channel.receiver().unwrap();
    channel.core.lane(1).unwrap().producing.cursor.store(NO_HEADER, Relaxed);
    let mut second = channel.sender().unwrap();
    second.send(b"by lane 2").unwrap();
    assert!(matches!(receiver.try_recv().unwrap_err(), TryRecvError::Corrupt { lane: 1, .. }));
    assert_eq!(*receiver.recv().unwrap(), *b"by lane 2");
    drop(receiver);
    let mut receiver = channel.receiver().unwrap();
    second.send(b"again").unwrap();
    assert!(matches!(receiver.try_recv().unwrap_err(), TryRecvError::Corrupt { lane: 1, .. }));
    assert_eq!(*receiver.recv().unwrap(), *b"again");
}

#[test]
fn a_lane_that_could_not_be_read_is_not_written() {
    let channel = Channel::options().senders_max(2).create_anonymous().unwrap();
    drop(channel.sender().unwrap());
    channel.core.lane(0).unwrap().consumer().cursor.store(NO_HEADER, Relaxed);
    let mut sender = channel.sender().unwrap();
    sender.send(b"by lane 1").unwrap();
    let mut receiver = channel.receiver().unwrap();
    assert!(matches!(receiver.try_recv().unwrap_err(), TryRecvError::Corrupt { lane: 0, .. }));
    assert_eq!(*receiver.recv().unwrap(), *b"by lane 1");
}
