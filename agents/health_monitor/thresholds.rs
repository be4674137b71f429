//! When a value is worth a look or broken, and for how long it must be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Nothing is waited for less long than this, in milliseconds.
const SHORTEST_WAIT_MS: u64 = 50;

/// When a number is too high. A part left out is none or 0, not the built-in value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limit {
    /// Above this it is worth a look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<f64>,
    /// Above this it is broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critical: Option<f64>,
    /// Once over a level, it must fall this far below before that is over.
    pub hysteresis: f64,
    /// It must be above for this long, in seconds, before it counts.
    pub hold_secs: u64,
}

impl Default for Limit {
    /// Never too high.
    fn default() -> Self {
        Self { warning: None, critical: None, hysteresis: 0.0, hold_secs: 0 }
    }
}

const fn limit(
    warning: Option<f64>,
    critical: Option<f64>,
    hysteresis: f64,
    hold_secs: u64,
) -> Limit {
    Limit { warning, critical, hysteresis, hold_secs }
}

/// When values are worth a look or broken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// Use of all processors of the host together, percent.
    pub host_cpu: Limit,
    /// Memory of the host in use, percent.
    pub host_memory: Limit,
    /// Swap of the host in use, percent.
    pub host_swap: Limit,
    /// Load over one minute for each core.
    pub host_load: Limit,
    /// Time in which something waited for a processor, memory or a disk, percent.
    pub host_pressure: Limit,
    /// Space in use on each file system, percent.
    pub host_disk: Limit,
    /// Inodes in use on each file system, percent.
    pub host_inodes: Limit,
    /// Processor time of a container, percent of one core.
    pub container_cpu: Limit,
    /// Memory of a container, percent of its limit.
    pub container_memory: Limit,
    /// Time to a whole HTTP answer, in milliseconds.
    pub http_latency_ms: Limit,
    /// Time to connect to PostgreSQL and get an answer, in milliseconds.
    pub postgres_latency_ms: Limit,
    /// Connections in use, percent of `max_connections`.
    pub postgres_connections: Limit,
    /// Seconds for which a session has been idle in a transaction: itself a time, so it needs
    /// none to be held.
    pub postgres_idle_in_transaction_secs: Limit,
    /// Backends that wait for a lock. Below one there is nothing, so hysteresis means nothing
    /// at the built-in level.
    pub postgres_blocked: Limit,
    /// Time to connect to MySQL or MariaDB and get an answer, in milliseconds.
    pub mysql_latency_ms: Limit,
    /// Connections in use, percent of `max_connections`.
    pub mysql_connections: Limit,
    /// Seconds for which a session has been idle in a transaction: itself a time, so it needs
    /// none to be held.
    pub mysql_idle_in_transaction_secs: Limit,
    /// Sessions that wait for a lock, as for `postgres_blocked`.
    pub mysql_blocked: Limit,
    /// Time to connect to Redis and get an answer, in milliseconds.
    pub redis_latency_ms: Limit,
    /// Memory in use, percent of `maxmemory`.
    pub redis_memory: Limit,
    /// Clients, percent of `maxclients`.
    pub redis_clients: Limit,
    /// With fewer days left a certificate is worth a look.
    pub certificate_warning_days: f64,
    /// With fewer days left a certificate is as good as broken.
    pub certificate_critical_days: f64,
    /// Deaths nobody asked for that make a crash loop.
    pub crash_loop_deaths: u32,
    /// The time in which they count, in seconds.
    pub crash_loop_window_secs: u64,
    /// Above this share of time waited for a processor (percent), slow answers prove
    /// nothing and only an exit is believed.
    pub pressure_cpu_percent: f64,
    /// The same where the kernel measures no pressure: load over one minute for each core.
    pub pressure_load_per_core: f64,
    /// How long PostgreSQL, MySQL, Redis and TCP targets are waited for, in milliseconds.
    pub probe_limit_ms: u64,
    /// How long HTTP targets are waited for, in milliseconds: what answers within it is slow at
    /// worst, what does not hangs and may be restarted. A target found in a container's health
    /// check is waited for no longer than that check waits.
    pub http_probe_limit_ms: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            host_cpu: limit(None, Some(90.0), 10.0, 60),
            host_memory: limit(None, Some(90.0), 5.0, 60),
            host_swap: limit(Some(80.0), None, 10.0, 60),
            host_load: limit(Some(4.0), None, 1.0, 120),
            host_pressure: limit(Some(80.0), None, 20.0, 30),
            host_disk: limit(Some(85.0), Some(95.0), 1.0, 30),
            host_inodes: limit(Some(85.0), Some(95.0), 1.0, 30),
            container_cpu: limit(Some(95.0), None, 15.0, 300),
            container_memory: limit(Some(80.0), Some(90.0), 5.0, 30),
            http_latency_ms: limit(Some(5000.0), None, 1000.0, 30),
            postgres_latency_ms: limit(Some(1000.0), None, 250.0, 30),
            postgres_connections: limit(Some(80.0), Some(90.0), 5.0, 10),
            postgres_idle_in_transaction_secs: limit(Some(300.0), None, 60.0, 0),
            postgres_blocked: limit(Some(0.0), None, 0.0, 30),
            mysql_latency_ms: limit(Some(1000.0), None, 250.0, 30),
            mysql_connections: limit(Some(80.0), Some(90.0), 5.0, 10),
            mysql_idle_in_transaction_secs: limit(Some(300.0), None, 60.0, 0),
            mysql_blocked: limit(Some(0.0), None, 0.0, 30),
            redis_latency_ms: limit(Some(500.0), None, 100.0, 30),
            redis_memory: limit(Some(90.0), Some(95.0), 2.0, 10),
            redis_clients: limit(Some(80.0), Some(90.0), 5.0, 10),
            certificate_warning_days: 14.0,
            certificate_critical_days: 3.0,
            crash_loop_deaths: 3,
            crash_loop_window_secs: 300,
            pressure_cpu_percent: 80.0,
            pressure_load_per_core: 4.0,
            probe_limit_ms: 2000,
            http_probe_limit_ms: 9000,
        }
    }
}

