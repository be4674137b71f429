//! The second agent: finds what is wrong, in the verdicts of checks and in what was logged.
//!
//! Its one invariant: the same trouble of the same target always has the same key, so that
//! an incident grows instead of multiplying. It judges nothing itself (checks bring their
//! verdict, runbooks their signatures), blames nobody, and remembers no more than ten
//! minutes of signs.

pub mod catalogue;
mod checks;
pub mod level;
mod literals;
mod matcher;
mod odd_lines;
mod origin;
pub mod outside;
mod reading;
pub mod review;
mod rules;
mod start_errors;
mod strangers;
pub mod vocabulary;
mod window;

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::model::{
    ContainerFacts, Finding, FindingSource, HealthReport, LogBatch, LogCursor, LogLine, Program,
    Runbook, Side, TargetId, TargetKind, Timestamp, Trend, Verdict,
};
use crate::root_cause::Graph;

pub use catalogue::{BrokenRunbook, Catalogue, Keep, Match};
pub use level::error_lines;
pub use odd_lines::KnownLines;
use odd_lines::OddLines;
pub use reading::read_logs;
pub use strangers::shown;
use window::{Sign, WINDOW, Window};

/// Windows kept at most; beyond, new trouble in logs waits for old trouble to fade.
const MAX_WINDOWS: usize = 4_096;
/// What a former life of a container wrote counts until the present one has lasted so long.
const PROVEN_LIFE: TimeDelta = TimeDelta::seconds(60);
/// After so long without any report about it, a target is gone.
const FORGOTTEN: TimeDelta = TimeDelta::hours(1);

/// Finds what is wrong; keeps the signs of the last ten minutes between two cycles.
#[derive(Debug, Default)]
pub struct ErrorDetector {
    windows: BTreeMap<(TargetId, String, Side), Window>,
    /// How far each container's log was counted.
    counted: BTreeMap<TargetId, LogCursor>,
    numbers: BTreeMap<String, f64>,
    odd_lines: OddLines,
}

impl ErrorDetector {
    /// Everything that is wrong with the targets of `report`, worst first.
    ///
    /// `logs` holds the new lines by container; a line handed over twice counts once.
    pub fn detect(
        &mut self,
        report: &HealthReport,
        logs: &BTreeMap<TargetId, LogBatch>,
        catalogue: &Catalogue,
    ) -> Vec<Finding> {
        self.keep_signs_of(catalogue);
        let left: Vec<_> = logs
            .iter()
            .map(|(container, batch)| (container, self.count(report, container, batch, catalogue)))
            .collect();
        self.fade(report, catalogue);
        let mut findings = checks::findings(report, catalogue, &self.numbers);
        findings.extend(self.log_findings(report, catalogue));
        // Its log of an earlier life may say the same; then the log's finding stays.
        let of_starts = start_errors::findings(report, catalogue);
        let known: BTreeSet<String> = findings.iter().map(|f| f.key.clone()).collect();
        findings.extend(of_starts.into_iter().filter(|f| !known.contains(&f.key)));
        self.remember_numbers(report);
        let ill = odd_lines::ill_containers(report, &findings);
        for (container, lines) in left {
            self.odd_lines.read(report, container, &lines, ill.contains(container));
        }
        findings.extend(self.odd_lines.findings(report, &ill));
        rank(&mut findings);
        findings
    }

    /// What became odd at the same moment in several logs, as [`Self::detect`] left it.
    pub fn together(&self, report: &HealthReport, graph: &Graph) -> Vec<Finding> {
        self.odd_lines.together(report, graph)
    }

    /// Whether it knows what lines a container usually writes, or learns it.
    pub fn listens_to(&self, container: &TargetId) -> bool {
        self.odd_lines.listens_to(container)
    }

    /// From now on lines of this container that no runbook knows are judged by what was known of
    /// it, or from nothing.
    pub fn listen(&mut self, container: TargetId, known: Option<KnownLines>) {
        self.odd_lines.listen(container, known);
    }

    /// What is known of the lines of each container, where it is time to write it down.
    pub fn known_lines(&mut self, now: Timestamp) -> Vec<(TargetId, KnownLines)> {
        self.odd_lines.due_to_be_kept(now)
    }

    /// Stops listening to containers that are no more.
    pub fn listen_only_to(&mut self, is_there: impl Fn(&TargetId) -> bool) {
        self.odd_lines.retain(is_there);
    }

    /// Forgets the signs seen on a target or in its container's log, so that only what is
    /// logged from now on counts. Meant for the moment after a fix.
    pub fn forget(&mut self, target: &TargetId) {
        self.windows.retain(|(home, ..), window| home != target && window.container != *target);
    }

