//! `tidegate serve`, `top`, `inspect` and `config`: what is seen of channels that others use, hang over, or have died over.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;

/// Longest that anything may take here.
const PATIENCE: Duration = Duration::from_secs(60);
const DECISION: &str = include_str!("decision.jsonl");

/// A host directory, and a home, of its own.
struct Host {
    directory: TempDir,
}

/// A process with all that it started; gone with this.
struct Group(Child);

impl Group {
    fn signal(&self, signal: Signal) {
        kill_process_group(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _gone_already = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _reaped_already = self.0.wait();
    }
}

impl Host {
    fn new() -> Self {
        Self { directory: tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(arguments).current_dir(self.directory.path()).process_group(0);
        command.env("TIDEGATE_DIR", self.path("channels")).env("HOME", self.directory.path());
        for name in ["XDG_CONFIG_HOME", "TIDEGATE_CONFIG", "TIDEGATE_PROFILE", "TIDEGATE_LISTEN"] {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let Output { status, stdout, stderr } = self.run(arguments);
        assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
        serde_json::from_slice(&stdout).unwrap()
    }

    /// Starts `arguments` and yields where it serves.
    fn serve(&self, arguments: &[&str]) -> (Group, String) {
        let mut command = self.command(arguments);
        let mut child = Group(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
        let mut lines = BufReader::new(child.0.stderr.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.split_once("http://").map(|(_, address)| address.to_owned())).unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        (child, address)
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

fn channel(address: &str) -> Value {
    let channels: Value = serde_json::from_str(&get(address, "/channels")).unwrap();
    channels["channels"][0].clone()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn complaint(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn serve_shows_channels_whose_processes_work_hang_and_are_dead() {
    let host = Host::new();
    let (demo, _) = host.serve(&["demo", "--port", "0", "--seconds", "300"]);
    let (_server, address) = host.serve(&["serve", "--listen", "127.0.0.1:0"]);
    let sent = || channel(&address)["sent_messages"].as_u64().unwrap_or(0);
    until("messages", || sent() > 0);
    let name = channel(&address)["name"].as_str().unwrap().to_owned();
    assert!(name.starts_with("demo-") && name.ends_with("-adaptive"));
    let row = host.json(&["inspect", &name, "--json", "--seconds", "0.3"]);
    assert_eq!((&row["version"], &row["channel"]["name"]), (&1.into(), &name.clone().into()));
    assert!(row["channel"]["sent_messages"].as_u64().unwrap() > 0);
    let top = host.json(&["top", "--json"]);
    assert_eq!((&top["version"], &top["channels"][0]["name"]), (&1.into(), &name.clone().into()));

    demo.signal(Signal::STOP);
    let mut stopped = 0;
    until("an end of what was under way", || std::mem::replace(&mut stopped, sent()) == sent());
    assert_eq!(channel(&address)["state"], "live", "stopped processes live");
    let metric = format!("tidegate_sent_messages_total{{channel=\"{name}\"}} {stopped}");
    assert!(get(&address, "/metrics").contains(&metric));

    demo.signal(Signal::KILL);
    until("that they are missed", || channel(&address)["state"] == "gone");
    assert_eq!(sent(), stopped);
    until("that it is let go", || host.run(&["inspect", &name, "--seconds", "0.01"]).status.code() == Some(3));
}

#[test]
fn serve_shows_the_decisions_of_a_journal_as_they_are_written() {
    let host = Host::new();
    let journal = host.path("journal.jsonl");
    std::fs::write(&journal, DECISION).unwrap();
    let (server, address) = host.serve(&["serve", "--listen", "127.0.0.1:0", "--journal", "journal.jsonl"]);
    let listed = || -> Value { serde_json::from_str(&get(&address, "/decisions")).unwrap() };
    until("the first", || listed()["decisions"][0]["id"] == 1);
    let mut second: Value = serde_json::from_str(DECISION).unwrap();
    second["id"] = 2.into();
    second["at_ns"] = (second["at_ns"].as_u64().unwrap() + 1).into();
    std::fs::write(&journal, format!("{DECISION}{second}\n")).unwrap();
    until("the second", || listed()["decisions"][0]["id"] == 2);
    assert!(get(&address, "/explain?channel=orders&id=2").contains("Decision 2 of channel orders."));
    drop(server);
    assert!(complaint(&host.run(&["serve", "--listen", "127.0.0.1:0", "--journal", "."]), 3).contains("cannot read"));
}

#[test]
fn a_place_that_is_taken_or_open_to_others_is_refused() {
    let host = Host::new();
    let (_server, address) = host.serve(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(complaint(&host.run(&["serve", "--listen", &address]), 3).contains("--listen"));
    assert!(complaint(&host.run(&["serve", "--listen", "0.0.0.0:0"]), 3).contains("other machines"));
    assert!(complaint(&host.run(&["serve", "--listen", "nonsense"]), 2).contains("unix:PATH"));
}

#[test]
fn flags_beat_the_environment_which_beats_the_file_which_beats_the_defaults() {
    let host = Host::new();
    let show = |variables: &[(&str, &str)], flags: &[&str]| {
        let mut command = host.command(&["config", "show", "--json"]);
        let Output { status, stdout, stderr } = command.args(flags).envs(variables.iter().copied()).output().unwrap();
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        serde_json::from_slice::<Value>(&stdout).unwrap()["settings"].clone()
    };
    let is = |settings: &Value, name: &str, value: Value, source: &str| {
        assert_eq!(settings[name]["value"], value);
        assert!(settings[name]["source"].as_str().unwrap().ends_with(source), "{settings}");
    };
    is(&show(&[], &[]), "profile", "balanced".into(), "default");
    let file = host.path(".config/tidegate/config.toml");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "profile = \"latency\"\nbudget_mib = 64\n").unwrap();
    is(&show(&[], &[]), "profile", "latency".into(), "tidegate/config.toml");
    is(&show(&[], &[]), "budget_mib", 64.into(), "tidegate/config.toml");
    let variables = [("TIDEGATE_PROFILE", "efficient")];
    is(&show(&variables, &[]), "profile", "efficient".into(), "TIDEGATE_PROFILE");
    is(&show(&variables, &["--profile", "balanced"]), "profile", "balanced".into(), "flag");
    is(&show(&variables, &["--profile", "balanced"]), "budget_mib", 64.into(), "config.toml");
}

#[test]
fn a_setting_that_makes_no_sense_is_named() {
    let host = Host::new();
    let refused = |text: &str, hint: &str| {
        let file = host.path("other.toml");
        std::fs::write(&file, text).unwrap();
        let output = host.command(&["config", "show"]).env("TIDEGATE_CONFIG", &file).output().unwrap();
        let said = complaint(&output, 2);
        assert!(said.contains(hint), "{text}: {said}");
    };
    refused("profle = \"latency\"\n", "profle");
    refused("profile = \"fast\"\n", "fast");
    refused("budget_mib = 0\n", "budget_mib");
    refused("budget_mib = \"much\"\n", "budget_mib");
    refused("listen = 7\n", "listen");
    refused("profile =\n", "other.toml");
    let output = host.command(&["config", "show"]).env("TIDEGATE_CONFIG", "/nowhere.toml").output().unwrap();
    assert!(complaint(&output, 2).contains("/nowhere.toml"));
}

#[test]
fn shells_and_manuals_know_every_command() {
    let host = Host::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let completions = String::from_utf8(host.run(&["completions", shell]).stdout).unwrap();
        ["serve", "top", "inspect", "explain"].iter().for_each(|name| assert!(completions.contains(name), "{shell}"));
        assert!(!completions.contains("demo-child"), "{shell}: hidden commands stay hidden");
    }
    assert!(host.run(&["man", "pages"]).status.success());
    let page = |name: &str| std::fs::read_to_string(Path::new(&host.path("pages")).join(name)).unwrap();
    assert!(page("tidegate.1").contains("tidegate\\-serve(1)"));
    assert!(page("tidegate-serve.1").contains("\\-\\-listen"));
}

#[test]
fn top_needs_a_terminal() {
    let host = Host::new();
    assert!(complaint(&host.run(&["top"]), 2).contains("--json"));
}
