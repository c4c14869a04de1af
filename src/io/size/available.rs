//! Memory a process may still take: the machine's, and the control group's in a container.

use std::path::{Path, PathBuf};

/// Assumed where the system does not say.
const FALLBACK: u64 = 4 << 30;

/// Bytes that a user may still write to the disk of a folder; `None` where the system does not say.
pub fn available_disk(folder: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        let found = rustix::fs::statvfs(folder).ok()?;
        found.f_bavail.checked_mul(found.f_frsize)
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        None
    }
}

/// Bytes that can be taken without swapping or being killed: the least of what the machine has available
/// and what the limits of the control groups above this process leave. 4 GiB where neither is known.
pub fn available_memory() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| meminfo(&text));
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = group_folders(&groups)
        .iter()
        .filter_map(|folder| left_in(folder))
        .min();
    match (machine, limit) {
        (Some(a), Some(b)) => a.min(b),
        (a, b) => a.or(b).unwrap_or(FALLBACK),
    }
}

/// `MemAvailable` of `/proc/meminfo`.
fn meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)
}

/// Folders of the control groups a process is in, from `/proc/self/cgroup`, innermost first. A group is
/// bound by every group above it.
fn group_folders(text: &str) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let root = match controllers {
            "" => Path::new("/sys/fs/cgroup"),
            c if c.split(',').any(|c| c == "memory") => Path::new("/sys/fs/cgroup/memory"),
            _ => continue,
        };
        // Inside a container the path may be the host's, which does not exist here: the root remains.
        let inner = root.join(path.trim_start_matches('/'));
        folders.extend(
            inner
                .ancestors()
                .take_while(|f| f.starts_with(root))
                .map(Path::to_path_buf),
        );
    }
    folders
}

/// What the limit of one group leaves; `None` without a limit.
fn left_in(folder: &Path) -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let (limit, used) = match number("memory.max") {
        Some(limit) => (limit, number("memory.current")?),
        None => (
            number("memory.limit_in_bytes")?,
            number("memory.usage_in_bytes")?,
        ),
    };
    let stat = read("memory.stat").unwrap_or_default();
    Some(left(limit, used, &stat))
}

/// Files cached for the group count as used, but give way.
fn left(limit: u64, used: u64, stat: &str) -> u64 {
    let field = |name: &str| {
        let value = stat
            .lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|v| v.trim().parse::<u64>().ok())
    };
    let cache = field("total_inactive_file")
        .or_else(|| field("inactive_file"))
        .unwrap_or(0);
    limit.saturating_sub(used.saturating_sub(cache))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let text = "MemTotal:       24000000 kB\nMemAvailable:   21504000 kB\n";
        assert_eq!(meminfo(text), Some(21_504_000 * 1024));
        assert_eq!(meminfo("MemTotal: 1 kB"), None);
        assert_eq!(meminfo("MemAvailable: x kB"), None);
    }

    #[test]
    fn a_group_is_bound_by_those_above_it() {
        let v2 = group_folders("0::/user.slice/job\n");
        let paths: Vec<&str> = v2.iter().filter_map(|p| p.to_str()).collect();
        assert_eq!(
            paths,
            [
                "/sys/fs/cgroup/user.slice/job",
                "/sys/fs/cgroup/user.slice",
                "/sys/fs/cgroup"
            ]
        );
        let v1 = group_folders("5:cpu,memory:/docker/a\n4:cpuset:/b\nbroken\n");
        assert_eq!(v1.len(), 3);
        assert!(v1[0].ends_with("memory/docker/a"));
    }

    #[test]
    fn cached_files_give_way() {
        assert_eq!(left(1000, 700, "anon 100\ninactive_file 500\n"), 800);
        assert_eq!(
            left(1000, 700, "inactive_file 5\ntotal_inactive_file 600\n"),
            900
        );
        assert_eq!(left(1000, 1200, ""), 0);
    }
}
