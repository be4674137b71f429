//! Says how far a fix has earned that it may run by itself on a target.
//!
//! Counted anew each time from what became of fixes, and of those that were only proposed: there
//! is no second record of trust that could contradict them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::History;
use crate::model::{Autonomy, Shadow, ShadowEnd, ShadowRun, TargetId, Timestamp};

/// What would have been done about one kind of trouble of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShadowRow {
    /// The target.
    pub target: TargetId,
    /// The runbook's id.
    pub issue_type: String,
    /// The action's name.
    pub fix_type: String,
    /// When it would first have been applied, as far as that is kept.
    pub since: Timestamp,
    /// How often it would have been applied.
    pub would_have_acted: usize,
    /// Of these, how often it then worked again because somebody else had done the same.
    pub same_way: usize,
    /// How often somebody had done the same and the fault was back within the hour.
    #[serde(default)]
    pub came_back: usize,
    /// How often it worked again although nobody had done that.
    pub by_itself: usize,
    /// How often a person let it run.
    pub approved: usize,
    /// How often a person said that there was nothing to mend.
    pub dismissed: usize,
    /// How many are still open.
    pub under_way: usize,
    /// How often it was confirmed since it last failed: by somebody who did the same, or by a fix
    /// that was kept.
    pub confirmed: usize,
}

/// Everything that would have been done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ShadowReport {
    /// Whether fixes must earn that they run by themselves.
    pub autonomy: Autonomy,
    /// How often a fix must be confirmed on a target until it runs there by itself, where it must.
    pub needed: usize,
    /// By target, issue and fix.
    pub rows: Vec<ShadowRow>,
}

impl History {
    /// The history with what would have been done.
    #[must_use]
    pub fn with_shadows(mut self, runs: Vec<ShadowRun>) -> Self {
        self.shadows = runs;
        self
    }

    /// How often this fix was confirmed on the target since it last failed there.
    ///
    /// A fix that was kept counts, whoever let it run; so does what somebody else did in its
    /// stead, if it worked again then. A failure for whatever issue, a fault that was back after
    /// somebody did the same, or a person's word that there was nothing to mend, begins the count
    /// anew.
    pub fn confirmed(&self, issue_type: &str, fix_type: &str, target: &TargetId) -> usize {
        let outcomes = self
            .outcomes
            .iter()
            .filter(|o| o.fix_type == fix_type && o.target == *target)
            .filter(|o| !o.success || o.issue_type == issue_type)
            .map(|o| (o.timestamp, o.success));
        let shadows = self
            .shadows
            .iter()
            .filter(|s| s.fix_type == fix_type && s.target == *target && s.issue_type == issue_type)
            .filter_map(|s| match s.end {
                ShadowEnd::SameWay => Some((s.ended_at, true)),
                ShadowEnd::Dismissed | ShadowEnd::CameBack => Some((s.ended_at, false)),
                ShadowEnd::ByItself | ShadowEnd::Approved => None,
            });
        let mut verdicts: Vec<(Timestamp, bool)> = outcomes.chain(shadows).collect();
        verdicts.sort_unstable();
        verdicts.into_iter().rev().take_while(|(_, confirms)| *confirms).count()
    }

    /// What would have been done, with what would be done now to incidents that are `open`.
    pub fn shadow_rows(&self, open: &[Shadow]) -> Vec<ShadowRow> {
        let mut rows = BTreeMap::new();
        for run in &self.shadows {
            let row = self.row(&mut rows, &run.target, &run.issue_type, &run.fix_type, run.at);
            match run.end {
                ShadowEnd::SameWay => row.same_way += 1,
                ShadowEnd::CameBack => row.came_back += 1,
                ShadowEnd::ByItself => row.by_itself += 1,
                ShadowEnd::Approved => row.approved += 1,
                ShadowEnd::Dismissed => row.dismissed += 1,
            }
        }
        for shadow in open {
            let fix = &shadow.fix;
            let row =
                self.row(&mut rows, &fix.target, &fix.issue_type, &fix.fix_type, shadow.since);
            row.under_way += 1;
        }
        rows.into_values().collect()
    }

