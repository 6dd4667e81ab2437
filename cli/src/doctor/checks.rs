//! What is looked at, a function each.

use std::fs;

use rustix::process::{Resource, getrlimit};
use tidegate::{EntryState, Host, Support};

use super::Finding;
use super::limits::{bytes, cgroup_limit, memory_available, number, quota_cpus};

/// A file of the host directory.
const NAME_FILE_BYTES: u64 = 4096;
/// Memory of a channel as it is made unless asked otherwise.
const CHANNEL_BYTES: u64 = 256 << 10;
/// Descriptors that a process needs besides one a channel.
const DESCRIPTORS_MIN: u64 = 64;
/// Channels that a process should have room for.
const CHANNELS: u64 = 256;

pub(super) fn all() -> Vec<Finding> {
    let mut findings = vec![host_directory(), shm_space(), memory(), descriptors(), locked_memory(), cpus()];
    findings.extend(kernel());
    findings.extend([proc_files(), stale_names(), perf_counters()]);
    findings
}

fn host_directory() -> Finding {
    let check = "host directory";
    match Host::of_user() {
        Ok(host) => Finding::pass(check, host.path().display().to_string(), "processes find each other by name"),
        Err(error) => Finding::fail(
            check,
            error.to_string(),
            "no channel with a name can be created or opened",
            "export TIDEGATE_DIR=$(mktemp -d)",
        ),
    }
}

fn shm_space() -> Finding {
    let check = "space for names";
    let Ok(host) = Host::of_user() else {
        return Finding::warn(check, "the host directory cannot be used", "it is not known how many names fit", "");
    };
    match rustix::fs::statvfs(host.path()) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let found = format!("{} free in {}", bytes(free), host.path().display());
            let mend = "mount -o remount,size=64M /dev/shm";
            if free < NAME_FILE_BYTES {
                Finding::fail(check, found, "a name takes 4 KiB there: no channel with a name can be created", mend)
            } else if free < NAME_FILE_BYTES * CHANNELS {
                let names = free / NAME_FILE_BYTES;
                Finding::warn(check, found, format!("a name takes 4 KiB there: {names} more fit"), mend)
            } else {
                Finding::pass(check, found, "names take 4 KiB each there; messages take none of it")
            }
        }
        Err(error) => Finding::warn(check, format!("statvfs: {error}"), "it is not known how many names fit", ""),
    }
}

fn memory() -> Finding {
    let check = "memory";
    let host = memory_available();
    let group = cgroup_limit("memory.max").map(|max| max.saturating_sub(cgroup_limit("memory.current").unwrap_or(0)));
    let Some(free) = host.into_iter().chain(group).min() else {
        return Finding::warn(
            check,
            "the kernel does not tell",
            "a channel may be created that memory is short for",
            "",
        );
    };
    let limited = group.is_some_and(|group| host.is_none_or(|host| group < host));
    let found = format!("{} can be had{}", bytes(free), if limited { ", by the cgroup's limit" } else { "" });
    let mend = if limited { "systemctl set-property UNIT MemoryMax=2G" } else { "" };
    if free < CHANNEL_BYTES {
        Finding::fail(check, found, "a channel takes 256 KiB as it is made unless asked otherwise", mend)
    } else if free < CHANNEL_BYTES * CHANNELS {
        let channels = free / CHANNEL_BYTES;
        Finding::warn(
            check,
            found,
            format!("that is {channels} channels as they are made unless asked otherwise"),
            mend,
        )
    } else {
        Finding::pass(check, found, "rings grow into it, and give it back")
    }
}

fn descriptors() -> Finding {
    let check = "open files";
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let used = fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
    let found = format!("RLIMIT_NOFILE is {limit}");
    if limit < used + 2 {
        Finding::fail(check, found, "a channel takes a descriptor in each process", "ulimit -n 4096")
    } else if limit < CHANNELS + DESCRIPTORS_MIN {
        Finding::warn(check, found, "a channel takes a descriptor in each process", "ulimit -n 4096")
    } else {
        Finding::pass(check, found, "a channel takes one in each process")
    }
}

