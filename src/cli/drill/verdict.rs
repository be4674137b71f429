//! The verdict on one drill: what was seen from outside, beside what Selfheal says it did. Pure.

use std::collections::BTreeSet;

use selfheal_agents::model::{IncidentId, IncidentState, RestartPolicy, TargetId, Timestamp};
use serde::Serialize;

use super::course::End;
use super::kinds::Kind;
use crate::http::body::IncidentDetail;

/// How one drill went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// Selfheal healed it.
    Healed,
    /// Docker's restart policy brought it back.
    HealedByDocker,
    /// It works again, and neither Selfheal nor a restart policy did that.
    HealedByItself,
    /// It was left alone, as it should be.
    LeftAlone,
    /// Nobody missed it, and a person was told.
    Told,
    /// It was not healed.
    NotHealed,
    /// Selfheal touched what it should not.
    TouchedWrongly,
    /// It could not be done here.
    NotPossible,
    /// It was broken off.
    BrokenOff,
}

impl Verdict {
    /// The words for it.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Healed => "healed",
            Self::HealedByDocker => "healed by Docker's restart policy",
            Self::HealedByItself => "healed by itself",
            Self::LeftAlone => "left alone, as it should be",
            Self::Told => "told, and nobody missed it",
            Self::NotHealed => "not healed",
            Self::TouchedWrongly => "touched wrongly",
            Self::NotPossible => "not possible",
            Self::BrokenOff => "broken off",
        }
    }

    /// Whether something is wrong; a drill that was not done says nothing.
    pub(super) const fn is_wrong(self) -> bool {
        matches!(self, Self::NotHealed | Self::TouchedWrongly | Self::BrokenOff)
    }
}

/// What Selfheal says of one incident that began with the drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Did {
    /// The incident.
    pub(super) incident: IncidentId,
    /// Whom it is about.
    pub(super) target: TargetId,
    /// What is wrong, in its words.
    pub(super) title: String,
    /// Where it stands.
    pub(super) state: IncidentState,
    /// The kind of fix, where there is one.
    pub(super) fix_type: Option<String>,
    /// What the fix changes.
    pub(super) fix_target: Option<TargetId>,
    /// When the fix was begun; `None` if it never was.
    pub(super) applied_at: Option<Timestamp>,
    /// Why it was not.
    pub(super) holds: Vec<String>,
}

impl From<&IncidentDetail> for Did {
    fn from(detail: &IncidentDetail) -> Self {
        let began = detail.timeline.iter().find(|row| row.state == Some(IncidentState::Fixing));
        let fix = detail.fix_detail.as_ref();
        Self {
            incident: detail.row.id,
            target: detail.row.target.clone(),
            title: detail.row.title.clone(),
            state: detail.row.state,
            fix_type: fix.map(|fix| fix.fix_type.clone()),
            fix_target: fix.map(|fix| fix.target.clone()),
            applied_at: fix.and(began).map(|row| row.at),
            holds: detail.row.holds.iter().map(|hold| hold.text.clone()).collect(),
        }
    }
}

impl Did {
    /// Whether nothing more happens by itself at once.
    pub(super) const fn is_over(&self) -> bool {
        self.state.is_closed() || matches!(self.state, IncidentState::Held)
    }

    fn applied_to(&self, target: &TargetId) -> Option<Timestamp> {
        self.applied_at.filter(|_| self.fix_target.as_ref() == Some(target))
    }
}

/// Everything that a drill is judged by.
#[derive(Debug, Clone)]
pub(super) struct Course<'a> {
    /// What was broken.
    pub(super) kind: Kind,
    /// Whose.
    pub(super) target: &'a TargetId,
    /// Its restart policy.
    pub(super) policy: RestartPolicy,
    /// How it ended, seen from outside.
    pub(super) end: End,
    /// Who else did not work at some time.
    pub(super) suffered: &'a BTreeSet<TargetId>,
    /// What Selfheal says it did.
    pub(super) did: &'a [Did],
}

impl Course<'_> {
    /// The incident that tells what was done about the broken container: one with a fix of it, one
    /// about it, else any.
    pub(super) fn tells(&self) -> Option<&Did> {
        let fixed = |did: &&Did| did.applied_to(self.target).is_some();
        let about = |did: &&Did| did.target == *self.target;
        let of = |which: &dyn Fn(&&Did) -> bool| self.did.iter().find(which);
        of(&fixed).or_else(|| of(&about)).or_else(|| self.did.first())
    }

    /// A container that was changed though it worked and nothing below it had been mended before.
    fn innocent(&self) -> Option<&TargetId> {
        let mended_at = self.did.iter().filter_map(|did| did.applied_to(self.target)).min();
        let wrong = |did: &&Did| {
            let Some((target, at)) = did.fix_target.as_ref().zip(did.applied_at) else {
                return false;
            };
            let other = target != self.target && target.container_name().is_some();
            other && !self.suffered.contains(target) && mended_at.is_none_or(|first| at < first)
        };
        self.did.iter().find(wrong).and_then(|did| did.fix_target.as_ref())
    }

    /// The verdict, with one sentence where that needs one.
    pub(super) fn judge(&self) -> (Verdict, Option<String>) {
        if let Some(innocent) = self.innocent() {
            let why = format!("{innocent} worked, and was changed first");
            return (Verdict::TouchedWrongly, Some(why));
        }
        let fixed = self.did.iter().find(|did| did.applied_to(self.target).is_some());
        match (self.end, fixed) {
            (End::WellAgain(_), Some(_)) if self.kind == Kind::Stop && self.suffered.is_empty() => {
                (Verdict::TouchedWrongly, Some("nobody had failed without it".to_owned()))
            }
            (End::WellAgain(_), Some(did)) if did.state == IncidentState::Resolved => {
                (Verdict::Healed, None)
            }
            (End::WellAgain(_), Some(did)) => {
                let why = format!("its fix did not prove itself: it is {}", did.state.as_str());
                (Verdict::NotHealed, Some(why))
            }
            (End::WellAgain(_), None) if self.restarted_by_docker() => {
                (Verdict::HealedByDocker, None)
            }
            (End::WellAgain(_), None) => (Verdict::HealedByItself, None),
            (End::Untouched, None) if self.kind == Kind::Stop => (Verdict::LeftAlone, None),
            (End::Untouched, None) => (Verdict::Told, self.held()),
            (End::Untouched | End::TimeOver, Some(_)) => {
                (Verdict::NotHealed, Some("its fix did not help".to_owned()))
            }
            (End::TimeOver, None) => {
                let unnoticed = || Some("no incident was opened".to_owned());
                (Verdict::NotHealed, self.held().or_else(unnoticed))
            }
        }
    }

    fn restarted_by_docker(&self) -> bool {
        self.kind == Kind::Crash && self.policy != RestartPolicy::No
    }

    /// Why Selfheal did nothing, in its own words.
    fn held(&self) -> Option<String> {
        let did = self.tells()?;
        Some(match did.holds.as_slice() {
            [] => format!("its incident is {}", did.state.as_str()),
            holds => format!("held: {}", holds.join("; ")),
        })
    }
}

#[cfg(test)]
mod tests;
