//! What each node tells of itself, so that any of them can show all.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use selfheal_agents::lease::Tenure;
use selfheal_agents::model::{TargetId, Timestamp, Verdict, clean};
use serde::{Deserialize, Serialize};

use super::{Fleet, State, away, clock};
use crate::coordinator::{Coordinator, IncidentSummary, RequestError};

/// A node that has said nothing for so long is shown as silent.
pub(super) const SILENT: Duration = Duration::from_secs(15);
/// Of one that has said nothing for so long all may be gone that it told.
const FORGOTTEN: Duration = Duration::from_mins(1);
/// How often it is summed up how this node is, where that changed.
const SUMMED_UP_EVERY: Duration = Duration::from_secs(1);
/// The longest sentence about a target.
const LONGEST: usize = 200;

/// How a node is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Summary {
    /// What it watches, by name.
    pub targets: Vec<Watched>,
    /// Its open incidents.
    pub incidents: Vec<IncidentSummary>,
    /// What it looks after of what several nodes reach.
    pub leases: Vec<Held>,
    /// What it cannot see, such as its containers while Docker does not answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blind: Vec<String>,
    /// The freeze of everything on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen: Option<FrozenNode>,
}

/// That a node changes nothing by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FrozenNode {
    /// Until when; until a person ends it where there is none.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

impl fmt::Display for FrozenNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.until {
            Some(until) => write!(f, "frozen until {}", until.format("%Y-%m-%d %H:%M UTC")),
            None => f.write_str("frozen"),
        }
    }
}

/// A target as its node sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Watched {
    /// Its name on that node.
    pub id: TargetId,
    /// The worst verdict.
    pub verdict: Verdict,
    /// One sentence.
    pub detail: String,
}

/// A lease that a node has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Held {
    /// What it stands for, by its address.
    pub target: String,
    /// Grows with each new holder.
    pub fence: i64,
}

/// A node of the fleet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where its page is, as it says itself.
    pub address: String,
    /// Its mode.
    pub mode: String,
    /// For how long it has said nothing, in seconds.
    pub silent_secs: f64,
    /// Whether that is so long that it may be gone: what follows is old then.
    pub is_silent: bool,
    /// How it is.
    #[serde(flatten)]
    pub summary: Summary,
}

/// Whether what was told then may be forgotten by now, by the clock of leases: also where nobody noticed
/// that time went by, as while the machine slept.
pub(super) fn is_forgotten(told_at: Duration) -> bool {
    clock().saturating_sub(told_at) >= FORGOTTEN
}

/// Keeps up to date what this node tells of itself. Beside the leases: those wait for no store.
pub(super) async fn run(fleet: &Fleet, coordinator: &Coordinator) {
    let (mut changes, mut is_summed_up) = (coordinator.changes(), false);
    let mut turns = tokio::time::interval(SUMMED_UP_EVERY);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        if changes.any() || !is_summed_up {
            let summary = summary(coordinator).await;
            is_summed_up = summary.is_some();
            fleet.state().take_over(summary);
        }
    }
}

impl Fleet {
    /// Forgets a node that is gone for good, and with it what it had frozen. What it learnt stays.
    ///
    /// # Errors
    ///
    /// There is no such node, it is still there, or the server is away.
    pub async fn forget(&self, node: &str) -> Result<(), RequestError> {
        let forgotten = self.inner.server.forget(node).await;
        match forgotten.map_err(|error| RequestError::NotYet(away(&error)))? {
            (_, true) => Ok(()),
            (true, false) => Err(RequestError::Conflict(format!(
                "node `{node}` has given a sign of life within the last minute: end it, and ask \
                 again a minute later"
            ))),
            (false, false) => Err(RequestError::NotFound(format!(
                "no node of the fleet is called `{}`; `selfheal fleet` lists them",
                clean(node, 80)
            ))),
        }
    }
}

impl State {
    /// What this node looks after now.
    pub(super) fn held(&self) -> Vec<Held> {
        let now = clock();
        let held = |(target, tenure): (&String, &Tenure)| {
            let fence = tenure.fence().filter(|_| tenure.is_held(now))?;
            Some(Held { target: target.clone(), fence })
        };
        self.tenures.iter().filter_map(held).collect()
    }

    /// One that says the same as the last is not told again; nor is none, which is not that nothing is.
    fn take_over(&mut self, summary: Option<Summary>) {
        let Some(summary) = summary else { return };
        if self.summary.as_deref() != Some(&summary) {
            self.summary = Some(Arc::new(summary));
        }
    }
}

/// How this node is, as far as the coordinator knows, without its leases; `None` where the store does
/// not answer.
async fn summary(coordinator: &Coordinator) -> Option<Summary> {
    let standing = coordinator.standing();
    let targets = standing.targets.iter().map(|target| Watched {
        id: target.id.clone(),
        verdict: target.verdict,
        detail: clean(&target.detail, LONGEST),
    });
    let open = coordinator.store().open_incidents().await.ok()?;
    let incidents = open.iter().map(IncidentSummary::of).collect();
    let whole = standing.freezes.iter().find(|freeze| freeze.target.is_none());
    let frozen = whole
        .map(|freeze| FrozenNode { until: freeze.until, reason: clean(&freeze.reason, LONGEST) });
    let blind = standing.blind.iter().map(|text| clean(text, LONGEST)).collect();
    Some(Summary { targets: targets.collect(), incidents, leases: vec![], blind, frozen })
}
