//! Reads what the machine says of itself.
//!
//! Invariant: a value that could not be read is missing, never zero. Disks are measured
//! apart from the rest, so that a device that hangs costs the disks of that look and
//! nothing else. It does not judge.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use selfheal_agents::model::{Connection, DiskFacts, HostFacts, Pressure};
use selfheal_agents::ports::{HostSensor, WorldError, WorldResult};
use sysinfo::{MINIMUM_CPU_UPDATE_INTERVAL, System};

use super::connections;
use super::mounts::local_mounts;

/// Longer than any healthy machine needs, shorter than a cycle can wait.
const LIMIT: Duration = Duration::from_secs(3);

/// The machine Selfheal runs on.
#[derive(Debug, Default)]
pub struct LocalHost {
    processor: Arc<Mutex<Processor>>,
    disks: Arc<Mutex<()>>,
}

/// The previous processor sample: use is the difference between two.
#[derive(Debug, Default)]
struct Processor {
    system: Option<System>,
    sampled_at: Option<Instant>,
    percent: Option<f64>,
}

impl LocalHost {
    /// A sensor without a previous sample: its first look has no processor use.
    pub fn new() -> Self {
        Self::default()
    }

    async fn disk_facts(&self) -> Vec<DiskFacts> {
        let measuring = Arc::clone(&self.disks);
        let look = tokio::task::spawn_blocking(move || match measuring.try_lock() {
            Ok(_guard) => Some(measure_disks()),
            Err(TryLockError::Poisoned(_)) => Some(measure_disks()),
            // The look before still hangs: starting another would only pile up threads.
            Err(TryLockError::WouldBlock) => None,
        });
        if let Ok(Ok(Some(disks))) = tokio::time::timeout(LIMIT, look).await {
            return disks;
        }
        tracing::warn!("the disks did not answer within {LIMIT:?}: left out of this look");
        Vec::new()
    }
}

#[async_trait]
impl HostSensor for LocalHost {
    async fn host(&self) -> WorldResult<HostFacts> {
        let processor = Arc::clone(&self.processor);
        let look = tokio::task::spawn_blocking(move || {
            let mut processor = processor.lock().unwrap_or_else(PoisonError::into_inner);
            processor.look()
        });
        let (look, disks) = tokio::join!(tokio::time::timeout(LIMIT, look), self.disk_facts());
        let facts = look
            .map_err(|_| WorldError::TimedOut { what: "the host".to_owned(), limit: LIMIT })?
            .map_err(|error| unreadable(&error))??;
        Ok(HostFacts { disks, ..facts })
    }

    async fn connections(&self, pid: u32, container_id: &str) -> WorldResult<Vec<Connection>> {
        let what = format!("the connections of process {pid}");
        let container_id = container_id.to_owned();
        let look = tokio::task::spawn_blocking(move || connections::opened_by(pid, &container_id));
        match tokio::time::timeout(LIMIT, look).await {
            Ok(Ok(connections)) => connections,
            Ok(Err(error)) => Err(unreadable(&error)),
            Err(_) => Err(WorldError::TimedOut { what, limit: LIMIT }),
        }
    }
}

fn unreadable(why: &dyn std::fmt::Display) -> WorldError {
    WorldError::Unreachable { what: "the host".to_owned(), why: why.to_string() }
}

impl Processor {
    fn look(&mut self) -> WorldResult<HostFacts> {
        let mut system = match self.system.take() {
            Some(system) => system,
            None => System::new().map_err(|error| unreadable(&error))?,
        };
        system.refresh_memory();
        self.refresh_percent(&mut system);
        let facts = HostFacts {
            cpu_percent: self.percent,
            cores: system.cpus().len(),
            load: System::load_average().ok().map(|load| [load.one, load.five, load.fifteen]),
            memory_total_bytes: system.total_memory(),
            memory_used_bytes: system.total_memory().saturating_sub(system.available_memory()),
            swap_total_bytes: system.total_swap(),
            swap_used_bytes: system.used_swap(),
            disks: Vec::new(),
            pressure: read_pressure(Path::new("/proc/pressure")),
        };
        self.system = Some(system);
        Ok(facts)
    }

    /// Two samples closer together than the kernel counts would give nonsense: the value
    /// before stays.
    fn refresh_percent(&mut self, system: &mut System) {
        let elapsed = self.sampled_at.map(|at| at.elapsed());
        if elapsed.is_some_and(|elapsed| elapsed < MINIMUM_CPU_UPDATE_INTERVAL) {
            return;
        }
        system.refresh_cpu_usage();
        self.percent = elapsed.map(|_| f64::from(system.global_cpu_usage()));
        self.sampled_at = Some(Instant::now());
    }
}

fn measure_disks() -> Vec<DiskFacts> {
    let Ok(mountinfo) = std::fs::read_to_string("/proc/self/mountinfo") else { return Vec::new() };
    local_mounts(&mountinfo)
        .into_iter()
        .filter_map(|mount| {
            let stat = rustix::fs::statvfs(&mount.point).ok()?;
            // Zero inodes means that the file system makes them as needed (btrfs, vfat).
            let counts_inodes = stat.f_files > 0;
            Some(DiskFacts {
                mount: mount.point,
                file_system: mount.file_system,
                total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
                available_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
                total_inodes: counts_inodes.then_some(stat.f_files),
                free_inodes: counts_inodes.then_some(stat.f_favail),
            })
        })
        .filter(|disk| disk.total_bytes > 0)
        .collect()
}

/// Kernels without pressure accounting have no such files: then it is missing.
fn read_pressure(folder: &Path) -> Pressure {
    let read = |name: &str| some_avg10(&std::fs::read_to_string(folder.join(name)).ok()?);
    Pressure { cpu_percent: read("cpu"), memory_percent: read("memory"), io_percent: read("io") }
}

/// `avg10` of the line `some`: the share of time in which at least one task waited.
fn some_avg10(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    line.split(' ').find_map(|word| word.strip_prefix("avg10="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_the_share_in_which_some_task_waited() {
        let text = "some avg10=3.25 avg60=0.51 avg300=0.39 total=18569975\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!(some_avg10(text), Some(3.25));
        assert_eq!(some_avg10("full avg10=1.00"), None);
    }

    #[test]
    fn a_kernel_without_pressure_accounting_has_no_pressure() {
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(read_pressure(empty.path()), Pressure::default());
    }

    #[tokio::test]
    async fn the_first_look_has_no_processor_use_and_a_later_one_has() {
        let host = LocalHost::new();
        let first = host.host().await.unwrap();
        assert_eq!(first.cpu_percent, None);
        assert!(first.cores > 0 && first.memory_total_bytes > 0);
        assert!(first.memory_used_bytes <= first.memory_total_bytes);
        // Polls: two samples must lie a moment apart, and the sensor says when they do.
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(percent) = host.host().await.unwrap().cpu_percent {
                assert!((0.0..=100.0).contains(&percent), "{percent}");
                return;
            }
            assert!(Instant::now() < deadline, "no second sample");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_disk_that_still_hangs_costs_only_the_disks() {
        let host = LocalHost::new();
        let disks = Arc::clone(&host.disks);
        let (is_held, held) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let hanging = std::thread::spawn(move || {
            let _guard = disks.lock().unwrap();
            is_held.send(()).unwrap();
            let _ = ended.recv();
        });
        held.recv().unwrap();
        let facts = host.host().await.unwrap();
        drop(end);
        hanging.join().unwrap();
        assert!(facts.disks.is_empty());
        assert!(facts.memory_total_bytes > 0);
    }
}