    /// Drops what was counted of signatures that changed since: it says nothing of the new ones.
    fn keep_signs_of(&mut self, catalogue: &Catalogue) {
        self.windows.retain(|(_, id, _), window| {
            catalogue.get(id).is_some_and(|runbook| window.keep_signs_of(runbook))
        });
    }

    /// Counts what runbooks know; returns the new lines, each with whether one knows it.
    fn count<'b>(
        &mut self,
        report: &HealthReport,
        container: &TargetId,
        batch: &'b LogBatch,
        catalogue: &Catalogue,
    ) -> Vec<(&'b LogLine, bool)> {
        let facts = checks::container_of(report, container);
        let program = facts.map(Program::from);
        let lines = fresh(batch, self.counted.get(container).copied());
        let mut new: Vec<(&LogLine, bool)> = lines.map(|line| (line, false)).collect();
        let mut known = vec![];
        let windows = &mut self.windows;
        catalogue.matches_in(
            new.iter().enumerate(),
            |(_, (line, _))| line.text.as_bytes(),
            |(place, (line, _)), found| {
                if !origin::is_first_hand(&line.text, &found, facts) {
                    return;
                }
                // Logs are read after the report began.
                let at = line.at.min(report.at);
                let Some(home) = home(report, container, program, &found) else {
                    return;
                };
                known.push(*place);
                let key = (home, found.runbook.id.clone(), found.side());
                if windows.contains_key(&key) || windows.len() < MAX_WINDOWS {
                    let new = || Window::new(container.clone(), at);
                    windows.entry(key).or_insert_with(new).add(
                        at,
                        Sign::of(found.sign()),
                        &line.text,
                    );
                }
            },
        );
        if let Some(cursor) = batch.cursor {
            let counted = self.counted.entry(container.clone()).or_insert(cursor);
            if (cursor.at, cursor.seen_at) > (counted.at, counted.seen_at) {
                *counted = cursor;
            }
        }
        for place in known {
            new[place].1 = true;
        }
        new
    }

    /// Drops signs that are too old, of a life that is over and done with, or from before what
    /// shows that they are over.
    fn fade(&mut self, report: &HealthReport, catalogue: &Catalogue) {
        self.windows.retain(|(home, id, _), window| {
            if report.target(home).is_none() {
                return window.reported_at >= report.at - FORGOTTEN;
            }
            window.reported_at = report.at;
            let now = last_moment(report, &window.container);
            let born = proven_life(report, &window.container);
            let over = catalogue.get(id).and_then(|runbook| over_since(report, runbook, window));
            let oldest = [born, over].into_iter().flatten().fold(now - WINDOW, Timestamp::max);
            window.prune(oldest)
        });
        if self.counted.len() > MAX_WINDOWS {
            self.counted.retain(|container, _| report.target(container).is_some());
        }
    }

    fn log_findings(&self, report: &HealthReport, catalogue: &Catalogue) -> Vec<Finding> {
        let mut findings = Vec::new();
        for ((home, id, side), window) in &self.windows {
            let Some(runbook) = catalogue.get(id) else {
                continue;
            };
            let now = last_moment(report, &window.container);
            let speaks = report.target(home).is_some() && !lies_in_peace(report, &window.container);
            if speaks && window.counts(runbook, now) {
                findings.push(log_finding(home, runbook, *side, window, now));
            }
        }
        findings
    }

    fn remember_numbers(&mut self, report: &HealthReport) {
        let seen: BTreeSet<String> = report.targets.iter().map(|t| t.id().to_string()).collect();
        self.numbers.retain(|key, _| {
            let target = key.split(' ').next().unwrap_or_default();
            !seen.contains(target)
        });
        self.numbers.extend(checks::numbers(report));
        if self.numbers.len() > MAX_WINDOWS {
            self.numbers.clear();
        }
    }
}

/// Whose finding a line of a container's log is: the data service in that container, if the
/// runbook speaks of its kind first, else the container. A runbook about the host takes what a
/// log collector passes on of the kernel (see [`origin`]). `None` if it does not apply.
///
/// A client's line is the client's, whatever it runs in.
fn home(
    report: &HealthReport,
    container: &TargetId,
    program: Option<Program<'_>>,
    found: &Match<'_>,
) -> Option<TargetId> {
    if found.side() == Side::Client {
        return Some(container.clone());
    }
    let applies = &found.runbook.applies;
    let kinds = &applies.kinds;
    let first_kind = kinds.first().copied().unwrap_or(TargetKind::Container);
    if !applies.fits(first_kind, program) {
        return None;
    }
    let of_kind = |kind: TargetKind| {
        if kind == TargetKind::Container {
            return Some(container.clone());
        }
        if kind == TargetKind::Host {
            return report.target(&TargetId::host()).map(|_| TargetId::host());
        }
        let within = |target: &&crate::model::TargetReport| {
            target.id().kind() == kind
                && target.state.target.container.as_deref() == container.container_name()
        };
        report.targets.iter().find(within).map(|target| target.id().clone())
    };
    if kinds.is_empty() {
        return Some(container.clone());
    }
    kinds.iter().find_map(|kind| of_kind(*kind))
}

