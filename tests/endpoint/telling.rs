//! What is told is what was seen and done.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use tidegate::inspect::{Address, Endpoint, Registry};

use crate::client::{Served, answer};

/// The value of a line of the exposition.
fn metric(text: &str, line: &str) -> Option<f64> {
    text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
}

#[test]
fn metrics_are_read_from_the_channel_itself() {
    let mut served = Served::new("orders \"big\"\\\n");
    (0..3).for_each(|_| served.sender.send(&[0; 100]).unwrap());
    drop(served.receiver.recv().unwrap());
    let text = served.get("/metrics").body;
    let label = r#"{channel="orders \"big\"\\\n""#;
    let of = |name: &str, more: &str| metric(&text, &format!("{name}{label}{more}}}"));
    assert_eq!(of("tidegate_sent_messages_total", ""), Some(3.0));
    assert_eq!(of("tidegate_received_messages_total", ""), Some(1.0));
    assert_eq!(of("tidegate_backlog_messages", ""), Some(2.0));
    assert_eq!(of("tidegate_endpoints", r#",role="sender""#), Some(1.0));
    assert_eq!(of("tidegate_capacity_bytes", ""), Some(4096.0));
    assert_eq!(of("tidegate_attended", ""), Some(1.0));
    assert_eq!(of("tidegate_wait_seconds_count", r#",role="receiver""#), Some(0.0));
    assert_eq!(of("tidegate_wait_seconds_bucket", r#",role="receiver",le="+Inf""#), Some(0.0));
}

#[test]
fn decisions_are_listed_newest_first_filtered_and_paged() {
    let mut served = Served::new("orders");
    (0..4).for_each(|_| served.overflow());
    let list = |query: &str| served.get(&format!("/decisions?{query}")).json();
    let ids = |list: &serde_json::Value| -> Vec<u64> {
        list["decisions"].as_array().unwrap().iter().map(|d| d["id"].as_u64().unwrap()).collect()
    };
    let all = list("");
    assert_eq!((&all["version"], &all["next"]), (&1.into(), &serde_json::Value::Null));
    let newest = served.agent.state().journal.lock().entered();
    assert_eq!(ids(&all), (1..=newest).rev().collect::<Vec<_>>());
    let mut paged = Vec::new();
    let mut page = list("limit=1");
    loop {
        paged.extend(ids(&page));
        let Some(next) = page["next"].as_str() else { break };
        page = list(&format!("limit=1&before={next}"));
    }
    assert_eq!(paged, ids(&all));
    assert!(ids(&list("channel=other")).is_empty());
    let grown = list("action=grow");
    assert!(!ids(&grown).is_empty() && grown["decisions"].as_array().unwrap().iter().all(|d| d["action"] == "grow"));
    let at_ms = all["decisions"][0]["at_unix_ms"].as_u64().unwrap();
    assert!(ids(&list(&format!("since_ms={}", at_ms + 1))).is_empty());
    assert_eq!(ids(&list(&format!("until_ms={at_ms}"))), ids(&all));
    for wrong in ["action=nonsense", "limit=many", "before=nonsense", "since_ms=-1"] {
        let answer = served.get(&format!("/decisions?{wrong}"));
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(answer.json()["error"].is_string());
    }
}

#[test]
fn a_decision_is_explained_and_one_that_is_not_there_is_an_error() {
    let mut served = Served::new("orders");
    served.overflow();
    let told = served.get("/explain?channel=orders&id=1");
    assert!(told.json()["explanation"].as_str().unwrap().starts_with("Decision 1 of channel orders."));
    assert_eq!(told.json()["decision"]["id"], 1);
    for path in ["/explain?channel=orders&id=99", "/explain?channel=other&id=1", "/history?channel=other", "/nowhere"] {
        let answer = served.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.json()["error"].is_string());
    }
    assert_eq!(served.get("/explain?channel=orders").status, 400);
    let at_ms = told.json()["decision"]["at_unix_ms"].as_u64().unwrap();
    let of_another_run = format!("/explain?channel=orders&id=1&at_unix_ms={}", at_ms + 1);
    assert_eq!(served.get(&of_another_run).status, 404);
    assert_eq!(served.get(&format!("/explain?channel=orders&id=1&at_unix_ms={at_ms}")).status, 200);
}

#[test]
fn decisions_of_controllers_elsewhere_are_shown_among_the_others() {
    let mut served = Served::new("orders");
    served.overflow();
    let mut elsewhere = served.agent.state().journal.lock().decisions().next().unwrap().clone();
    (elsewhere.channel, elsewhere.id) = ("prices".into(), 70);
    elsewhere.at_unix_ms += 1000;
    let mut of_another_boot = elsewhere.clone();
    (of_another_boot.at_ns, of_another_boot.at_unix_ms) = (u64::MAX, 1);
    served.registry.note(of_another_boot);
    served.registry.note(elsewhere.clone());
    elsewhere.sentence = "more is known".into();
    served.registry.note(elsewhere);
    let list = served.get("/decisions").json();
    assert_eq!(list["decisions"].as_array().unwrap().len() as u64, 2 + served.agent.state().journal.lock().entered());
    assert_eq!(list["decisions"].as_array().unwrap().iter().filter(|d| d["sentence"] == "more is known").count(), 1);
    let newest_first = list["decisions"].as_array().unwrap().iter().map(|d| d["at_unix_ms"].as_u64().unwrap());
    assert!(newest_first.is_sorted_by(|one, other| one >= other));
    assert_eq!(served.get("/decisions?limit=1").json()["decisions"][0]["sentence"], "more is known");
    assert_eq!(served.get("/explain?channel=prices&id=70").json()["decision"]["id"], 70);
}

#[test]
fn the_course_and_the_models_are_told() {
    let mut served = Served::new("orders");
    served.overflow();
    let course = served.get("/history?channel=orders&seconds=60&points=10").json();
    let points = &course["points"];
    let columns = points.as_object().unwrap().values().map(|column| column.as_array().unwrap().len());
    let lengths: Vec<usize> = columns.collect();
    assert!(lengths[0] > 0 && lengths.iter().all(|length| *length == lengths[0]), "{lengths:?}");
    assert!(points["backlog_bytes"].as_array().unwrap().iter().any(|bytes| bytes.as_u64().unwrap() > 2000));
    let models = served.get("/models").json();
    let model = &models["models"][0];
    assert_eq!((&model["channel"], &model["forecast"]), (&"orders".into(), &"blend".into()));
    let windows = model["realised"].as_array().unwrap().iter().map(|bin| bin["windows"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(windows, model["judged"].as_u64().unwrap());
}

#[test]
fn a_channel_that_was_let_go_is_shown_with_its_last_numbers() {
    let mut served = Served::new("orders");
    served.sender.send(b"last").unwrap();
    served.registry.let_go("orders");
    served.registry.let_go("never met");
    let channels = served.get("/channels").json();
    assert_eq!(
        (&channels["channels"][0]["state"], &channels["channels"][0]["sent_messages"]),
        (&"gone".into(), &1.into())
    );
    assert!(served.get("/metrics").body.contains("tidegate_attended{channel=\"orders\"} 0"));
}

#[test]
fn events_tell_a_decision_when_it_is_made_and_again_when_its_outcome_is_known() {
    let mut served = Served::new("orders");
    served.overflow();
    let mut stream = served.connect();
    write!(stream, "GET /events?channel=orders HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let course_was_told = Cell::new(false);
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let mut lines = lines.by_ref().inspect(|line| {
        if line == "event: points" {
            course_was_told.set(true);
        }
    });
    assert!(lines.any(|line| line == "event: channels"));
    served.overflow();
    let id = served.agent.state().journal.lock().entered();
    let mut told = |has_outcome: bool| {
        let decision = |line: String| serde_json::from_str::<serde_json::Value>(line.strip_prefix("data: ")?).ok();
        let is_it = |d: &serde_json::Value| d["id"] == id && d["outcome"].is_null() != has_outcome;
        lines.by_ref().filter_map(decision).any(|d| is_it(&d))
    };
    assert!(told(false));
    while served.agent.state().journal.lock().decision(id).unwrap().outcome.is_none() {
        served.agent.step();
    }
    assert!(told(true));
    assert!(course_was_told.get());
}

#[test]
fn the_page_is_readable_without_scripts_and_every_file_it_names_is_there() {
    let mut served = Served::new("<b>orders</b>");
    served.overflow();
    let page = served.get("/");
    assert!(page.head.contains("content-security-policy: default-src 'none'; script-src 'self'"), "{}", page.head);
    assert!(page.body.contains("&lt;b&gt;orders&lt;/b&gt;") && !page.body.contains("<b>orders</b>"));
    assert!(page.body.contains("Decision 1 of channel"));
    let named = page.body.split(['"', '\'']).filter(|part| part.starts_with("/assets/") || *part == "/favicon.svg");
    let named: Vec<&str> = named.collect();
    assert!(named.len() >= 4, "{named:?}");
    named.iter().for_each(|path| assert_eq!(served.get(path).status, 200, "{path}"));
}

#[test]
fn a_unix_socket_serves_the_same_and_is_gone_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tidegate.sock");
    let address: Address = format!("unix:{}", path.display()).parse().unwrap();
    let endpoint = Endpoint::serve(&address, Registry::default()).unwrap();
    assert!(Endpoint::serve(&address, Registry::default()).is_err(), "it is in use");
    let mut stream = UnixStream::connect(&path).unwrap();
    write!(stream, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(answer(&mut stream).body, "ok\n");
    drop(endpoint);
    assert!(!path.exists());
    // One that a dead process left is replaced.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    drop(Endpoint::serve(&address, Registry::default()).unwrap());
}

#[test]
fn it_listens_to_this_machine_alone() {
    let error = Endpoint::serve(&"0.0.0.0:0".parse().unwrap(), Registry::default()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!("nonsense".parse::<Address>().is_err());
}
