//! The paths of a message, each in a function of its own, for `cargo xtask paths` to count their instructions.

use std::hint::black_box;

use tidegate::{Channel, Receiver, Sender};

/// Messages that each call of a path handles.
const MESSAGES: usize = 1000;
/// Calls of each path.
const CALLS: usize = 10;
const BATCH: usize = 10;

fn main() -> anyhow::Result<()> {
    let channel = Channel::options().ring_bytes(1 << 17).create_anonymous()?;
    let (mut sender, mut receiver) = (channel.sender()?, channel.receiver()?);
    for _ in 0..CALLS {
        path_send(&mut sender)?;
        path_receive(&mut receiver)?;
        path_send_batch(&mut sender)?;
        path_receive_batch(&mut receiver)?;
    }
    println!("{}", CALLS * MESSAGES);
    Ok(())
}

/// Claims, fills and commits.
#[inline(never)]
fn path_send(sender: &mut Sender) -> anyhow::Result<()> {
    for i in 0..MESSAGES as u64 {
        let mut claim = sender.claim(8)?;
        claim.copy_from_slice(&i.to_ne_bytes());
        claim.commit();
    }
    Ok(())
}

/// Receives, reads and releases.
#[inline(never)]
fn path_receive(receiver: &mut Receiver) -> anyhow::Result<()> {
    for _ in 0..MESSAGES {
        black_box(receiver.recv()?[0]);
    }
    Ok(())
}

#[inline(never)]
fn path_send_batch(sender: &mut Sender) -> anyhow::Result<()> {
    for _ in 0..MESSAGES / BATCH {
        sender.send_batch([[0u8; 8]; BATCH])?;
    }
    Ok(())
}

#[inline(never)]
fn path_receive_batch(receiver: &mut Receiver) -> anyhow::Result<()> {
    for _ in 0..MESSAGES / BATCH {
        let batch = receiver.recv_batch(BATCH)?;
        batch.iter().for_each(|message| {
            black_box(message[0]);
        });
    }
    Ok(())
}