impl Thresholds {
    /// Everything that cannot be meant, each in a sentence; empty if all is well.
    pub fn validate(&self) -> Vec<String> {
        let percent = [
            ("host_cpu", &self.host_cpu),
            ("host_memory", &self.host_memory),
            ("host_swap", &self.host_swap),
            ("host_pressure", &self.host_pressure),
            ("host_disk", &self.host_disk),
            ("host_inodes", &self.host_inodes),
            ("container_memory", &self.container_memory),
            ("postgres_connections", &self.postgres_connections),
            ("mysql_connections", &self.mysql_connections),
            ("redis_memory", &self.redis_memory),
            ("redis_clients", &self.redis_clients),
        ];
        let open = [
            ("host_load", &self.host_load),
            ("container_cpu", &self.container_cpu),
            ("http_latency_ms", &self.http_latency_ms),
            ("postgres_latency_ms", &self.postgres_latency_ms),
            ("postgres_idle_in_transaction_secs", &self.postgres_idle_in_transaction_secs),
            ("postgres_blocked", &self.postgres_blocked),
            ("mysql_latency_ms", &self.mysql_latency_ms),
            ("mysql_idle_in_transaction_secs", &self.mysql_idle_in_transaction_secs),
            ("mysql_blocked", &self.mysql_blocked),
            ("redis_latency_ms", &self.redis_latency_ms),
        ];
        let mut faults: Vec<String> = percent
            .iter()
            .flat_map(|(name, limit)| limit.faults(name, 100.0))
            .chain(open.iter().flat_map(|(name, limit)| limit.faults(name, f64::MAX)))
            .collect();
        faults.extend(self.other_faults());
        faults.extend(self.levels_nobody_waits_for());
        faults
    }

    /// Levels of slowness that are never seen, since the answer is given up for lost before.
    fn levels_nobody_waits_for(&self) -> impl Iterator<Item = String> + use<> {
        let waits = [
            (
                "http_probe_limit_ms",
                self.http_probe_limit_ms,
                "http_latency_ms",
                self.http_latency_ms,
            ),
            (
                "probe_limit_ms",
                self.probe_limit_ms,
                "postgres_latency_ms",
                self.postgres_latency_ms,
            ),
            ("probe_limit_ms", self.probe_limit_ms, "mysql_latency_ms", self.mysql_latency_ms),
            ("probe_limit_ms", self.probe_limit_ms, "redis_latency_ms", self.redis_latency_ms),
        ];
        waits.into_iter().flat_map(|(waits, millis, name, limit)| {
            let levels = [("warning", limit.warning), ("critical", limit.critical)];
            let unseen = move |level: &f64| millis >= SHORTEST_WAIT_MS && *level >= millis as f64;
            levels.into_iter().filter_map(move |(word, level)| {
                let level = level.filter(unseen)?;
                Some(format!(
                    "{waits} = {millis} is over before {name}.{word} = {level} is seen, and what \
                     has not answered by then counts as hanging, not as slow; make it larger, or \
                     lower {name}.{word}"
                ))
            })
        })
    }

