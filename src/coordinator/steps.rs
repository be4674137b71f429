//! Goes on with a declared setting that was turned: one step further where the last one helped in
//! part, and back to the smallest change that does.
//!
//! Its invariant: every step and every try is a fix of its own, decided by the gate, in the journal,
//! with a window of its own. Steps that only helped together stay or go together: they count as one
//! answer, and where that fails everything is as it was before the first. A try of a smaller change
//! follows only what is proven; where it fails it alone is undone, and counts for nothing.
//!
//! Rejected: to close the incident before a smaller change is tried. A crash would have to find the
//! try of a closed incident, and cycles would open another incident for what the try brings about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use selfheal_agents::fix_engineer::steps::{back, further, steps_in_a_row, turns};
use selfheal_agents::model::{
    Actor, Course, ErrorCount, Fix, FixId, Hold, Incident, IncidentState, LogBatch, LogCursor,
    Timestamp, Trouble, Tunable, Validation, ValidationVerdict,
};
use selfheal_agents::ports::StoreResult;
use selfheal_agents::root_cause::Graph;
use selfheal_agents::{error_detector, model};

use super::error_rate;
use super::look::Seen;
use super::policy::{self, ApprovedFix};
use super::progress::Phase;
use super::repair::fixes;
use super::state::Inner;
use super::survey::Noticed;
use super::validation::{Condition, END_LEVEL, Look};
use super::window::View;

/// How far back a trouble's own log is read.
const TROUBLE_BACK: chrono::TimeDelta = chrono::TimeDelta::minutes(10);
/// How many of its lines.
const TROUBLE_LINES: usize = 2000;

impl Inner {
    /// Goes one step further where the last one helped in part; answers whether it did.
    pub(super) async fn step_further(
        self: &Arc<Self>,
        incident: &mut Incident,
        view: &View,
    ) -> bool {
        let fixes = fixes(incident);
        let (Some(newest), Some(window)) = (fixes.last(), &incident.validation) else {
            return false;
        };
        let helped = helped_in_part(window, &view.look).filter(|_| newest.course != Course::Back);
        let (Some(set), Some(helped)) = (turns(newest), helped) else { return false };
        if !self.is_in_effect(newest.id).await {
            return false;
        }
        let most = self.rules().budgets.steps;
        let next = if steps_in_a_row(&fixes) >= most as usize {
            Err(format!("{most} steps are the most (healing.budget.steps)"))
        } else {
            further(newest, tunables(view, &set.target), view.look.at)
        };
        let begun = match next {
            Ok(next) => {
                self.begin_after(incident, next, view, format!("{helped}; one step further")).await
            }
            Err(why) => Err(why),
        };
        begun.is_ok() || {
            let why = begun.err().unwrap_or_default();
            let text = format!("{helped}, and no further step is made: {why}");
            incident.note(view.look.at, Actor::Validation, text);
            false
        }
    }

    /// Tries a smaller change than the proven one; answers whether it does.
    pub(super) async fn walk_back(self: &Arc<Self>, incident: &mut Incident, view: &View) -> bool {
        let fixes = fixes(incident);
        let Some(set) = fixes.last().and_then(turns) else { return false };
        let Some(less) = back(&fixes, tunables(view, &set.target), view.look.at) else {
            return false;
        };
        let to = turns(&less).map_or(set.to, |less| less.to);
        let text = format!("it works with {}; trying whether {to} does as well", set.to);
        match self.begin_after(incident, less, view, text).await {
            Ok(()) => incident.state() == IncidentState::Fixing,
            Err(why) => {
                tracing::info!(incident.id = %incident.id, why, "no smaller change is tried");
                false
            }
        }
    }

