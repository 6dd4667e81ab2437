//! Numbers that the kernel tells, and how they are read.

use std::fs;
use std::path::Path;

/// A number alone in a file, or nothing where it says `max` or cannot be read.
pub(super) fn number(path: impl AsRef<Path>) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// A file of this process's cgroup v2, if it is in one that limits something.
pub(super) fn cgroup_file(name: &str) -> Option<String> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    fs::read_to_string(format!("/sys/fs/cgroup{path}/{name}")).ok()
}

/// A limit of this process's cgroup v2; nothing where there is none.
pub(super) fn cgroup_limit(name: &str) -> Option<u64> {
    cgroup_file(name)?.trim().parse().ok()
}

/// CPUs that the cgroup's quota comes to (`cpu.max`), if there is a quota.
pub(super) fn quota_cpus() -> Option<f64> {
    cpus_of(&cgroup_file("cpu.max")?)
}

fn cpus_of(cpu_max: &str) -> Option<f64> {
    let (quota, period) = cpu_max.trim().split_once(' ')?;
    Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
}

/// Memory that can be had without reclaiming from others, bytes.
pub(super) fn memory_available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Bytes, as a person reads them.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_told_from_none() {
        assert_eq!(cpus_of("50000 100000\n"), Some(0.5));
        assert_eq!(cpus_of("max 100000\n"), None);
    }

    #[test]
    fn bytes_have_the_unit_that_fits() {
        assert_eq!([0, 1023, 1024, 3 << 19, 5 << 30].map(bytes), ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "5.0 GiB"]);
    }
}
