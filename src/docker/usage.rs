//! What a container uses, from two samples.
//!
//! Docker's own pair of samples costs two seconds a container, so the previous one is kept
//! here: the first look at a container has no CPU figure. A sample that is very young is
//! not replaced, since a rate over a few milliseconds is noise.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Datelike as _, Utc};
use selfheal_agents::model::{Timestamp, Usage};
use serde::Deserialize;

/// The shortest time over which a rate means something.
const SHORTEST_SPAN: Duration = Duration::from_millis(250);
/// The most containers remembered; the longest unseen one is forgotten first.
const MOST_SAMPLES: usize = 4096;

/// `GET /containers/{id}/stats`, as far as it is used. A stopped container has zeros.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Stats {
    read: String,
    #[serde(rename = "cpu_stats")]
    cpu: CpuStats,
    #[serde(rename = "memory_stats")]
    memory: MemoryStats,
    #[serde(rename = "pids_stats")]
    pids: PidsStats,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CpuStats {
    cpu_usage: CpuUsage,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CpuUsage {
    /// Nanoseconds of all cores together.
    total_usage: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MemoryStats {
    usage: Option<u64>,
    stats: MemoryDetail,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MemoryDetail {
    /// cgroup v2.
    inactive_file: Option<u64>,
    /// cgroup v1: with the children, as `usage` counts.
    total_inactive_file: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PidsStats {
    current: Option<u64>,
}

impl Stats {
    /// As Docker would have told it at this time.
    pub(super) fn new(
        at: Timestamp,
        cpu_nanos: u64,
        memory_bytes: u64,
        inactive_file_bytes: u64,
        processes: u64,
    ) -> Self {
        let stats =
            MemoryDetail { inactive_file: Some(inactive_file_bytes), total_inactive_file: None };
        Self {
            read: at.to_rfc3339(),
            cpu: CpuStats { cpu_usage: CpuUsage { total_usage: cpu_nanos } },
            memory: MemoryStats { usage: Some(memory_bytes), stats },
            pids: PidsStats { current: Some(processes) },
        }
    }
}

/// One earlier look.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Timestamp,
    cpu_nanos: u64,
    percent: Option<f64>,
}

/// The last sample of each container, by Docker id.
#[derive(Debug, Default)]
pub(super) struct Samples(Mutex<BTreeMap<String, Sample>>);

impl Samples {
    /// Takes a new sample and compares it with the one before.
    pub(super) fn usage(&self, id: &str, stats: &Stats) -> Usage {
        let Some(at) = moment(&stats.read) else {
            return Usage::default();
        };
        let cpu_nanos = stats.cpu.cpu_usage.total_usage;
        // A panic elsewhere cannot leave half a sample behind: the map is still good.
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cpu_percent = match samples.get(id) {
            Some(before) if is_young(before.at, at) => before.percent,
            before => {
                let percent = before.and_then(|before| percent(before, at, cpu_nanos));
                samples.insert(id.to_owned(), Sample { at, cpu_nanos, percent });
                percent
            }
        };
        forget_oldest(&mut samples);
        Usage {
            cpu_percent,
            memory_bytes: working_set(&stats.memory),
            processes: stats.pids.current,
        }
    }
}

fn is_young(before: Timestamp, now: Timestamp) -> bool {
    (now - before).to_std().is_ok_and(|span| span < SHORTEST_SPAN)
}

/// Percent of one core; `None` when the counter went back, which is a new start.
fn percent(before: &Sample, at: Timestamp, cpu_nanos: u64) -> Option<f64> {
    let span = (at - before.at).to_std().ok()?;
    let used = cpu_nanos.checked_sub(before.cpu_nanos)?;
    Some(used as f64 / span.as_nanos() as f64 * 100.0)
}

/// Usage without the page cache that the kernel can take back at once.
fn working_set(memory: &MemoryStats) -> Option<u64> {
    let cache = memory.stats.total_inactive_file.or(memory.stats.inactive_file).unwrap_or(0);
    Some(memory.usage?.saturating_sub(cache))
}

fn forget_oldest(samples: &mut BTreeMap<String, Sample>) {
    while samples.len() > MOST_SAMPLES {
        let oldest = samples.iter().min_by_key(|(_, sample)| sample.at).map(|(id, _)| id.clone());
        let Some(oldest) = oldest else { return };
        samples.remove(&oldest);
    }
}

fn moment(text: &str) -> Option<Timestamp> {
    let moment = DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc);
    (moment.year() > 1).then_some(moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(read: &str, cpu_nanos: u64) -> Stats {
        let json = serde_json::json!({
            "read": read,
            "cpu_stats": {"cpu_usage": {"total_usage": cpu_nanos}},
            "memory_stats": {"usage": 1000, "stats": {"total_inactive_file": 300, "inactive_file": 1}},
            "pids_stats": {"current": 4},
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_second_sample_knows_the_share_of_a_core() {
        let samples = Samples::default();
        let first = samples.usage("a", &stats("2026-01-01T00:00:00Z", 0));
        assert_eq!(first.cpu_percent, None);
        assert_eq!((first.memory_bytes, first.processes), (Some(700), Some(4)));
        let second = samples.usage("a", &stats("2026-01-01T00:00:02Z", 3_000_000_000));
        assert_eq!(second.cpu_percent, Some(150.0));
        let other = samples.usage("b", &stats("2026-01-01T00:00:02Z", 3_000_000_000));
        assert_eq!(other.cpu_percent, None, "another container has its own samples");
    }

    #[test]
    fn a_very_young_sample_is_not_compared_with() {
        let samples = Samples::default();
        samples.usage("a", &stats("2026-01-01T00:00:00Z", 0));
        samples.usage("a", &stats("2026-01-01T00:00:01Z", 500_000_000));
        let soon = samples.usage("a", &stats("2026-01-01T00:00:01.010Z", 510_000_000));
        assert_eq!(soon.cpu_percent, Some(50.0), "the last known rate stands");
        let later = samples.usage("a", &stats("2026-01-01T00:00:02Z", 500_000_000));
        assert_eq!(later.cpu_percent, Some(0.0), "and is measured from the older sample");
    }

    #[test]
    fn a_counter_that_went_back_is_a_new_beginning() {
        let samples = Samples::default();
        samples.usage("a", &stats("2026-01-01T00:00:00Z", 9_000));
        assert_eq!(samples.usage("a", &stats("2026-01-01T00:00:01Z", 10)).cpu_percent, None);
    }

    #[test]
    fn a_stopped_container_uses_nothing_known() {
        let stopped: Stats = serde_json::from_str(
            r#"{"read":"0001-01-01T00:00:00Z","cpu_stats":{"cpu_usage":{"total_usage":0}},"memory_stats":{},"pids_stats":{}}"#,
        )
        .unwrap();
        assert_eq!(Samples::default().usage("a", &stopped), Usage::default());
    }

    #[test]
    fn working_set_of_the_second_cgroup_version_leaves_its_inactive_file_pages_out() {
        let memory = MemoryStats {
            usage: Some(100),
            stats: MemoryDetail { inactive_file: Some(30), total_inactive_file: None },
        };
        assert_eq!(working_set(&memory), Some(70));
    }
}
