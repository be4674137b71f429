//! Compares how long a service takes to answer after a fix with how long it took before the fault,
//! asked from outside both times.
//!
//! By medians, which a few slow answers do not move, and by the median distance from them, so that
//! what is uneven by nature is not called slow. Only "slower" is ever concluded, and only what anybody
//! would notice; where little is known, nothing is. What it took while something was wrong, or while
//! the host was overloaded, is no part of what is usual.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::TimeDelta;
use selfheal_agents::model::{LatencyBaseline, ObservedValue, TargetReport, Timestamp, Verdict};
use selfheal_agents::ports::StoreResult;
use serde::{Deserialize, Serialize};

use super::look::Seen;
use super::state::{Inner, lock};

/// Fewer answers say little, before as after.
const LEAST_ANSWERS: usize = 5;
/// So many times slower than usual is no success ...
const LEAST_FACTOR: f64 = 3.0;
/// ... if it is farther from what is usual than so many times the usual distance ...
const LEAST_DISTANCES: f64 = 6.0;
/// ... and if anybody would notice, in milliseconds.
const LEAST_MORE_MS: f64 = 50.0;
/// What is usual is what was so lately.
const LATELY: TimeDelta = TimeDelta::hours(24);
/// Answers kept of one container at most.
const ANSWERS: usize = 100;
/// A burst of looks is one answer.
const APART: TimeDelta = TimeDelta::seconds(10);
/// So many answers are lost with a restart at most.
const UNWRITTEN: usize = 5;
/// Before the name of each container of which it is known.
pub(super) const LATENCIES: &str = "latency.";

/// How long one container's slowest endpoint took to answer when nothing was wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct CalmLatency {
    answers: VecDeque<(Timestamp, f64)>,
    #[serde(skip)]
    unwritten: usize,
}

impl CalmLatency {
    fn answered(&mut self, at: Timestamp, ms: f64) {
        // What lies ahead is of before the clock was set back.
        self.answers.retain(|(known, _)| *known <= at && at - *known <= LATELY);
        if self.answers.back().is_some_and(|(last, _)| at - *last < APART) {
            return;
        }
        self.answers.push_back((at, ms));
        self.unwritten += 1;
        if self.answers.len() > ANSWERS {
            self.answers.pop_front();
        }
    }

    /// What was usual before the fault that began at `onset`; `None` when that is not known.
    fn before(&self, onset: Timestamp) -> Option<LatencyBaseline> {
        let before = self.answers.iter().filter(|(at, _)| *at < onset);
        let all = sorted(before.map(|(_, ms)| *ms).collect());
        let median_ms = median(&all)?;
        let distances = sorted(all.iter().map(|ms| (ms - median_ms).abs()).collect());
        Some(LatencyBaseline {
            median_ms,
            distance_ms: median(&distances)?,
            ninth_decile_ms: ninth_decile(&all),
            answers: u32::try_from(all.len()).unwrap_or(u32::MAX),
        })
    }
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// The median of sorted values; `None` of too few.
fn median(of: &[f64]) -> Option<f64> {
    let middle = of.len() / 2;
    (of.len() >= LEAST_ANSWERS).then(|| match of.len() % 2 {
        0 => f64::midpoint(of[middle - 1], of[middle]),
        _ => of[middle],
    })
}

/// What one in ten of sorted values exceeds.
fn ninth_decile(of: &[f64]) -> f64 {
    of.get(of.len().saturating_sub(1) * 9 / 10).copied().unwrap_or_default()
}

/// How it answers now, in words, where that is clearly slower than usual.
pub(super) fn slower(now: Vec<f64>, usual: LatencyBaseline) -> Option<String> {
    let now = median(&sorted(now))?;
    let more = now - usual.median_ms;
    let is_slower = now > LEAST_FACTOR * usual.median_ms
        && more > LEAST_DISTANCES * usual.distance_ms
        && more > LEAST_MORE_MS
        // What has its slow hours is no slower for being in one.
        && now > usual.ninth_decile_ms;
    is_slower.then(|| format!("it takes {now:.0} ms where {:.0} ms are usual", usual.median_ms))
}

fn name_of(container: &str) -> String {
    format!("{LATENCIES}{container}")
}

/// How long the slowest of the endpoints of each container took, where all of them are well.
fn calm(seen: &Seen) -> BTreeMap<&str, f64> {
    let mut slowest: BTreeMap<&str, f64> = BTreeMap::new();
    let mut ill: BTreeSet<&str> = BTreeSet::new();
    for report in &seen.report.targets {
        let name = report.id().container_name().or(report.state.target.container.as_deref());
        let Some(name) = name else { continue };
        if report.verdict() > Verdict::Ok {
            ill.insert(name);
        }
        if let Some(ms) = latency_of(report) {
            let known = slowest.entry(name).or_default();
            *known = known.max(ms);
        }
    }
    let trouble = seen.findings.iter().filter(|finding| finding.is_own_trouble());
    let targets = trouble.filter_map(|finding| seen.inventory.targets.get(&finding.target));
    ill.extend(targets.filter_map(|target| target.container.as_deref()));
    slowest.retain(|name, _| !ill.contains(name));
    slowest
}

/// How long an endpoint took to answer, in milliseconds.
pub(super) fn latency_of(report: &TargetReport) -> Option<f64> {
    report.observations.iter().find_map(|seen| match (seen.check.split_once('.'), &seen.value) {
        (Some((_, "latency")), ObservedValue::Number(ms)) => Some(*ms),
        _ => None,
    })
}

impl Inner {
    /// Takes in how long it took those to answer that a cycle found well.
    pub(super) async fn remember_latencies(&self, seen: &Seen) {
        if seen.report.under_pressure {
            return;
        }
        for (container, ms) in calm(seen) {
            match self.calm_latency(container).await {
                Ok(known) => {
                    let mut calm = known.unwrap_or_default();
                    calm.answered(seen.now, ms);
                    self.keep_latency(container, &mut calm).await;
                    lock(&self.latencies).insert(container.to_owned(), calm);
                }
                // To begin without it would overwrite it in the end.
                Err(error) => {
                    tracing::error!(container.name = container, %error, "how it usually answers cannot be read");
                }
            }
        }
    }

