//! What became of all fixes, counted for people and programs.

use selfheal_agents::learning_engine::Statistics;
use selfheal_agents::model::{Outcome, Timestamp};

use super::metrics::Fixes;

/// What follows from the outcomes.
pub(super) struct Results {
    /// For people and programs.
    pub(super) statistics: Statistics,
    /// For Prometheus.
    pub(super) fixes: Fixes,
    /// When each repair was judged that helped, and how many seconds it took, for the page.
    pub(super) repairs: Vec<(Timestamp, f64)>,
}

impl Results {
    /// Of these.
    pub(super) fn of(outcomes: &[Outcome]) -> Self {
        let took = |outcome: &Outcome| Some((outcome.timestamp, outcome.time_to_repair_secs?));
        Self {
            statistics: Statistics::of(outcomes),
            fixes: Fixes::of(outcomes),
            repairs: outcomes.iter().filter_map(took).collect(),
        }
    }
}
