//! Remembers levels over two days and tells which will soon be too high.
//!
//! It adds observations of its own (`container.memory_forecast` beside `container.memory`)
//! only while a limit will be reached within a day: the number of hours left. It judges no
//! level that is over its threshold already; that is told by the level itself. Bounded: so
//! many levels, so many points each.

use std::collections::{BTreeMap, VecDeque};

use super::forecast::{Forecast, Point, forecast};
use crate::model::{
    CheckName, HealthReport, Observation, ObservedValue, TargetId, TargetReport, Timestamp, Verdict,
};

/// What is followed, with the words for what happens at the limit.
const FOLLOWED: [(&str, &str); 8] = [
    ("host.memory", "the host's memory is used up"),
    ("host.disk", "it is full"),
    ("host.inodes", "its inodes are used up"),
    ("container.memory", "its memory limit is reached"),
    ("postgres.connections", "all connections are taken"),
    ("mysql.connections", "all connections are taken"),
    ("redis.memory", "`maxmemory` is reached"),
    ("redis.clients", "all client connections are taken"),
];
/// Everything followed is a share of what there is, in percent.
const LIMIT: f64 = 100.0;
/// Points closer together than this are left out, in seconds.
const SPACING: f64 = 110.0;
/// Points kept: two days of one in five minutes.
const MOST_POINTS: usize = 576;
/// Levels followed at most.
const MOST_LEVELS: usize = 2_048;
/// What is further away is nobody's business yet, in seconds.
const HORIZON: f64 = 24.0 * 3600.0;

/// The levels remembered.
#[derive(Debug, Clone, Default)]
pub(super) struct Trends {
    levels: BTreeMap<(TargetId, CheckName), Level>,
}

#[derive(Debug, Clone, Default)]
struct Level {
    /// When what is measured began to live: another life is another level.
    life: Option<Timestamp>,
    points: VecDeque<Point>,
    warned_since: Option<Timestamp>,
}

impl Trends {
    /// Takes an observation made before the program started.
    pub(super) fn remember(&mut self, observation: &Observation) {
        self.add(observation, None);
    }

    /// Takes what was just seen of a target, and tells what will be too high soon.
    pub(super) fn watch(&mut self, report: &TargetReport) -> Vec<Observation> {
        let life = report.state.container().and_then(|facts| facts.started_at);
        let levels = report.observations.iter().filter_map(|observation| {
            let words = words_of(&observation.check)?;
            let level = self.add(observation, life)?;
            let far = forecast(level.points.make_contiguous(), LIMIT);
            let near = far.filter(|f| f.likely <= HORIZON && !observation.verdict.is_bad());
            let Some(near) = near else {
                level.warned_since = None;
                return None;
            };
            let since = *level.warned_since.get_or_insert(observation.at);
            Some(told(observation, &near, words, since))
        });
        levels.collect()
    }

    /// Forgets targets that are gone.
    pub(super) fn retain(&mut self, exists: impl Fn(&TargetId) -> bool) {
        self.levels.retain(|(target, _), _| exists(target));
    }

    fn add(&mut self, seen: &Observation, life: Option<Timestamp>) -> Option<&mut Level> {
        words_of(&seen.check)?;
        let ObservedValue::Number(value) = seen.value else { return None };
        let key = (seen.target.clone(), seen.check.clone());
        if self.levels.len() >= MOST_LEVELS && !self.levels.contains_key(&key) {
            return None;
        }
        let level = self.levels.entry(key).or_default();
        if level.life != life {
            *level = Level { life, ..Level::default() };
        }
        let at = seen.at.timestamp_millis() as f64 / 1000.0;
        let last = level.points.back().map(|point| point.0);
        // A clock set back makes everything later wrong; start anew.
        if last.is_some_and(|last| at < last) {
            level.points.clear();
        }
        if last.is_none_or(|last| at < last || at - last >= SPACING) {
            level.points.push_back((at, value));
        }
        if level.points.len() > MOST_POINTS {
            level.points.pop_front();
        }
        Some(level)
    }
}

/// The observations that are worth keeping beyond a restart: levels that are followed. Not of
/// containers: they are many, and their lives short.
pub fn lasting(report: &HealthReport) -> impl Iterator<Item = &Observation> {
    let lasts = |seen: &&Observation| {
        seen.target.container_name().is_none() && words_of(&seen.check).is_some()
    };
    report.targets.iter().flat_map(|target| &target.observations).filter(lasts)
}