    /// Lets the gate decide on a fix that follows the newest one of a repair, and begins it; says
    /// why not. Where somebody works there nothing is begun, and nothing is in its way.
    pub(super) async fn begin_after(
        self: &Arc<Self>,
        incident: &mut Incident,
        fix: Fix,
        view: &View,
        why: String,
    ) -> Result<(), String> {
        // Cycles and other windows decide from the same history and budgets.
        let _writing = self.writing.lock().await;
        let approved = match self.decide_after(incident, fix, view).await {
            Ok(Ok(approved)) => approved,
            Ok(Err(holds)) => {
                return Err(holds.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
            }
            Err(error) => {
                tracing::error!(%error, "no decision without the store");
                return Err(error.to_string());
            }
        };
        let mut followed = incident.clone();
        followed.earlier_fixes.extend(followed.fix.replace(approved.fix().clone()));
        if let Some(window) = &mut followed.validation {
            window.went_further |= approved.fix().course == Course::Further;
        }
        followed.note(view.look.at, Actor::Validation, why);
        let begun = self.begin_repair(followed, approved).await;
        if begun.state() == IncidentState::Fixing {
            *incident = begun;
        } else {
            // Somebody works there; the next look tries again.
            self.save_quietly(incident).await;
        }
        Ok(())
    }

    async fn decide_after(
        &self,
        incident: &Incident,
        fix: Fix,
        view: &View,
    ) -> StoreResult<Result<ApprovedFix, Vec<Hold>>> {
        let Some(diagnosis) = &incident.diagnosis else {
            return Ok(Err(vec![Hold::NoFixKnown]));
        };
        let facts = self.facts_now(incident, diagnosis, &fix, &seen_by(incident, view)).await?;
        Ok(policy::decide(fix, &facts))
    }

    /// Whether all steps of a fix are applied, and none is being undone.
    async fn is_in_effect(&self, fix: FixId) -> bool {
        let progress = self.executor.progress(fix).await.ok().flatten();
        progress.is_some_and(|progress| progress.phase == Phase::Validating)
    }

    /// How bad the trouble was before `fix`, where another step of it is possible: before a further
    /// step what its forerunner left of it, else what the log says from the onset on.
    pub(super) async fn trouble_before(
        &self,
        incident: &Incident,
        fix: &Fix,
        onset: Timestamp,
    ) -> Option<Trouble> {
        turns(fix)?;
        if fix.course == Course::Further {
            return incident
                .validation
                .as_ref()
                .map(|v| Trouble { said: v.said, errors: v.errors });
        }
        let (name, until) = (self.container_behind(&fix.target)?, fix.proposed_at);
        let mut from = onset.max(until - TROUBLE_BACK);
        let cursor = LogCursor { at: from, seen_at: 0 };
        let mut logs = self.world.runtime.logs(&name, Some(cursor), TROUBLE_LINES).await.ok()?;
        if logs.lines.len() >= TROUBLE_LINES || logs.dropped > 0 {
            from = from.max(logs.lines.first()?.at);
        }
        // The first line is where the time begins: it says nothing of how often.
        logs.lines.retain(|line| line.at > from && line.at <= until);
        let secs = (until - from).as_seconds_f64();
        Some(self.trouble_in(fix, &logs, secs))
    }

    fn trouble_in(&self, fix: &Fix, logs: &LogBatch, secs: f64) -> Trouble {
        let said = ErrorCount { lines: self.said_again(fix, logs), secs };
        let errors = ErrorCount { lines: error_detector::error_lines(logs), secs };
        Trouble { said, errors }
    }

    /// Ends a try of a smaller change that failed or was never made: what was proven before it stays.
    pub(super) async fn stay_with_proven(&self, incident: &mut Incident, why: &str) {
        incident.fix = incident.earlier_fixes.pop();
        if let Some(window) = &mut incident.validation {
            window.verdict = Some(ValidationVerdict::Kept);
            window.why = Some(format!("what was proven before it stays: {why}"));
        }
        if incident.state() == IncidentState::Fixing {
            self.go(incident, IncidentState::Validating, Actor::Validation, why);
        } else {
            incident.note(self.world.clock.now(), Actor::Validation, why);
        }
        self.resolve(incident).await;
    }
}

/// Where `fix`, the newest of its incident, is only a try of a smaller change.
pub(super) fn is_try(incident: &Incident) -> bool {
    incident.fix.as_ref().is_some_and(|fix| fix.course == Course::Back)
        && !incident.earlier_fixes.is_empty()
}

/// Leaves `fix` the newest of its incident: those after it are taken back.
pub(super) fn cut_to(incident: &mut Incident, fix: &Fix) {
    if let Some(at) = incident.earlier_fixes.iter().position(|earlier| earlier.id == fix.id) {
        incident.fix = Some(fix.clone());
        incident.earlier_fixes.truncate(at);
    }
}

/// The newest fix and those that stay or go with it, newest first.
pub(super) fn together(incident: &Incident) -> Vec<Fix> {
    let mut fixes = fixes(incident);
    fixes.reverse();
    let others = fixes.iter().take_while(|fix| fix.course == Course::Further).count();
    fixes.truncate(others + 1);
    fixes
}

/// The fixes of an incident that count: of those that go together the last, and no mere try.
pub(super) fn answers(incident: &Incident) -> Vec<Fix> {
    let fixes = fixes(incident);
    let goes_on = |index: usize| {
        fixes.get(index + 1).is_some_and(|next: &Fix| next.course == Course::Further)
    };
    let counts = |(index, fix): &(usize, &Fix)| fix.course != Course::Back && !goes_on(*index);
    fixes.iter().enumerate().filter(counts).map(|(_, fix)| fix.clone()).collect()
}

/// Whether the trouble has clearly become less by what failed all the same, in words. Where
/// something else is wrong as well, nothing has helped.
fn helped_in_part(window: &Validation, look: &Look) -> Option<String> {
    let is_sound =
        look.condition == Condition::Well && look.deaths == 0 && look.new_trouble.is_none();
    let before = window.before.filter(|_| is_sound && !window.went_further)?;
    let less = error_rate::is_less(window.said, before.said, END_LEVEL)
        && !error_rate::is_worse(window.errors, before.errors, END_LEVEL);
    let a_minute = |count: ErrorCount| 60.0 * count.lines as f64 / count.secs;
    less.then(|| {
        let (now, then) = (a_minute(window.said), a_minute(before.said));
        format!("it helped in part: {now:.1} lines a minute tell of it, {then:.1} did before")
    })
}

fn tunables<'v>(view: &'v View, target: &model::TargetId) -> &'v [Tunable] {
    view.inventory.targets.get(target).map_or(&[], |target| &target.tunables)
}

fn seen_by(incident: &Incident, view: &View) -> Seen {
    Seen {
        graph: Graph::new(&view.inventory.dependencies),
        inventory: Arc::clone(&view.inventory),
        report: view.report.clone(),
        findings: incident.findings.clone(),
        events: view.events.clone(),
        logs: BTreeMap::new(),
        read_to: BTreeMap::new(),
        noticed: Noticed::default(),
        put_off: BTreeSet::new(),
        neighbours: BTreeMap::new(),
        agents: vec![],
        now: view.look.at,
    }
}
