//! `tidegate control` and `explain`: a channel that nobody looks after, and a controller that is killed over it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tidegate::Channel;
use tidegate::control::{Action, read_journal};

/// Longest that anything may take here.
const PATIENCE: Duration = Duration::from_secs(60);

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _reaped_already = self.0.wait();
    }
}

fn tidegate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(arguments);
    command
}

fn control(journal: &Path) -> Killed {
    let mut command = tidegate(&["control", "--journal", journal.to_str().unwrap()]);
    Killed(command.stdout(Stdio::null()).spawn().unwrap())
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_channel_is_looked_after_and_taken_over_from_a_controller_that_was_killed() {
    let directory = tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap();
    // SAFETY: the only test of this file, and no other thread runs yet.
    unsafe { std::env::set_var("TIDEGATE_DIR", directory.path()) };
    let journals = tempfile::tempdir().unwrap();
    let [first, second] = ["first.jsonl", "second.jsonl"].map(|name| journals.path().join(name));
    let channel = Channel::options().ring_bytes(1 << 13).create("looked-after").unwrap();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    let mut overflow = || {
        while sender.try_send(&[0; 500]).is_ok() {}
        std::thread::sleep(Duration::from_millis(1));
        while receiver.try_recv().is_ok() {}
    };
    let changed = |path: &Path| {
        let read = read_journal(path).unwrap_or_default();
        read.decisions.iter().any(|decision| decision.action != Action::Hold && decision.outcome.is_some())
    };
    let dying = control(&first);
    until("the first decides", || {
        overflow();
        changed(&first)
    });
    assert!(channel.try_steer().is_err(), "it has the channel");
    let heir = control(&second);
    drop(dying);
    until("the second takes over", || {
        channel.try_steer().is_err_and(|steered| steered.pid == heir.0.id()) || {
            overflow();
            false
        }
    });
    drop(heir);
    let told = |arguments: &[&str]| {
        let journal = ["--journal", first.to_str().unwrap()];
        let output = tidegate(&["explain"]).args(journal).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (_, list, _) = told(&[]);
    let id = list.lines().find(|line| line.contains("Grew the rings")).unwrap().split('\t').next().unwrap();
    let (code, paragraph, _) = told(&[id]);
    assert_eq!(code, Some(0));
    assert!(paragraph.contains("of channel looked-after. Grew the rings from "), "{paragraph}");
    assert!(["Seen:", "Predicted", "Weighed:"].iter().all(|part| paragraph.contains(part)), "{paragraph}");
    let (code, json, _) = told(&[id, "--json"]);
    assert_eq!((code, json.lines().count()), (Some(0), 1));
    let told_as_json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&told_as_json["version"], &told_as_json["decision"]["channel"]), (&1.into(), &"looked-after".into()));
    let (code, _, why) = told(&["1000000"]);
    assert_eq!(code, Some(2), "{why}");
    let (code, _, why) = told(&[id, "--channel", "another"]);
    assert_eq!(code, Some(2), "{why}");
}
