//! What a container uses, read from the kernel where it runs on this very machine.
//!
//! Docker answers the same question after a second, since it waits for its own next sample; for
//! hundreds of containers that is hundreds of connections kept open for a second each. The files
//! are those of cgroup versions 1 and 2 (kernel documentation, `cgroup-v1/memory`, `cgroup-v1/cpuacct`,
//! `cgroup-v2`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use chrono::Utc;

use super::usage::Stats;

/// The most containers whose first process is remembered.
const MOST_CONTAINERS: usize = 4096;

/// The first process of each container, with the container's id, by name.
#[derive(Debug, Default)]
pub(super) struct Processes(Mutex<BTreeMap<String, (String, i64)>>);

impl Processes {
    pub(super) fn remember(&self, name: &str, id: &str, pid: i64) {
        // A panic elsewhere cannot leave half an entry behind: the map is still good.
        let mut processes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if processes.len() >= MOST_CONTAINERS {
            processes.clear();
        }
        processes.insert(name.to_owned(), (id.to_owned(), pid));
    }

    /// What a container uses; `None` where that cannot be read here.
    pub(super) fn sample(&self, name: &str) -> Option<Stats> {
        let (id, pid) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()?;
        (pid > 0 && !id.is_empty()).then(|| sample(Path::new("/"), &id, pid))?
    }
}

/// The files of `/proc` and `/sys` are in memory: reading them waits for nothing.
fn sample(root: &Path, id: &str, pid: i64) -> Option<Stats> {
    let groups = fs::read_to_string(root.join(format!("proc/{pid}/cgroup"))).ok()?;
    // The process of that number may be another one, of this machine or of another's.
    let of = |controller: &str| -> Option<PathBuf> {
        groups.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            let is_it = controllers.split(',').any(|known| known == controller);
            let path = path.strip_prefix('/')?;
            (is_it && path.contains(id) && !path.contains("..")).then(|| path.into())
        })
    };
    let sys = root.join("sys/fs/cgroup");
    if let Some(group) = of("memory") {
        let memory = sys.join("memory").join(group);
        return Some(Stats::new(
            Utc::now(),
            number(&sys.join("cpuacct").join(of("cpuacct")?).join("cpuacct.usage"))?,
            number(&memory.join("memory.usage_in_bytes"))?,
            field(&memory.join("memory.stat"), "total_inactive_file")?,
            number(&sys.join("pids").join(of("pids")?).join("pids.current"))?,
        ));
    }
    let group = sys.join(of("")?);
    Some(Stats::new(
        Utc::now(),
        field(&group.join("cpu.stat"), "usage_usec")?.saturating_mul(1000),
        number(&group.join("memory.current"))?,
        field(&group.join("memory.stat"), "inactive_file")?,
        number(&group.join("pids.current"))?,
    ))
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn field(file: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::super::usage::Samples;
    use super::*;

    const ID: &str = "c0ffee00c0ffee00";

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn seen(root: &tempfile::TempDir) -> Option<(Option<u64>, Option<u64>)> {
        let usage = Samples::default().usage(ID, &sample(root.path(), ID, 7)?);
        Some((usage.memory_bytes, usage.processes))
    }

    #[test]
    fn both_versions_of_cgroups_are_read() {
        let first = machine(&[
            (
                "proc/7/cgroup",
                "9:memory:/docker/c0ffee00c0ffee00\n4:cpu,cpuacct:/docker/c0ffee00c0ffee00\n\
                 3:pids:/docker/c0ffee00c0ffee00\n",
            ),
            ("sys/fs/cgroup/memory/docker/c0ffee00c0ffee00/memory.usage_in_bytes", "1000\n"),
            (
                "sys/fs/cgroup/memory/docker/c0ffee00c0ffee00/memory.stat",
                "inactive_file 1\ntotal_inactive_file 300\n",
            ),
            ("sys/fs/cgroup/cpuacct/docker/c0ffee00c0ffee00/cpuacct.usage", "5\n"),
            ("sys/fs/cgroup/pids/docker/c0ffee00c0ffee00/pids.current", "2\n"),
        ]);
        assert_eq!(seen(&first), Some((Some(700), Some(2))));
        let group = "sys/fs/cgroup/system.slice/docker-c0ffee00c0ffee00.scope";
        let second = machine(&[
            ("proc/7/cgroup", "0::/system.slice/docker-c0ffee00c0ffee00.scope\n"),
            (&format!("{group}/cpu.stat"), "usage_usec 5\nuser_usec 1\n"),
            (&format!("{group}/memory.current"), "1000\n"),
            (&format!("{group}/memory.stat"), "anon 1\ninactive_file 200\n"),
            (&format!("{group}/pids.current"), "3\n"),
        ]);
        assert_eq!(seen(&second), Some((Some(800), Some(3))));
    }

    #[test]
    fn another_process_of_that_number_is_nobodys_use() {
        for text in ["0::/user.slice\n", "0::/../docker-c0ffee00c0ffee00.scope\n", "", "9:memory"] {
            assert!(seen(&machine(&[("proc/7/cgroup", text)])).is_none(), "{text}");
        }
        assert!(seen(&machine(&[])).is_none());
    }
}
