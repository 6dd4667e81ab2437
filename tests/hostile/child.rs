//! The child in which a thing is tried, and how it is told that it crashed or hangs.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::exercise::KINDS;
use crate::{bits, exhaustion, scribbler};

/// Environment variable that makes this binary a child.
pub(crate) const ROLE: &str = "TIDEGATE_TEST_ROLE";
/// A child that says nothing for so long hangs: between two lines it waits for milliseconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whether all is tried that takes minutes, rather than a part of it.
pub(crate) fn is_whole_form() -> bool {
    std::env::var_os("TIDEGATE_TEST_WHOLE").is_some()
}

/// What a child does, by role.
pub(crate) fn run(role: &str) {
    let (role, kind) = role.split_once(' ').expect("ROLE KIND");
    if role == "limit" {
        return exhaustion::run(kind);
    }
    let kind = KINDS.into_iter().find(|known| known.name == kind).expect("a kind of that name");
    match role {
        "flip" => bits::flip(kind),
        "punch" => bits::punch(kind),
        "scribbled" => scribbler::be_scribbled_over(kind),
        "scribble" => scribbler::scribble(kind),
        other => panic!("unknown role {other}"),
    }
}

pub(crate) fn start(role: &str) -> Child {
    let child = Command::new(std::env::current_exe().expect("own path")).env(ROLE, role).stdout(Stdio::piped()).spawn();
    child.expect("child starts")
}

/// Says how far it has come.
pub(crate) fn say(line: impl std::fmt::Display) {
    println!("{line}");
    std::io::stdout().flush().expect("parent reads");
}

/// Has a child play `role`, and tells how it ended, if not well.
pub(crate) fn judge(role: &str) -> Result<(), String> {
    let mut child = start(role);
    let output = BufReader::new(child.stdout.take().expect("piped"));
    let (to, lines) = mpsc::channel();
    std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| to.send(line)));
    let mut last = "nothing".to_owned();
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => last = line,
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let _it_may_end_just_now = child.kill();
                let _reaped = child.wait();
                return Err(format!("hangs after: {last}"));
            }
        }
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() && last == "done" { Ok(()) } else { Err(format!("{status} after: {last}")) }
}