    fn other_faults(&self) -> impl Iterator<Item = String> + use<> {
        let rules = [
            (
                self.certificate_critical_days > self.certificate_warning_days
                    || self.certificate_critical_days < 0.0,
                "certificate_critical_days must lie between 0 and certificate_warning_days",
            ),
            (self.crash_loop_deaths < 2, "crash_loop_deaths must be at least 2"),
            (
                self.crash_loop_window_secs == 0 || self.crash_loop_window_secs > 600,
                "crash_loop_window_secs must be 1 to 600; deaths are remembered for 10 minutes",
            ),
            (
                !(self.pressure_cpu_percent > 0.0 && self.pressure_cpu_percent <= 100.0),
                "pressure_cpu_percent must be above 0 and at most 100",
            ),
            (self.pressure_load_per_core <= 0.0, "pressure_load_per_core must be above 0"),
            (
                !(SHORTEST_WAIT_MS..=60_000).contains(&self.probe_limit_ms),
                "probe_limit_ms must be 50 to 60000",
            ),
            (
                !(SHORTEST_WAIT_MS..=60_000).contains(&self.http_probe_limit_ms),
                "http_probe_limit_ms must be 50 to 60000",
            ),
        ];
        rules.into_iter().filter(|(wrong, _)| *wrong).map(|(_, text)| text.to_owned())
    }
}

impl Limit {
    fn faults(&self, name: &str, highest: f64) -> Vec<String> {
        let levels = [("warning", self.warning), ("critical", self.critical)];
        let mut faults: Vec<String> = levels
            .into_iter()
            .filter_map(|(word, level)| Some((word, level?)))
            .filter(|(_, level)| !(0.0..=highest).contains(level))
            .map(|(word, level)| {
                if highest < f64::MAX {
                    format!("{name}.{word} = {level} must be 0 to {highest}")
                } else {
                    format!("{name}.{word} = {level} must not be below 0")
                }
            })
            .collect();
        if let (Some(warning), Some(critical)) = (self.warning, self.critical)
            && warning > critical
        {
            faults.push(format!(
                "{name}.warning = {warning} is above {name}.critical = {critical}; swap them"
            ));
        }
        let lowest = self.warning.into_iter().chain(self.critical).fold(highest, f64::min);
        if !(0.0..=lowest).contains(&self.hysteresis) {
            let hysteresis = self.hysteresis;
            faults.push(format!(
                "{name}.hysteresis = {hysteresis} must be 0 to the lowest level ({lowest})"
            ));
        }
        if self.hold_secs > 86_400 {
            faults.push(format!("{name}.hold_secs must be at most one day (86400)"));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Thresholds::default().validate(), Vec::<String>::new());
    }

    #[test]
    fn every_level_has_a_hold_time_and_hysteresis_where_these_mean_something() {
        let all = serde_json::to_value(Thresholds::default()).unwrap();
        let without = |part: &str| {
            let limits = all.as_object().unwrap().iter();
            let lacks =
                limits.filter(|(_, limit)| limit.get(part).is_some_and(|v| v == 0.0 || v == 0));
            lacks.map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        let times = ["mysql_idle_in_transaction_secs", "postgres_idle_in_transaction_secs"];
        assert_eq!(without("hold_secs"), times, "itself a time");
        let counts = ["mysql_blocked", "postgres_blocked"];
        assert_eq!(without("hysteresis"), counts, "nothing lies below one session");
    }

    #[test]
    fn every_impossible_value_is_told_at_once() {
        let thresholds = Thresholds {
            host_cpu: limit(None, Some(190.0), 10.0, 60),
            host_disk: limit(Some(95.0), Some(85.0), -1.0, 0),
            certificate_critical_days: 20.0,
            probe_limit_ms: 0,
            ..Thresholds::default()
        };
        let faults = thresholds.validate().join("\n");
        for part in ["host_cpu.critical", "host_disk.warning", "host_disk.hysteresis"] {
            assert!(faults.contains(part), "{faults}");
        }
        assert_eq!(faults.lines().count(), 5, "{faults}");
    }

    #[test]
    fn what_counts_as_slow_must_be_waited_for() {
        let thresholds = Thresholds {
            http_latency_ms: limit(Some(8_999.0), Some(9_000.0), 0.0, 0),
            redis_latency_ms: limit(Some(2_500.0), None, 0.0, 0),
            ..Thresholds::default()
        };
        let faults = thresholds.validate();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(
            faults[0].starts_with("http_probe_limit_ms = 9000 ")
                && faults[0].contains("http_latency_ms.critical = 9000 "),
            "{faults:?}"
        );
        assert!(faults[1].starts_with("probe_limit_ms = 2000 "), "{faults:?}");
    }
}