/// The names of all forecasts, such as `host.disk_forecast`: each wants a runbook.
pub fn forecasts() -> impl Iterator<Item = CheckName> {
    FOLLOWED.iter().map(|(check, _)| format!("{check}_forecast"))
}

fn base(check: &str) -> &str {
    check.split(':').next().unwrap_or(check)
}

fn words_of(check: &str) -> Option<&'static str> {
    FOLLOWED.iter().find(|(followed, _)| *followed == base(check)).map(|(_, words)| *words)
}

fn told(level: &Observation, found: &Forecast, words: &str, since: Timestamp) -> Observation {
    let check = match level.check.split_once(':') {
        Some((base, instance)) => format!("{base}_forecast:{instance}"),
        None => format!("{}_forecast", level.check),
    };
    let detail = format!(
        "{words} in {} at this rate ({} to {}): {}{} now, {:+.1} points an hour",
        time(found.likely),
        time(found.earliest),
        time(found.latest),
        level.value,
        level.unit,
        found.an_hour
    );
    Observation {
        target: level.target.clone(),
        check,
        value: ObservedValue::Number(found.likely / 3600.0),
        unit: "h".to_owned(),
        verdict: Verdict::Warning,
        detail,
        at: level.at,
        since,
    }
}

/// `40 min`, `9 h`.
fn time(seconds: f64) -> String {
    if seconds < 90.0 * 60.0 {
        format!("{:.0} min", (seconds / 60.0).max(1.0))
    } else {
        format!("{:.0} h", seconds / 3600.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fakes::start_time;
    use crate::model::{Target, TargetState};

    fn disk(minutes: u64, used: f64, verdict: Verdict) -> Observation {
        let at = start_time() + Duration::from_secs(minutes * 60);
        Observation {
            target: TargetId::host(),
            check: "host.disk:/var".to_owned(),
            value: ObservedValue::Number(used),
            unit: "%".to_owned(),
            verdict,
            detail: String::new(),
            at,
            since: at,
        }
    }

    fn watch(trends: &mut Trends, seen: Observation) -> Vec<Observation> {
        let at = seen.at;
        let target = Target::bare(TargetId::host());
        let state = TargetState { target, facts: Err("not looked at".into()), events: vec![], at };
        trends.watch(&TargetReport { state, observations: vec![seen] })
    }

    #[test]
    fn a_filling_disk_is_told_hours_before_with_its_mount_and_its_band() {
        let mut trends = Trends::default();
        let mut told = vec![];
        for step in 0..=72 {
            // 4 % an hour from 40 %.
            let used = 40.0 + step as f64 / 3.0;
            told = watch(&mut trends, disk(step * 5, used, Verdict::Ok));
        }
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].check, "host.disk_forecast:/var");
        assert_eq!((told[0].verdict, told[0].unit.as_str()), (Verdict::Warning, "h"));
        let detail = &told[0].detail;
        assert!(detail.starts_with("it is full in 9 h at this rate (9 h to 9 h)"), "{detail}");
        assert!(detail.ends_with("+4.0 points an hour"), "{detail}");
        assert!(told[0].since < told[0].at, "it has been known for a while");
    }

    #[test]
    fn what_was_observed_before_a_restart_counts() {
        let before: Vec<Observation> =
            (0..72).map(|step| disk(step * 5, 40.0 + step as f64 / 3.0, Verdict::Ok)).collect();
        let mut trends = Trends::default();
        for observation in &before {
            trends.remember(observation);
        }
        assert_eq!(watch(&mut trends, disk(360, 64.0, Verdict::Ok)).len(), 1);
    }

    #[test]
    fn a_level_that_is_too_high_already_speaks_for_itself() {
        let mut trends = Trends::default();
        for step in 0..72 {
            let told =
                watch(&mut trends, disk(step * 5, 60.0 + step as f64 / 3.0, Verdict::Warning));
            assert_eq!(told, []);
        }
    }

    #[test]
    fn a_clock_set_back_starts_anew() {
        let mut trends = Trends::default();
        for step in 0..72 {
            watch(&mut trends, disk(1000 + step * 5, 40.0 + step as f64 / 3.0, Verdict::Ok));
        }
        assert_eq!(watch(&mut trends, disk(0, 64.0, Verdict::Ok)), []);
    }
}
