//! A client without manners, and something to look at.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tidegate::control::{ControlAgent, ControllerOptions};
use tidegate::inspect::{Address, Endpoint, Registry};
use tidegate::{Channel, Receiver, Sender};

/// An endpoint, and a channel that it shows, whose controller has decided.
pub(crate) struct Served {
    pub(crate) registry: Registry,
    pub(crate) endpoint: Endpoint,
    pub(crate) agent: ControlAgent,
    pub(crate) channel: Channel,
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Served {
    pub(crate) fn new(name: &str) -> Self {
        let channel = Channel::options().ring_bytes(1 << 12).create_anonymous().unwrap();
        let (sender, receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        let agent = ControlAgent::new(&channel, name, ControllerOptions::default());
        let registry = Registry::default();
        registry.add(&channel, agent.state());
        let endpoint = Endpoint::serve(&"127.0.0.1:0".parse().unwrap(), registry.clone()).unwrap();
        Self { registry, endpoint, agent, channel, sender, receiver }
    }

    /// Has the controller decide something.
    pub(crate) fn overflow(&mut self) {
        let before = self.agent.state().journal.lock().entered();
        loop {
            while self.sender.try_send(&[0; 100]).is_ok() {}
            self.agent.step();
            while self.receiver.try_recv().is_ok() {}
            // Nothing is looked at after a decision, so that its outcome is not known yet.
            if self.agent.state().journal.lock().entered() > before {
                return;
            }
            self.agent.step();
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match self.endpoint.address() {
            Address::Tcp(address) => *address,
            other => panic!("not a port: {other}"),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "127.0.0.1:9464", "")
    }

    pub(crate) fn ask(&self, method: &str, path: &str, host: &str, more: &str) -> Answer {
        let mut stream = self.connect();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n");
        // Who answers before it has read all of it may close the connection over the rest.
        let _cut_short = stream.write_all(request.as_bytes());
        answer(&mut stream)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }
}

/// Reads to the end.
pub(crate) fn answer(stream: &mut impl Read) -> Answer {
    let mut bytes = Vec::new();
    let mut chunk = [0; 1 << 16];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("neither answered nor cut off")
            }
            // A connection that is reset after the answer has told it all the same.
            Err(_) => break,
        }
    }
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_ascii_lowercase(), body: body.into() }
}
