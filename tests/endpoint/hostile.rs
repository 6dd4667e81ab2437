//! What strangers on this machine can do to it: after each attempt it answers, and the channel is as it was.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::client::{Served, answer};

/// Connections that are opened and left silent.
const FLOOD: usize = 10_000;
/// Descriptors that the server, and all else, may have.
const KEPT_MAX: usize = 1000;
/// Descriptors that the test needs beside those.
const SPARE: u64 = 1000;

/// What traffic sees of a channel.
fn untouched(served: &mut Served) {
    served.sender.send(b"after").unwrap();
    assert_eq!(&*served.receiver.recv().unwrap(), b"after");
    assert_eq!(served.channel.view().ring_bytes(), 1 << 12);
    assert_eq!(served.get("/healthz").body, "ok\n");
}

#[test]
fn a_foreign_host_gets_nothing() {
    let mut served = Served::new("orders");
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "[::2]:80", "10.0.0.1"] {
        for path in ["/", "/metrics", "/decisions", "/events", "/assets/page.js", "/nowhere"] {
            let answer = served.ask("GET", path, host, "");
            assert_eq!(answer.status, 421, "{host} {path}");
            assert!(!answer.body.contains("orders"));
        }
    }
    untouched(&mut served);
}

#[test]
fn nothing_but_get_is_answered() {
    let mut served = Served::new("orders");
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "NONSENSE"] {
        let answer = served.ask(method, "/decisions", "localhost", "Content-Length: 0\r\n");
        assert_eq!(answer.status, 405, "{method}");
    }
    untouched(&mut served);
}

#[test]
fn no_path_leads_out() {
    let mut served = Served::new("orders");
    let paths = [
        "/../../etc/passwd",
        "/assets/../../../etc/passwd",
        "/assets/%2e%2e/%2e%2e/etc/passwd",
        "/assets/..%2f..%2fetc%2fpasswd",
        "//etc/passwd",
        "/assets/page.js%00.css",
        "/assets/",
    ];
    for path in paths {
        let answer = served.get(path);
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
        assert!(!answer.body.contains("root:"), "{path}");
    }
    untouched(&mut served);
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let mut served = Served::new("orders");
    let long = "x".repeat(1 << 20);
    assert_eq!(served.ask("GET", "/", "localhost", &format!("X-Long: {long}\r\n")).status, 431);
    assert!(matches!(served.get(&format!("/{long}")).status, 414 | 431));
    let many: String = (0..10_000).map(|n| format!("X-{n}: 1\r\n")).collect();
    assert_eq!(served.ask("GET", "/", "localhost", &many).status, 431);
    untouched(&mut served);
}

#[test]
fn rubbish_is_refused() {
    let mut served = Served::new("orders");
    let rubbish: [&[u8]; 5] = [
        b"\0\0\0\0",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost",
    ];
    for bytes in rubbish {
        let mut stream = served.connect();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let answer = answer(&mut stream);
        assert!(matches!(answer.status, 0 | 400), "{answer:?}");
    }
    untouched(&mut served);
}

#[test]
fn silent_connections_keep_nobody_out() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    setrlimit(Resource::Nofile, raised).unwrap();
    let at_once = limit.maximum.map_or(FLOOD, |most| (most.saturating_sub(SPARE) as usize).min(FLOOD));
    let mut served = Served::new("orders");
    let mut silent: Vec<TcpStream> = Vec::new();
    for opened in 0..FLOOD {
        if silent.len() == at_once {
            silent.clear();
        }
        silent.push(served.connect());
        if opened % 1000 == 0 {
            assert_eq!(served.get("/healthz").body, "ok\n", "beside {opened}");
        }
    }
    // Both ends are of this process: the server keeps few of its own.
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(open < silent.len() + KEPT_MAX, "{open} descriptors beside {} connections", silent.len());
    untouched(&mut served);
}

#[test]
fn slow_clients_hold_up_nobody_and_are_cut_off() {
    let mut served = Served::new("orders");
    let mut slow: Vec<TcpStream> = (0..50).map(|_| served.connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHo").unwrap();
    }
    // Others ask and do not read.
    let mut deaf: Vec<TcpStream> = (0..20).map(|_| served.connect()).collect();
    for stream in &mut deaf {
        stream.write_all(&b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100)).unwrap();
    }
    untouched(&mut served);
    for stream in &mut slow {
        // Ends with the server's patience, and not with a full answer.
        let answer = answer(stream);
        assert!(matches!(answer.status, 0 | 408), "{answer:?}");
    }
    untouched(&mut served);
}

#[test]
fn more_listeners_than_there_is_room_for_are_told() {
    let mut served = Served::new("orders");
    let mut listeners: Vec<TcpStream> = (0..40).map(|_| served.connect()).collect();
    let mut refused = 0;
    for stream in &mut listeners {
        stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        refused += usize::from(&head == b"HTTP/1.1 503");
    }
    assert_eq!(refused, 8);
    drop(listeners);
    untouched(&mut served);
}
