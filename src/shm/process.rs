//! What the kernel says about a process (`proc(5)`, `kill(2)`).

use std::io;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// Whether the process `pid` that started at `start_time` (clock ticks since boot; 0 if not known) has ended.
///
/// False where the kernel does not tell: `/proc` is missing, shows another pid namespace, or hides the process.
pub(crate) fn is_proven_dead(pid: u32, start_time: u64) -> bool {
    if !proc_shows_this_namespace() {
        return false;
    }
    let is_another = |stat: &Stat| start_time != 0 && stat.start_time != start_time;
    match std::fs::read(format!("/proc/{pid}/stat")) {
        Ok(stat) => Stat::parse(&stat).is_some_and(|stat| stat.has_ended() || is_another(&stat)),
        // A mount with `hidepid` hides the living, too.
        Err(_) => is_no_process(pid),
    }
}

/// Whether the kernel knows no process of that number, dead or alive, in this pid namespace.
fn is_no_process(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH))
}

/// Start time of this process, clock ticks since boot; 0 where it cannot be told.
pub(crate) fn own_start_time() -> u64 {
    find_own_start_time().unwrap_or(0)
}

/// As [`own_start_time`], or why it cannot be told.
pub(crate) fn find_own_start_time() -> io::Result<u64> {
    let pid = std::process::id();
    let own = std::fs::read_link("/proc/self")?;
    let stat = if is_pid(&own, pid) { std::fs::read(format!("/proc/{pid}/stat"))? } else { Vec::new() };
    Stat::parse(&stat).map(|stat| stat.start_time).ok_or(io::ErrorKind::Unsupported.into())
}

/// A namespace that cannot be told.
pub(crate) const UNKNOWN_NAMESPACE: u64 = u64::MAX;

/// Inode of this process's namespace of that kind; 0 where the kernel has none (`namespaces(7)`).
pub(crate) fn namespace(kind: &str) -> u64 {
    use std::os::unix::fs::MetadataExt;
    match std::fs::metadata(format!("/proc/self/ns/{kind}")) {
        Ok(metadata) => metadata.ino(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => 0,
        Err(_) => UNKNOWN_NAMESPACE,
    }
}

/// Whether the numbers in `/proc` are those of this process's pid namespace.
fn proc_shows_this_namespace() -> bool {
    std::fs::read_link("/proc/self").is_ok_and(|own| is_pid(&own, std::process::id()))
}

fn is_pid(link: &Path, pid: u32) -> bool {
    link.as_os_str() == pid.to_string().as_str()
}

/// The fields of `/proc/PID/stat` that tell whether a process lives.
struct Stat {
    state: char,
    threads: u64,
    start_time: u64,
}

impl Stat {
    fn parse(stat: &[u8]) -> Option<Self> {
        // The command may hold any bytes; the fields follow its last parenthesis, state (field 3) first.
        let command_end = stat.iter().rposition(|&byte| byte == b')')?;
        let fields: Vec<&str> = str::from_utf8(&stat[command_end + 1..]).ok()?.split_whitespace().collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            threads: fields.get(17)?.parse().ok()?,
            start_time: fields.get(19)?.parse().ok()?,
        })
    }

    /// A zombie has ended, unless only its first thread has and others run on.
    fn has_ended(&self) -> bool {
        self.state == 'X' || (self.state == 'Z' && self.threads <= 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_dead_once_it_has_exited_and_not_before() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = child.id();
        let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap();
        let start = Stat::parse(&stat).unwrap().start_time;
        assert!(!is_proven_dead(pid, start));
        assert!(is_proven_dead(pid, start - 1), "another process had this id before");
        assert!(!is_proven_dead(pid, 0), "without a start time any process of that id may be the one");
        child.kill().unwrap();
        while !is_proven_dead(pid, start) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(is_proven_dead(pid, start));
    }

    #[test]
    fn a_process_that_exists_is_none_that_does_not() {
        assert!(!is_no_process(std::process::id()));
        assert!(!is_no_process(1), "of another user, perhaps");
        assert!(!is_no_process(0) && !is_no_process(u32::MAX), "not numbers of processes");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(is_no_process(child.id()));
    }

    #[test]
    fn a_zombie_whose_threads_run_on_has_not_ended() {
        let tail = |threads| format!("0 0 0 0 0 0 0 0 0 0 0 0 0 0 20 0 {threads} 0 777 0");
        let parse = |state: &str, threads| {
            let command = b"1 (a) \xff) ".as_slice();
            Stat::parse(&[command, format!("{state} {}", tail(threads)).as_bytes()].concat()).unwrap()
        };
        assert_eq!(parse("S", 3).start_time, 777);
        assert!(!parse("Z", 2).has_ended());
        assert!(parse("Z", 1).has_ended());
        assert!(parse("X", 1).has_ended());
        assert!(!parse("S", 1).has_ended());
        assert!(Stat::parse(b"1 (short) S 0").is_none());
    }
}
