//! `tidegate ls`, `clean` and `doctor`, on names whose holders live and whose holders were killed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate::{Channel, ShmMutex, ShmSemaphore};

/// Everything that `tidegate doctor` looks at.
const CHECKS: &str = "host directory, space for names, memory, open files, locked memory, CPUs, wake-ups, async waits, \
                      fork, /proc, stale names, perf counters";

/// A host directory that one test has to itself.
struct Host {
    directory: TempDir,
    _one_at_a_time: MutexGuard<'static, ()>,
}

impl Host {
    /// An empty one, which this process and its children use from now on.
    fn new() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        // A test that failed leaves nothing to the next but the turn.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap();
        // SAFETY: only this file's tests read and write the variable, in turn.
        unsafe { std::env::set_var("TIDEGATE_DIR", directory.path()) };
        Self { directory, _one_at_a_time: turn }
    }

    /// What a command that must succeed prints.
    fn text(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = tidegate(arguments).output().unwrap();
        assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    /// The entries of `ls --json`.
    fn entries(&self) -> Vec<Value> {
        let listed: Value = serde_json::from_str(&self.text(&["ls", "--json"])).unwrap();
        assert_eq!(listed["version"], 1);
        assert_eq!(listed["directory"], json!(self.directory.path()));
        listed["entries"].as_array().unwrap().clone()
    }

    /// The entry of a name, with the numbers that differ from machine to machine taken out.
    fn entry(&self, name: &str) -> Value {
        let mut entry = self.entries().into_iter().find(|entry| entry["name"] == name).unwrap();
        let file_bytes = entry.as_object_mut().unwrap().remove("file_bytes").unwrap();
        assert!(file_bytes.as_u64().unwrap() > 0, "{entry}");
        if let Some(resident_bytes) = entry.as_object_mut().unwrap().remove("resident_bytes") {
            assert!(resident_bytes.as_u64().unwrap() >= 4096, "{entry}");
        }
        entry
    }

    /// Leaves a name whose last holder was killed; yields that holder.
    fn stale(&self, name: &str) -> u32 {
        let channel = Channel::options().create(name).unwrap();
        let mut holder =
            tidegate(&["record", name, "-o", "/dev/null", "--seconds", "600"]).stdout(Stdio::null()).spawn().unwrap();
        while self.entry(name)["pids"].as_array().unwrap().len() < 2 {
            assert_eq!(holder.try_wait().unwrap(), None, "it has ended");
        }
        drop(channel);
        let held = json!({ "name": name, "state": "held", "kind": "channel", "pids": [holder.id()] });
        assert_eq!(self.entry(name), held);
        holder.kill().unwrap();
        holder.wait().unwrap();
        holder.id()
    }

    /// Findings of `doctor --json`, which must end with `code`, and what it says on stderr.
    fn findings(&self, code: i32) -> (Vec<Value>, String) {
        let Output { status, stdout, stderr } = tidegate(&["doctor", "--json"]).output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(code), "{stderr}");
        let report: Value = serde_json::from_slice(&stdout).unwrap();
        assert_eq!(report["version"], 1);
        (report["findings"].as_array().unwrap().clone(), stderr)
    }
}

fn tidegate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(arguments);
    command
}

fn find<'a>(findings: &'a [Value], check: &str) -> &'a Value {
    findings.iter().find(|finding| finding["check"] == check).unwrap()
}

#[test]
fn an_empty_directory_lists_nothing_and_has_nothing_to_clean() {
    let host = Host::new();
    let at = host.directory.path().display();
    assert_eq!(host.entries(), Vec::<Value>::new());
    assert_eq!(host.text(&["ls"]), format!("nothing in {at}\n"));
    assert_eq!(host.text(&["clean", "--yes"]), format!("0 names removed, 0 KiB, in {at}\n"));
}

#[test]
fn what_this_process_holds_is_listed_with_its_kind_and_its_pid() {
    let host = Host::new();
    let channel = Channel::options().create("orders").unwrap();
    let mutex = ShmMutex::create("totals", [0u64; 2]).unwrap();
    let semaphore = ShmSemaphore::create("scanners", 2).unwrap();
    let pid = std::process::id();
    let table = host.text(&["ls"]);
    for (name, kind) in [("orders", "channel"), ("totals", "mutex"), ("scanners", "semaphore")] {
        assert_eq!(host.entry(name), json!({ "name": name, "state": "held", "kind": kind, "pids": [pid] }));
        let row = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|row| row[0] == name);
        let [_, found, kib, who] = row.unwrap()[..] else { panic!("{table}") };
        assert_eq!((found, who), (kind, pid.to_string().as_str()), "{table}");
        assert!(kib.parse::<u64>().unwrap() >= 4, "{table}");
    }
    let names: Vec<_> = host.entries().iter().map(|entry| entry["name"].clone()).collect();
    assert_eq!(names, ["orders", "scanners", "totals"], "sorted, and no others");
    drop((channel, mutex, semaphore));
    assert_eq!(host.entries(), Vec::<Value>::new(), "a name goes with its last holder");
}

