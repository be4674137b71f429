//! What Selfheal itself uses, by the names that Prometheus' own clients give it
//! (<https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>).

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// What a process uses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Own {
    cpu_secs: f64,
    resident_bytes: f64,
    /// Since 1970.
    started_at_secs: f64,
    open_files: Option<f64>,
    /// Of the runtime that asks.
    tasks: Option<f64>,
}

impl Own {
    /// Of this process; `None` where the kernel does not tell.
    pub(super) fn now() -> Option<Self> {
        let pid = Pid::from_u32(std::process::id());
        let mut system = System::new().ok()?;
        let wanted = ProcessRefreshKind::nothing().with_cpu().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, wanted);
        let process = system.process(pid)?;
        let open_files = std::fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
        let runtime = tokio::runtime::Handle::try_current().ok();
        let tasks = runtime.map(|runtime| runtime.metrics().num_alive_tasks() as f64);
        Some(Self {
            cpu_secs: process.accumulated_cpu_time() as f64 / 1000.0,
            resident_bytes: process.memory() as f64,
            started_at_secs: process.start_time() as f64,
            open_files,
            tasks,
        })
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let cpu = Counter::<f64, AtomicU64>::default();
        cpu.inc_by(self.cpu_secs);
        let help = "Processor time of Selfheal, in the kernel and outside";
        registry.register_with_unit("process_cpu", help, Unit::Seconds, cpu);
        for (name, help, unit, value) in [
            (
                "process_resident_memory",
                "Resident memory of Selfheal",
                Some(Unit::Bytes),
                Some(self.resident_bytes),
            ),
            (
                "process_start_time",
                "When Selfheal was started, since 1970",
                Some(Unit::Seconds),
                Some(self.started_at_secs),
            ),
            ("process_open_fds", "Open files of Selfheal", None, self.open_files),
            ("selfheal_tasks", "Tasks that are under way in Selfheal", None, self.tasks),
        ] {
            let Some(value) = value else { continue };
            let gauge = Gauge::<f64, AtomicU64>::default();
            gauge.set(value);
            match unit {
                Some(unit) => registry.register_with_unit(name, help, unit, gauge),
                None => registry.register(name, help, gauge),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn this_process_runs_since_a_while_and_uses_something() {
        let own = Own::now().unwrap();
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        assert!(own.resident_bytes > 1e6 && own.resident_bytes < 1e11, "{own:?}");
        assert!((0.0..1e5).contains(&(now - own.started_at_secs)), "{own:?} {now}");
        assert!(own.open_files.unwrap() >= 3.0);
    }

    #[test]
    fn the_names_are_those_that_every_prometheus_client_uses() {
        let own = Own {
            cpu_secs: 1.5,
            resident_bytes: 4096.0,
            started_at_secs: 7.0,
            open_files: Some(9.0),
            tasks: Some(3.0),
        };
        let (mut registry, mut text) = (Registry::default(), String::new());
        own.register(&mut registry);
        encode(&mut text, &registry).unwrap();
        for line in [
            "process_cpu_seconds_total 1.5",
            "process_resident_memory_bytes 4096.0",
            "process_start_time_seconds 7.0",
            "process_open_fds 9.0",
            "selfheal_tasks 3.0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
