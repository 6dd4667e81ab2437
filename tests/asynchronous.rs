//! Endpoints in tasks: what holds for threads holds for them.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tidegate::channel::{RecvError, SendError};
use tidegate::{AsyncReceiver, AsyncSender, Channel};

const MESSAGES: u64 = 20_000;

fn channel() -> Channel {
    Channel::options().ring_bytes(1 << 12).create_anonymous().unwrap()
}

fn endpoints(channel: &Channel) -> (AsyncSender, AsyncReceiver) {
    (channel.sender().unwrap().into(), channel.receiver().unwrap().into())
}

async fn expect_all(receiver: &mut AsyncReceiver) {
    for i in 0..MESSAGES {
        assert_eq!(*receiver.recv().await.unwrap(), i.to_le_bytes());
    }
    assert_eq!(receiver.recv().await.unwrap_err(), RecvError::Disconnected);
}

#[tokio::test]
async fn tasks_of_one_thread_take_turns() {
    let channel = channel();
    let (mut sender, mut receiver) = endpoints(&channel);
    let sending = tokio::spawn(async move {
        for i in 0..MESSAGES {
            sender.send(&i.to_le_bytes()).await.unwrap();
        }
    });
    expect_all(&mut receiver).await;
    sending.await.unwrap();
    let view = channel.view();
    assert!(view.receiver_waits.waits > 0 && view.lanes[0].sender_waits.waits > 0, "both sides waited: {view:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_and_a_task_hear_each_other() {
    let channel = channel();
    let mut receiver = AsyncReceiver::from(channel.receiver().unwrap());
    let mut sender = channel.sender().unwrap();
    let sending = std::thread::spawn(move || (0..MESSAGES).for_each(|i| sender.send(&i.to_le_bytes()).unwrap()));
    expect_all(&mut receiver).await;
    sending.join().unwrap();

    let (mut sender, receiver) = endpoints(&self::channel());
    let mut receiver = receiver.into_inner();
    let receiving = std::thread::spawn(move || {
        for i in 0..MESSAGES {
            assert_eq!(*receiver.recv().unwrap(), i.to_le_bytes());
        }
    });
    for i in 0..MESSAGES {
        sender.send(&i.to_le_bytes()).await.unwrap();
    }
    receiving.join().unwrap();
}

#[tokio::test]
async fn a_sink_and_a_stream_carry_all_and_end() {
    let channel = channel();
    let (mut sender, receiver) = endpoints(&channel);
    let sending = tokio::spawn(async move {
        for i in 0..MESSAGES {
            sender.feed(i.to_le_bytes().to_vec()).await.unwrap();
        }
        sender.flush().await.unwrap();
    });
    let received: Vec<_> = receiver.map(|message| message.unwrap()).collect().await;
    sending.await.unwrap();
    assert_eq!(received.len() as u64, MESSAGES);
    assert!(received.iter().zip(0u64..).all(|(message, i)| *message == i.to_le_bytes()));
}

#[tokio::test]
async fn a_future_that_is_dropped_loses_nothing() {
    let channel = channel();
    let (mut sender, mut receiver) = endpoints(&channel);
    assert!(tokio::time::timeout(Duration::from_millis(1), receiver.recv()).await.is_err());
    let mut sent = 0u64;
    while tokio::time::timeout(Duration::from_millis(1), sender.send(&sent.to_le_bytes())).await.is_ok() {
        sent += 1;
    }
    for i in 0..sent {
        assert_eq!(*receiver.recv().await.unwrap(), i.to_le_bytes());
    }
    assert!(
        tokio::time::timeout(Duration::from_millis(1), receiver.recv()).await.is_err(),
        "what timed out was not sent"
    );
}

#[tokio::test]
async fn errors_are_those_of_threads() {
    let channel = channel();
    let (mut sender, receiver) = endpoints(&channel);
    assert!(matches!(sender.send(&[0; 5000]).await, Err(SendError::TooLong { bytes: 5000, .. })));
    assert!(matches!(SinkExt::send(&mut sender, vec![0; 5000]).await, Err(SendError::TooLong { bytes: 5000, .. })));
    drop(receiver);
    assert_eq!(sender.send(b"nobody").await, Err(SendError::Disconnected));
}

#[tokio::test]
async fn more_tasks_than_one_call_can_wait_for_are_all_woken() {
    const CHANNELS: usize = 150;
    let channels: Vec<_> = (0..CHANNELS).map(|_| channel()).collect();
    let mut senders: Vec<_> = channels.iter().map(|channel| channel.sender().unwrap()).collect();
    let tasks: Vec<_> = channels
        .iter()
        .map(|channel| {
            let mut receiver = AsyncReceiver::from(channel.receiver().unwrap());
            tokio::spawn(async move { receiver.recv().await.unwrap().to_vec() })
        })
        .collect();
    while channels.iter().any(|channel| channel.view().receiver_waits.waits == 0) {
        tokio::task::yield_now().await;
    }
    for (sender, i) in senders.iter_mut().zip(0u64..) {
        sender.send(&i.to_le_bytes()).unwrap();
    }
    for (task, i) in tasks.into_iter().zip(0u64..) {
        assert_eq!(task.await.unwrap(), i.to_le_bytes());
    }
}

#[tokio::test]
async fn a_future_that_is_dropped_waits_no_more() {
    let channel = channel();
    let (mut sender, mut receiver) = endpoints(&channel);
    assert!(tokio::time::timeout(Duration::from_millis(1), receiver.recv()).await.is_err());
    while tokio::time::timeout(Duration::from_millis(1), sender.send(&[0; 1000])).await.is_ok() {}
    for waits in [channel.view().receiver_waits, channel.view().lanes[0].sender_waits.clone()] {
        assert_eq!((waits.waits, waits.histogram.iter().sum()), (1, 1), "it has ended");
    }
}

struct PanickingTask;

impl std::task::Wake for PanickingTask {
    fn wake(self: std::sync::Arc<Self>) {
        panic!("this task's executor has a fault");
    }
}

#[tokio::test]
async fn a_waker_that_panics_takes_no_other_task_with_it() {
    let (faulty, sound) = (channel(), channel());
    let (mut faulty_sender, mut faulty_receiver) = endpoints(&faulty);
    let task = std::sync::Arc::new(PanickingTask).into();
    let mut receiving = std::pin::pin!(faulty_receiver.recv());
    assert!(receiving.as_mut().poll(&mut std::task::Context::from_waker(&task)).is_pending());
    faulty_sender.send(b"wakes it").await.unwrap();
    let (mut sender, mut receiver) = endpoints(&sound);
    let sending = tokio::spawn(async move {
        for i in 0..MESSAGES {
            sender.send(&i.to_le_bytes()).await.unwrap();
        }
    });
    expect_all(&mut receiver).await;
    sending.await.unwrap();
}

#[tokio::test]
async fn a_loop_of_another_kind_is_woken_for_what_it_then_receives() {
    let channel = channel();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    let sending = std::thread::spawn(move || {
        for i in 0..MESSAGES {
            sender.send(&i.to_le_bytes()).unwrap();
        }
        sender
    });
    for i in 0..MESSAGES {
        loop {
            if let Ok(message) = receiver.try_recv() {
                assert_eq!(*message, i.to_le_bytes());
                break;
            }
            std::future::poll_fn(|context| receiver.poll_ready(context)).await;
        }
    }
    // With nothing there it is woken all the same, to look who has died.
    let mut polls = 0;
    std::future::poll_fn(|context| {
        polls += 1;
        if polls > 1 { std::task::Poll::Ready(()) } else { receiver.poll_ready(context) }
    })
    .await;
    assert_eq!(polls, 2);
    drop(sending.join().unwrap());
}