#[test]
fn a_name_whose_last_holder_was_killed_is_stale() {
    let host = Host::new();
    let dead = host.stale("orders");
    assert_eq!(host.entry("orders"), json!({ "name": "orders", "state": "stale", "pids": [dead] }));
    let table = host.text(&["ls"]);
    assert!(table.lines().any(|line| line.contains("stale") && line.contains(&format!("dead: {dead}"))), "{table}");
    let (findings, _) = host.findings(0);
    let told = find(&findings, "stale names");
    assert_eq!((&told["verdict"], &told["mend"]), (&json!("warn"), &json!("tidegate clean --yes")), "{told}");
}

#[test]
fn clean_removes_what_is_stale_once_it_is_told_to_and_nothing_else() {
    let host = Host::new();
    let at = |name: &str| host.directory.path().join(name);
    let _held = ShmMutex::create("totals", 7u64).unwrap();
    let dead = host.stale("orders");
    fs::write(at("notes.txt"), "not a name file").unwrap();
    fs::set_permissions(at("notes.txt"), Permissions::from_mode(0o600)).unwrap();
    fs::write(at(".hidden"), "nor this").unwrap();
    std::os::unix::fs::symlink(at("totals"), at("link")).unwrap();
    let before = host.entries();
    assert_eq!(before.len(), 4, "what cannot be a name is not listed: {before:?}");

    let said = host.text(&["clean"]);
    assert!(said.contains(&format!("would remove orders: every process that held it is dead ({dead})")), "{said}");
    assert!(said.contains("nothing was changed") && said.contains("clean --yes"), "{said}");
    assert_eq!(host.entries(), before);

    let said = host.text(&["clean", "--yes"]);
    assert!(said.contains("removed orders:") && !said.contains("totals"), "{said}");
    for foreign in ["notes.txt", "link"] {
        assert!(said.contains(&format!("left alone {foreign}:")), "{said}");
        assert_eq!(host.entries().iter().find(|entry| entry["name"] == foreign).unwrap()["state"], "foreign");
    }
    assert!(!at("orders").exists());
    assert_eq!(fs::read(at("notes.txt")).unwrap(), b"not a name file");
    assert!(at(".hidden").exists() && at("link").is_symlink());
    assert_eq!(*ShmMutex::<u64>::open("totals").unwrap().lock().unwrap(), 7, "what is held is found by its name");
    assert!(!host.text(&["clean"]).contains("orders"));
}

#[test]
fn the_doctor_finds_nothing_here_that_keeps_channels_from_working() {
    let (findings, _) = Host::new().findings(0);
    let checks: Vec<_> = findings.iter().map(|finding| finding["check"].as_str().unwrap()).collect();
    assert_eq!(checks.join(", "), CHECKS);
    assert!(
        findings.iter().all(|finding| finding["verdict"] == "pass" || finding["verdict"] == "warn"),
        "{findings:?}"
    );
    assert_eq!(find(&findings, "host directory")["verdict"], "pass");
}

#[test]
fn a_directory_that_others_may_write_to_is_refused_with_the_way_out() {
    let host = Host::new();
    fs::set_permissions(host.directory.path(), Permissions::from_mode(0o777)).unwrap();
    let (findings, stderr) = host.findings(3);
    assert!(stderr.starts_with("tidegate: 1 of 12 checks failed"), "{stderr}");
    let told = find(&findings, "host directory");
    assert_eq!(told["verdict"], "fail");
    assert!(told["found"].as_str().unwrap().contains("its mode is 777"), "{told}");
    assert_eq!(told["mend"], "export TIDEGATE_DIR=$(mktemp -d)");
    for arguments in [&["ls"][..], &["clean", "--yes"]] {
        let Output { status, stderr, .. } = tidegate(arguments).output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(3), "{arguments:?}: {stderr}");
        assert!(stderr.contains("chmod 700 it"), "{arguments:?}: {stderr}");
    }
}