fn locked_memory() -> Finding {
    let check = "locked memory";
    let limit = getrlimit(Resource::Memlock).current;
    let found =
        limit.map_or("RLIMIT_MEMLOCK is unlimited".into(), |limit| format!("RLIMIT_MEMLOCK is {}", bytes(limit)));
    // Segments are backed and not locked.
    match fs::read_to_string("/proc/swaps").map(|swaps| swaps.lines().count() > 1) {
        Ok(true) => Finding::warn(
            check,
            found,
            "segments are not locked, and there is swap: a ring that rests may be swapped out",
            "swapoff -a",
        ),
        _ => Finding::pass(check, found, "segments are not locked, and nothing is swapped"),
    }
}

fn cpus() -> Finding {
    let check = "CPUs";
    let online = std::thread::available_parallelism().map_or(1, usize::from);
    let quota = quota_cpus();
    let found = quota.map_or(format!("{online}"), |quota| format!("{online}, of which the cgroup allows {quota:.1}"));
    let cpus = quota.map_or(online as f64, |quota| quota.min(online as f64));
    if cpus < 2.0 {
        Finding::warn(
            check,
            found,
            "endpoints sleep instead of spinning: a message takes a wake-up by the kernel, tens of microseconds",
            if quota.is_some() { "systemctl set-property UNIT CPUQuota=200%" } else { "" },
        )
    } else {
        Finding::pass(check, found, "endpoints may spin for each other")
    }
}

fn kernel() -> Vec<Finding> {
    let support = Support::of_kernel();
    let one = |check, is_there, call: &str, good, bad| {
        if is_there {
            Finding::pass(check, format!("the kernel has {call}"), good)
        } else {
            Finding::warn(check, format!("the kernel refuses {call}"), bad, "")
        }
    };
    vec![
        one(
            "wake-ups",
            support.membarrier,
            "membarrier(2)",
            "a message that nobody sleeps for costs no fence",
            "each message costs a fence, and sleeps last a millisecond at most",
        ),
        one(
            "async waits",
            support.futex_waitv,
            "futex_waitv(2)",
            "one thread sleeps for all tasks of a process",
            "tasks that wait are looked after every millisecond",
        ),
        one(
            "fork",
            support.wipe_on_fork,
            "MADV_WIPEONFORK",
            "a handle that came by fork is refused at no cost",
            "each call on a lock asks the kernel for the process id",
        ),
    ]
}

fn proc_files() -> Finding {
    let check = "/proc";
    let own = fs::read_link("/proc/self").ok();
    let is_own = own.is_some_and(|target| target.as_os_str() == std::process::id().to_string().as_str());
    if is_own {
        Finding::pass(check, "it shows this pid namespace", "names lead to memory, and deaths can be proven")
    } else {
        Finding::fail(
            check,
            "it is missing, or shows another pid namespace",
            "no name leads to memory: channels can be neither created nor opened by name",
            "mount -t proc proc /proc",
        )
    }
}

fn stale_names() -> Finding {
    let check = "stale names";
    let entries = match Host::of_user().and_then(|host| host.entries()) {
        Ok(entries) => entries,
        Err(error) => return Finding::warn(check, error.to_string(), "it is not known what the dead have left", ""),
    };
    let stale = entries.iter().filter(|entry| matches!(entry.state, EntryState::Stale { .. }));
    let (names, taken) = stale.fold((0, 0), |(names, taken), entry| (names + 1, taken + entry.file_bytes));
    if names == 0 {
        return Finding::pass(check, "none", "nothing is left of the dead");
    }
    let found = format!("{names}, of {}", bytes(taken));
    Finding::warn(
        check,
        found,
        "their processes are dead; each goes when its name is used again",
        "tidegate clean --yes",
    )
}

fn perf_counters() -> Finding {
    let check = "perf counters";
    match number("/proc/sys/kernel/perf_event_paranoid") {
        Some(level) if level <= 2 => {
            Finding::pass(check, format!("perf_event_paranoid is {level}"), "benchmarks can count cache misses")
        }
        level => Finding::warn(
            check,
            level.map_or("the kernel has none".into(), |level| format!("perf_event_paranoid is {level}")),
            "profilers cannot count cache misses; channels do not need to",
            if level.is_some() { "sysctl kernel.perf_event_paranoid=2" } else { "" },
        ),
    }
}