/// The lines of a batch that were not counted before.
///
/// A batch either goes on from what was counted, or was read again from further back.
fn fresh(batch: &LogBatch, counted: Option<LogCursor>) -> impl Iterator<Item = &LogLine> {
    let again = counted.is_some_and(|counted| {
        batch.cursor == Some(counted) || batch.lines.iter().any(|line| line.at < counted.at)
    });
    let mut at_cursor = 0;
    batch.lines.iter().filter(move |line| match counted {
        Some(counted) if again && line.at <= counted.at => {
            at_cursor += u32::from(line.at == counted.at);
            line.at == counted.at && at_cursor > counted.seen_at
        }
        _ => true,
    })
}

/// The moment a container's log has to speak of: now, or its end if it has ended.
fn last_moment(report: &HealthReport, container: &TargetId) -> Timestamp {
    let facts = report.target(container).and_then(|target| target.state.container());
    facts.filter(|f| f.is_down()).and_then(|f| f.finished_at).unwrap_or(report.at)
}

/// The start of the present life, once it has lasted long enough to stand for itself.
fn proven_life(report: &HealthReport, container: &TargetId) -> Option<Timestamp> {
    let facts = report.target(container)?.state.container()?;
    let born = facts.started_at.filter(|_| facts.is_up())?;
    (report.at - born >= PROVEN_LIFE).then_some(born)
}

/// When what shows that the runbook's trouble is over was seen last, in the container that wrote
/// of it.
fn over_since(report: &HealthReport, runbook: &Runbook, window: &Window) -> Option<Timestamp> {
    let over = runbook.over_when.as_ref()?;
    let of_container = report.targets.iter().filter(|target| {
        container_of_target(report, target.id()).as_ref() == Some(&window.container)
    });
    let seen = of_container.flat_map(|target| &target.observations).filter(|seen| over.fits(seen));
    // A line that was read after the report began is counted at its beginning, and may be newer.
    seen.map(|seen| seen.at.min(report.at)).max()
}

/// Whether a container does not run and that is as it should be: what it logged on its way
/// out is nobody's trouble.
fn lies_in_peace(report: &HealthReport, container: &TargetId) -> bool {
    let Some(target) = report.target(container) else {
        return false;
    };
    let down = target.state.container().is_some_and(ContainerFacts::is_down);
    let fine = target.observation("container.state").is_some_and(|o| o.verdict == Verdict::Ok);
    down && fine
}

fn log_finding(
    home: &TargetId,
    runbook: &Runbook,
    side: Side,
    window: &Window,
    now: Timestamp,
) -> Finding {
    let count = window.count();
    let lines = if count == 1 { "line" } else { "lines" };
    let whose = if side == Side::Client { ", as a client of it says" } else { "" };
    Finding {
        key: Finding::log_key(home, &runbook.id, side),
        target: home.clone(),
        source: FindingSource::Log { runbook: runbook.id.clone(), side },
        category: runbook.category,
        severity: runbook.severity,
        message: format!("{}{whose} ({count} {lines} in its log)", runbook.title),
        samples: window.samples(),
        count,
        first_seen: window.first_seen,
        last_seen: window.last_seen,
        trend: window.trend(now),
    }
}

/// Worst first: by severity, by the number of targets that show the same, by trend.
fn rank(findings: &mut [Finding]) {
    let mut spread: BTreeMap<String, u64> = BTreeMap::new();
    for finding in findings.iter() {
        *spread.entry(kind_of(finding)).or_default() += 1;
    }
    findings.sort_by_cached_key(|finding| {
        let trend = match finding.trend {
            Trend::Rising => 0,
            Trend::Steady => 1,
            Trend::Falling => 2,
        };
        (
            std::cmp::Reverse(finding.severity),
            std::cmp::Reverse(spread.get(&kind_of(finding)).copied()),
            trend,
            finding.key.clone(),
        )
    });
}

/// What makes two findings on different targets the same trouble.
fn kind_of(finding: &Finding) -> String {
    match &finding.source {
        FindingSource::Check { check, value } => format!("{check} {value}"),
        FindingSource::Log { runbook, .. } => runbook.clone(),
        FindingSource::Pattern { oddity, .. } => format!("lines {}", oddity.as_str()),
        FindingSource::Alert { name, .. } => format!("alert {name}"),
    }
}

/// The container a target is, or runs in.
fn container_of_target(report: &HealthReport, id: &TargetId) -> Option<TargetId> {
    if id.container_name().is_some() {
        return Some(id.clone());
    }
    report.target(id)?.state.target.container.as_deref().map(TargetId::container)
}

#[cfg(test)]
mod tests;