    /// How a container usually answered before a fault; `None` where that is not known.
    pub(super) async fn latency_baseline(
        &self,
        container: &str,
        onset: Timestamp,
    ) -> Option<LatencyBaseline> {
        self.calm_latency(container).await.ok().flatten()?.before(onset)
    }

    /// What is known of it, by this run or by the one before.
    async fn calm_latency(&self, container: &str) -> StoreResult<Option<CalmLatency>> {
        let known = lock(&self.latencies).get(container).cloned();
        match known {
            Some(known) => Ok(Some(known)),
            None => self.recall(&name_of(container)).await,
        }
    }

    async fn keep_latency(&self, container: &str, calm: &mut CalmLatency) {
        if calm.unwritten < UNWRITTEN {
            return;
        }
        match self.keep_in_mind(&name_of(container), calm).await {
            Ok(()) => calm.unwritten = 0,
            Err(error) => {
                tracing::error!(container.name = container, %error, "how it usually answers is not kept");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn usual(answers: &[f64]) -> Option<LatencyBaseline> {
        let mut calm = CalmLatency::default();
        for (n, ms) in (0..).zip(answers) {
            calm.answered(at(60 * n), *ms);
        }
        calm.before(at(86_400))
    }

    #[test]
    fn only_what_is_much_slower_and_would_be_noticed_is_slower() {
        let even = usual(&[80.0, 82.0, 78.0, 81.0, 80.0, 4_000.0]).unwrap();
        assert!((even.median_ms - 80.5).abs() < 1e-9, "one slow answer moves nothing: {even:?}");
        let slow = |ms: f64, usual| slower(vec![ms; 20], usual).is_some();
        assert!(slow(300.0, even));
        assert!(!slow(200.0, even), "it is not three times slower");
        assert!(!slow(4.0, usual(&[1.0; 9]).unwrap()), "nobody notices");
        let uneven = usual(&[20.0, 200.0, 90.0, 180.0, 25.0, 150.0, 60.0]).unwrap();
        assert!(!slow(300.0, uneven), "it was so before, too: {uneven:?}");
        let mut hourly = vec![20.0; 50];
        hourly.extend(vec![300.0; 10]);
        assert!(!slow(300.0, usual(&hourly).unwrap()), "it has its slow minutes");
        let mostly_quick = [vec![80.0; 12], vec![9_000.0; 8]].concat();
        assert_eq!(slower(mostly_quick, even), None, "a few slow answers are no slow service");
    }

    #[test]
    fn too_few_answers_prove_nothing() {
        assert_eq!(usual(&[80.0; 4]), None);
        let known = usual(&[80.0; 5]).unwrap();
        assert_eq!(slower(vec![900.0; 4], known), None);
        assert!(slower(vec![900.0; 5], known).is_some());
    }

    #[test]
    fn what_came_with_the_fault_or_long_ago_is_not_usual() {
        let mut calm = CalmLatency::default();
        for n in 0..10 {
            calm.answered(at(60 * n), 10.0);
        }
        calm.answered(at(605), 700.0);
        assert_eq!(calm.before(at(600)).unwrap().answers, 10);
        assert_eq!(calm.before(at(240)), None);
        calm.answered(at(90_000), 20.0);
        assert_eq!(calm.answers.len(), 1, "a day later");
        calm.answered(at(90_001), 20.0);
        assert_eq!(calm.answers.len(), 1, "a burst is one");
    }
}
