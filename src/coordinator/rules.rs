//! The settings that the flow needs, in domain words.
//!
//! Read once per cycle, so that a changed settings file takes effect between two cycles and
//! never within one.

use std::collections::BTreeMap;
use std::time::Duration;

use selfheal_agents::fix_engineer::plan::Limits;
use selfheal_agents::health_monitor::{Declared, Thresholds};
use selfheal_agents::learning_engine::StopLimits;
use selfheal_agents::model::{Autonomy, Confidence, Mode, Rehearse, TargetId, TargetPolicy};

use super::policy::Budgets;
use crate::config::{Maintenance, Route};

/// What the flow goes by.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// How far Selfheal may go by itself.
    pub mode: Mode,
    /// Exceptions for targets.
    pub target_modes: BTreeMap<TargetId, Mode>,
    /// Exceptions for runbooks.
    pub runbook_modes: BTreeMap<String, Mode>,
    /// How sure a fix must be.
    pub threshold: Confidence,
    /// Whether a fix must earn that it runs by itself ...
    pub autonomy: Autonomy,
    /// ... and how often it must be confirmed on a target for that.
    pub earned_after: usize,
    /// Least length of the validation window.
    pub validation_window: Duration,
    /// A decision older than this is made anew instead of being carried out.
    pub plan_lifetime: Duration,
    /// Which fixes are tried on a clone first.
    pub rehearse: Rehearse,
    /// How much may be done.
    pub budgets: Budgets,
    /// When so much failed that everything stops.
    pub stop: StopLimits,
    /// How far a fix may go.
    pub limits: Limits,
    /// Times in which nothing is touched.
    pub maintenance: Vec<Maintenance>,
    /// Times in which what can wait is done.
    pub quiet_hours: Vec<Maintenance>,
    /// The time zone in which their cron lines, and that of the digest, are read.
    pub timezone: String,
    /// How long history is kept.
    pub retention: Duration,
    /// How long entries of the audit log are kept.
    pub audit_retention: Duration,
    /// When checks complain.
    pub thresholds: Thresholds,
    /// What a person declared.
    pub declared: Declared,
    /// Names of the alert channels.
    pub channels: Vec<String>,
    /// Which alert goes to which of them; without any each goes to all.
    pub routes: Vec<Route>,
    /// What is not critical is told of when it has lasted this long.
    pub tell_after: Duration,
    /// People are reminded for the first time of what waited this long for them; zero is never.
    pub remind_after: Duration,
    /// When the digest is told, as a cron expression, if it is.
    pub digest: Option<String>,
    /// Whether other programs are told by streams.
    pub streams: bool,
    /// Minutes between two slots of the schedule.
    pub check_interval_minutes: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            mode: Mode::Auto,
            target_modes: BTreeMap::new(),
            runbook_modes: BTreeMap::new(),
            threshold: Confidence::literal(85),
            autonomy: Autonomy::Full,
            earned_after: 3,
            validation_window: Duration::from_mins(2),
            plan_lifetime: Duration::from_mins(10),
            rehearse: Rehearse::default(),
            budgets: Budgets {
                per_target: 6,
                per_action: 20,
                per_host: 30,
                steps: 3,
                failures_in_a_row: 3,
                common_cause_share: 0.4,
            },
            stop: StopLimits::default(),
            limits: Limits { memory_cap_bytes: u64::MAX },
            maintenance: vec![],
            quiet_hours: vec![],
            timezone: "UTC".to_owned(),
            retention: Duration::from_hours(30 * 24),
            audit_retention: Duration::from_hours(400 * 24),
            thresholds: Thresholds::default(),
            declared: Declared::default(),
            channels: vec![crate::alerts::Log::NAME.to_owned()],
            routes: vec![],
            tell_after: Duration::from_mins(1),
            remind_after: Duration::from_hours(4),
            digest: None,
            streams: false,
            check_interval_minutes: 5.0,
        }
    }
}

/// Who said in which mode a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModeSource {
    /// The settings, in their list of exceptions for targets.
    Policy,
    /// The target itself: a label, or its own entry in the settings.
    Target,
    /// Nobody: it is in the mode of everything.
    Everything,
}

impl Rules {
    /// Who said it, where no runbook has a say.
    pub fn mode_source(&self, target: &TargetId, policy: &TargetPolicy) -> ModeSource {
        match (self.target_modes.get(target), policy.mode) {
            (Some(_), _) => ModeSource::Policy,
            (None, Some(_)) => ModeSource::Target,
            (None, None) => ModeSource::Everything,
        }
    }

    /// The mode for a target and a runbook. Settings go before the label; where both target
    /// and runbook say something, the more careful holds; where neither does, the global one.
    pub fn mode_for(&self, target: &TargetId, policy: &TargetPolicy, runbook: &str) -> Mode {
        let of_target = self.target_modes.get(target).copied().or(policy.mode);
        let of_runbook = self.runbook_modes.get(runbook).copied();
        of_target.into_iter().chain(of_runbook).min().unwrap_or(self.mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_careful_of_target_and_runbook_holds() {
        let web = TargetId::container("web");
        let mut rules = Rules::default();
        let labelled = TargetPolicy { mode: Some(Mode::Approve), ..TargetPolicy::default() };
        assert_eq!(rules.mode_for(&web, &labelled, "x"), Mode::Approve);
        assert_eq!(rules.mode_source(&web, &labelled), ModeSource::Target);
        assert_eq!(rules.mode_source(&web, &TargetPolicy::default()), ModeSource::Everything);
        rules.target_modes.insert(web.clone(), Mode::Auto);
        assert_eq!(rules.mode_for(&web, &labelled, "x"), Mode::Auto, "settings go before labels");
        assert_eq!(rules.mode_source(&web, &labelled), ModeSource::Policy);
        rules.runbook_modes.insert("x".to_owned(), Mode::Observe);
        assert_eq!(rules.mode_for(&web, &labelled, "x"), Mode::Observe);
        assert_eq!(rules.mode_for(&web, &labelled, "y"), Mode::Auto);
    }
}
