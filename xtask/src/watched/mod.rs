//! A demo that runs, watched as an operator would: in a browser, by Prometheus, in a terminal.

pub(crate) mod page;
pub(crate) mod prometheus;
pub(crate) mod terminal;

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Cargo, cargo};

/// Longest that anything may take here.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) type Outcome = Result<(), Box<dyn Error>>;

/// The exit code for what came of it.
pub(crate) fn code(outcome: Outcome) -> u8 {
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

/// Whether a program is there and runs.
pub(crate) fn has(program: &str, argument: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(argument).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A process that does not outlive this.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _reaped_already = self.0.wait();
    }
}

/// `tidegate demo`, and where it serves.
struct Demo {
    child: Ended,
    address: String,
    _picture: tempfile::TempDir,
}

impl Demo {
    /// Starts one whose runs take so many seconds each; its channel has decided something when this returns.
    fn start(seconds: u32, more: &[&str]) -> Result<Self, Box<dyn Error>> {
        let picture = tempfile::tempdir()?;
        let mut command = Command::new(command()?);
        command.args(["demo", "--json", "--port", "0", "--seconds", &seconds.to_string()]).args(more);
        command
            .arg("--picture")
            .arg(picture.path().join("demo.svg"))
            .current_dir(root())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = Ended(command.spawn()?);
        let errors = BufReader::new(child.0.stderr.take().ok_or("no standard error")?);
        let mut lines = errors.lines().map_while(Result::ok);
        let told = lines.find_map(|line| line.strip_prefix("watch it on http://").map(str::to_owned));
        let address = told.ok_or("the demo did not say where it serves")?;
        // What it says later goes nowhere, and must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, address, _picture: picture })
    }

    fn pid(&self) -> u32 {
        self.child.0.id()
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    fn json(&self, path: &str) -> Result<serde_json::Value, Box<dyn Error>> {
        Ok(serde_json::from_str(&get(&self.address, path)?)?)
    }

    /// The first channel that the demo runs.
    fn channel(&self) -> Result<serde_json::Value, Box<dyn Error>> {
        let channels = self.json("/channels")?;
        let mut channel = channels["channels"].as_array().and_then(|all| all.first()).cloned().unwrap_or_default();
        channel["now_ms"] = channels["now_ms"].clone();
        Ok(channel)
    }

    /// Waits until messages flow.
    fn wait_for_traffic(&self) -> Outcome {
        until("messages", || Ok(self.channel()?["sent_messages"].as_u64().is_some_and(|sent| sent > 0)))
    }
}

/// The body of what is answered to a GET request.
fn get(address: &str, path: &str) -> Result<String, Box<dyn Error>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("half an answer")?;
    let is_fine = head.split(' ').nth(1) == Some("200");
    if is_fine { Ok(body.into()) } else { Err(format!("{path}: {}", head.lines().next().unwrap_or_default()).into()) }
}

fn until(what: &str, mut is_so: impl FnMut() -> Result<bool, Box<dyn Error>>) -> Outcome {
    let began = Instant::now();
    while !is_so()? {
        if began.elapsed() > PATIENCE {
            return Err(format!("waited in vain for {what}").into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

pub(crate) fn run(command: &mut Command) -> Outcome {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}

/// The `tidegate` command, built.
fn command() -> Result<PathBuf, Box<dyn Error>> {
    if cargo(Cargo::Own, &["build", "--release", "--quiet", "--package", "tidegate-cli"], &[]) != 0 {
        return Err("the command does not build".into());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(target.join("release/tidegate"))
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
