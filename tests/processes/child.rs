//! Child processes: how they are started, and what each role does.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use tidegate::Channel;
use tidegate::channel::{RecvError, SendError};

use crate::message::{self, Ledger};

/// Environment variable that makes this binary a child.
pub(crate) const ROLE: &str = "TIDEGATE_TEST_ROLE";

/// A child, killed when dropped. It stops what it does when told by `stop`.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: Option<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts this binary with a role on a channel.
    pub(crate) fn start(role: &str, channel: &str, producer: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("own path"))
            .env(ROLE, role)
            .env("TIDEGATE_TEST_CHANNEL", channel)
            .env("TIDEGATE_TEST_PRODUCER", producer.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("child starts");
        let input = child.stdin.take();
        let output = child.stdout.take().map(BufReader::new);
        Self { child, input, output }
    }

    /// The next line the child prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.as_mut().expect("piped").read_line(&mut line).expect("child's output");
        line.trim_end().to_owned()
    }

    /// Waits until the child has attached.
    pub(crate) fn wait_ready(&mut self) {
        assert_eq!(self.line(), "ready");
    }

    /// Tells the child to finish.
    pub(crate) fn stop(&mut self) {
        self.input.take();
    }

    /// The count the child prints at its end, after which it exits in good order.
    pub(crate) fn finish(mut self) -> u64 {
        self.stop();
        let count = self.line().parse().expect("a count");
        assert!(self.child.wait().expect("child ends").success());
        count
    }

    /// The child's output from here to its end, read while the child runs, so that it never waits for us.
    pub(crate) fn rest(&mut self) -> JoinHandle<String> {
        let mut output = self.output.take().expect("not read yet");
        std::thread::spawn(move || {
            let mut rest = String::new();
            output.read_to_string(&mut rest).expect("child's output");
            rest
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("signal");
    }

    /// How the child ended, once it has.
    pub(crate) fn status(&mut self) -> std::process::ExitStatus {
        self.child.wait().expect("child ends")
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("reaped");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _it_may_have_ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// What a child does, by role.
pub(crate) fn run(role: &str) {
    let channel = std::env::var("TIDEGATE_TEST_CHANNEL").expect("channel");
    let producer = std::env::var("TIDEGATE_TEST_PRODUCER").expect("producer").parse().expect("a number");
    match role {
        "hold" => hold(&channel),
        "send" => send(&channel, producer),
        "send_then_claim" => send_then_claim(&channel, producer),
        "receive" => receive(&channel),
        "receive_some" => receive_some(&channel),
        "receive_any" => receive_any(&channel),
        "receive_and_tell" => receive_and_tell(&channel),
        "sleep_with_receiver" => sleep_with_receiver(&channel),
        other => crate::guarded::run(other, &channel, producer),
    }
}

pub(crate) fn say(line: impl std::fmt::Display) {
    println!("{line}");
    std::io::stdout().flush().expect("parent reads");
}

/// True once the parent has closed our input.
pub(crate) fn stop_flag() -> &'static AtomicBool {
    static STOP: AtomicBool = AtomicBool::new(false);
    std::thread::spawn(|| {
        let _ends_at_the_parents_close = std::io::stdin().read_to_end(&mut Vec::new());
        STOP.store(true, Ordering::Relaxed);
    });
    &STOP
}

pub(crate) fn wait_for_stop() {
    let _ends_at_the_parents_close = std::io::stdin().read_to_end(&mut Vec::new());
}

/// Creates a channel and holds it.
fn hold(channel: &str) {
    let _channel = Channel::options().create(channel).expect("create");
    say("ready");
    wait_for_stop();
}

/// Sends until told to stop; prints how many.
fn send(channel: &str, producer: u64) {
    let channel = Channel::open(channel).expect("open");
    let mut sender = channel.sender().expect("sender");
    let stop = stop_flag();
    say("ready");
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        let len = message::len(producer, sent);
        match sender.claim(len) {
            Ok(mut claim) => {
                message::fill(&mut claim, producer, sent);
                claim.commit();
                sent += 1;
            }
            Err(SendError::PeerDied { .. }) => {}
            Err(e) => panic!("{e}"),
        }
    }
    say(sent);
}

/// Sends ten messages, claims an eleventh, and sleeps with the claim.
fn send_then_claim(channel: &str, producer: u64) {
    let channel = Channel::open(channel).expect("open");
    let mut sender = channel.sender().expect("sender");
    for sequence in 0..10 {
        let mut claim = sender.claim(message::len(producer, sequence)).expect("claim");
        message::fill(&mut claim, producer, sequence);
        claim.commit();
    }
    let mut claim = sender.claim(message::len(producer, 10)).expect("claim");
    message::fill(&mut claim, producer, 10);
    say("ready");
    wait_for_stop();
}

/// Receives until every sender has closed; prints how many, then a line for each producer.
fn receive(channel: &str) {
    let channel = Channel::open(channel).expect("open");
    let mut receiver = channel.receiver().expect("receiver");
    say("ready");
    let mut ledger = Ledger::default();
    let mut received = 0u64;
    loop {
        match receiver.recv() {
            Ok(message) => ledger.enter(&message),
            Err(RecvError::Disconnected) if received > 0 => break,
            // No sender yet.
            Err(RecvError::Disconnected) => continue,
            Err(e) => panic!("{e}"),
        }
        received += 1;
    }
    say(received);
    for producer in 0..2 {
        say(ledger.count(producer));
    }
    wait_for_stop();
}

/// Receives ten messages, takes an eleventh in hand, and sleeps with it.
fn receive_some(channel: &str) {
    let channel = Channel::open(channel).expect("open");
    let mut receiver = channel.receiver().expect("receiver");
    let mut ledger = Ledger::default();
    for _ in 0..10 {
        ledger.enter(&receiver.recv().expect("message"));
    }
    let in_hand = receiver.recv().expect("message");
    assert_eq!(message::check(&in_hand).1, 10);
    say("ready");
    wait_for_stop();
}

/// Receives ten messages of any senders, takes an eleventh in hand, and sleeps with it.
fn receive_any(channel: &str) {
    let channel = Channel::open(channel).expect("open");
    let mut receiver = channel.receiver().expect("receiver");
    for _ in 0..10 {
        message::check(&receiver.recv().expect("message"));
    }
    let _in_hand = receiver.recv().expect("message");
    say("ready");
    wait_for_stop();
}

/// Receives until every sender has closed; prints the number of each message before it releases it.
fn receive_and_tell(channel: &str) {
    let channel = Channel::open(channel).expect("open");
    let mut receiver = channel.receiver().expect("receiver");
    say("ready");
    loop {
        match receiver.recv() {
            Ok(message) => say(message::check(&message).1),
            Err(RecvError::Disconnected) => return,
            Err(RecvError::PeerDied { .. }) => {}
            Err(e) => panic!("{e}"),
        }
    }
}

/// Attaches the receiver and never receives.
fn sleep_with_receiver(channel: &str) {
    let channel = Channel::open(channel).expect("open");
    let _receiver = channel.receiver().expect("receiver");
    say("ready");
    wait_for_stop();
}
