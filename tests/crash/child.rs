//! The process that is killed: how it is started, and what is known of it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Environment variable that makes this binary a child.
pub(crate) const ROLE: &str = "TIDEGATE_CRASH_ROLE";
const OBJECT: &str = "TIDEGATE_CRASH_OBJECT";
const FAILPOINT: &str = "TIDEGATE_FAILPOINT";

/// The longest that anything takes which does not hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What becomes of a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It runs to its end.
    Lives,
    /// As [`Fate::Lives`], noting the points that it comes to in that file.
    Counts(String),
    /// It is killed as it comes to a point for that time.
    Dies(&'static str, u32),
}

/// A running child.
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
    over: Arc<AtomicBool>,
}

/// How a child ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Finished,
    Killed,
    Failed,
    Hung,
}

impl Process {
    /// Starts this binary as a child that does `role` with the channel or lock `object`.
    pub(crate) fn start(role: &str, object: &str, fate: &Fate) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("own path"));
        command.env(ROLE, role).env(OBJECT, object).stdin(Stdio::null()).stdout(Stdio::piped());
        match fate {
            Fate::Lives => command.env_remove(FAILPOINT),
            Fate::Counts(file) => command.env(FAILPOINT, format!("census={file}")),
            Fate::Dies(step, count) => command.env(FAILPOINT, format!("{step}:{count}")),
        };
        let mut child = command.spawn().expect("child starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (log, over) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let (lines, ended) = (Arc::clone(&log), Arc::clone(&over));
        let reader = std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                lines.lock().expect("log").push(line);
            }
            ended.store(true, Ordering::Release);
        });
        Self { child, log, reader: Some(reader), over }
    }

    /// Whether it has ended, and all it said is known.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// What it said so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().expect("log").clone()
    }

    /// Whether it has said that.
    pub(crate) fn has_said(&self, line: &str) -> bool {
        self.log.lock().expect("log").iter().any(|said| said == line)
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> End {
        let hung = wait_until(|| self.is_over()).is_err();
        if hung {
            self.kill();
            return End::Hung;
        }
        let status = self.child.wait().expect("reaped");
        match (status.success(), status.signal()) {
            (true, _) => End::Finished,
            (false, Some(libc::SIGKILL)) => End::Killed,
            _ => End::Failed,
        }
    }

    pub(crate) fn kill(&mut self) {
        let _it_may_have_ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if let Some(reader) = self.reader.take() {
            let _nothing_to_panic_at = reader.join();
        }
    }
}

/// Waits until `is_so`; an error if that takes longer than anything may.
pub(crate) fn wait_until(mut is_so: impl FnMut() -> bool) -> Result<(), String> {
    let began = Instant::now();
    while !is_so() {
        if began.elapsed() > PATIENCE {
            return Err("hung".into());
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

/// Tells the referee, before this process can be killed again.
pub(crate) fn say(line: impl std::fmt::Display) {
    println!("{line}");
    std::io::stdout().flush().expect("the referee reads");
}

/// Does a role, as a child.
pub(crate) fn run(role: &str) {
    let object = std::env::var(OBJECT).expect("object");
    match role {
        "send" => crate::sending::run(&object),
        "receive" => crate::receiving::run(&object),
        "receive_and_hold" => crate::receiving::hold(&object),
        "resize" => crate::controlling::resize(&object),
        "control" => crate::controlling::control(&object),
        "lock" => crate::locking::lock(&object),
        "tear" => crate::locking::tear(&object),
        "read_and_write" => crate::reading::run(&object),
        "acquire" => crate::locking::acquire(&object),
        other => panic!("unknown role {other}"),
    }
}

/// The names that a census has noted.
pub(crate) fn counted(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}