    fn row<'a>(
        &self,
        rows: &'a mut BTreeMap<(TargetId, String, String), ShadowRow>,
        target: &TargetId,
        issue_type: &str,
        fix_type: &str,
        at: Timestamp,
    ) -> &'a mut ShadowRow {
        let key = (target.clone(), issue_type.to_owned(), fix_type.to_owned());
        let row = rows.entry(key).or_insert_with(|| ShadowRow {
            target: target.clone(),
            issue_type: issue_type.to_owned(),
            fix_type: fix_type.to_owned(),
            since: at,
            would_have_acted: 0,
            same_way: 0,
            came_back: 0,
            by_itself: 0,
            approved: 0,
            dismissed: 0,
            under_way: 0,
            confirmed: self.confirmed(issue_type, fix_type, target),
        });
        row.would_have_acted += 1;
        row.since = row.since.min(at);
        row
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use uuid::Uuid;

    use super::*;
    use crate::model::{Confidence, FixId, IncidentId, Outcome, ResultStatus, ValidationStatus};

    const ISSUE: &str = "container-unhealthy";
    const FIX: &str = "container.restart";

    fn web() -> TargetId {
        TargetId::container("web")
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    fn run(minute: i64, end: ShadowEnd) -> ShadowRun {
        ShadowRun {
            incident: IncidentId(Uuid::from_u128(u128::from(minute.unsigned_abs()))),
            target: web(),
            issue_type: ISSUE.to_owned(),
            fix_type: FIX.to_owned(),
            at: at(minute - 1),
            ended_at: at(minute),
            end,
        }
    }

    fn outcome(minute: i64, issue_type: &str, success: bool) -> Outcome {
        let passed = if success { ValidationStatus::Passed } else { ValidationStatus::Failed };
        Outcome {
            timestamp: at(minute),
            fix: FixId(Uuid::from_u128(u128::from(minute.unsigned_abs()))),
            incident: IncidentId(Uuid::nil()),
            target: web(),
            issue_type: issue_type.to_owned(),
            fix_type: FIX.to_owned(),
            original_confidence: Confidence::literal(90),
            confidence: Confidence::literal(90),
            result_status: ResultStatus::Applied,
            validation_status: passed,
            success,
            error_count_after: 0,
            time_to_repair_secs: None,
        }
    }

    fn confirmed(outcomes: Vec<Outcome>, runs: Vec<ShadowRun>) -> usize {
        History::new(outcomes, vec![]).with_shadows(runs).confirmed(ISSUE, FIX, &web())
    }

    #[test]
    fn a_fix_is_confirmed_by_what_others_did_and_by_being_kept_and_by_nothing_else() {
        let same = |minute| run(minute, ShadowEnd::SameWay);
        assert_eq!(confirmed(vec![], vec![]), 0);
        assert_eq!(confirmed(vec![], vec![same(1), same(2)]), 2);
        assert_eq!(confirmed(vec![outcome(3, ISSUE, true)], vec![same(1), same(2)]), 3);
        assert_eq!(confirmed(vec![], vec![same(1), run(2, ShadowEnd::ByItself)]), 1);
        assert_eq!(confirmed(vec![], vec![same(1), run(2, ShadowEnd::Approved)]), 1);
        assert_eq!(confirmed(vec![outcome(3, "another", true)], vec![same(1)]), 1);
    }

    #[test]
    fn a_failure_or_a_persons_no_begins_the_count_anew() {
        let same = |minute| run(minute, ShadowEnd::SameWay);
        assert_eq!(confirmed(vec![outcome(3, ISSUE, false)], vec![same(1), same(2)]), 0);
        assert_eq!(confirmed(vec![outcome(3, ISSUE, false)], vec![same(1), same(4)]), 1);
        let dismissed = run(3, ShadowEnd::Dismissed);
        assert_eq!(confirmed(vec![], vec![same(1), dismissed, same(5)]), 1);
        assert_eq!(confirmed(vec![outcome(3, "another", false)], vec![same(1)]), 0);
        let came_back = run(3, ShadowEnd::CameBack);
        assert_eq!(confirmed(vec![], vec![same(1), came_back, same(5)]), 1);
    }

    #[test]
    fn what_one_target_has_earned_another_has_not() {
        let history = History::default().with_shadows(vec![run(1, ShadowEnd::SameWay)]);
        assert_eq!(history.confirmed(ISSUE, FIX, &TargetId::container("api")), 0);
        assert_eq!(history.confirmed(ISSUE, "container.start", &web()), 0);
    }

    #[test]
    fn the_report_counts_by_target_issue_and_fix() {
        let mut runs: Vec<ShadowRun> = (2..15).map(|n| run(n, ShadowEnd::SameWay)).collect();
        runs.push(run(20, ShadowEnd::ByItself));
        runs.push(ShadowRun { target: TargetId::container("api"), ..run(9, ShadowEnd::Dismissed) });
        let rows = History::default().with_shadows(runs).shadow_rows(&[]);
        let counts: Vec<_> = rows
            .iter()
            .map(|r| (r.target.to_string(), r.would_have_acted, r.same_way, r.confirmed, r.since))
            .collect();
        assert_eq!(
            counts,
            [
                ("container:api".to_owned(), 1, 0, 0, at(8)),
                ("container:web".to_owned(), 14, 13, 13, at(1)),
            ]
        );
    }
}
