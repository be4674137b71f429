//! Remembers how many error lines containers usually write, also beyond a restart of Selfheal.
//!
//! Written down seldom: what was read since is lost with the restart, and so is the time until the
//! next reading, of which nobody knows how much of it was read before.

use chrono::TimeDelta;
use selfheal_agents::error_detector;
use selfheal_agents::model::{ErrorCount, TargetId, Timestamp};
use selfheal_agents::ports::StoreResult;

use super::error_rate::CalmErrors;
use super::look::Seen;
use super::state::{Inner, lock};

/// Before the name of each container of which it is known.
pub(super) const ERROR_RATES: &str = "error_rate.";
/// How often it is written down.
const KEPT_EVERY: TimeDelta = TimeDelta::minutes(15);

fn name_of(container: &TargetId) -> String {
    format!("{ERROR_RATES}{}", container.name())
}

impl Inner {
    /// Takes in the error lines that a cycle read.
    pub(super) async fn remember_error_rates(&self, seen: &Seen) {
        for (id, batch) in &seen.logs {
            let mut calm = match self.calm_errors(id).await {
                Ok(known) => known.unwrap_or_default(),
                // To begin without it would overwrite it in the end.
                Err(error) => {
                    tracing::error!(target.id = %id, %error, "its usual error lines cannot be read");
                    continue;
                }
            };
            let ill = seen.findings.iter().any(|f| f.target == *id && f.is_own_trouble());
            calm.read(error_detector::error_lines(batch), ill, seen.now);
            self.keep_error_rate(id, &mut calm, seen.now).await;
            lock(&self.error_rates).insert(id.clone(), calm);
        }
    }

    /// A target's usual error lines before a fault; `None` when they are not known.
    pub(super) async fn error_baseline(
        &self,
        target: &TargetId,
        onset: Timestamp,
    ) -> Option<ErrorCount> {
        self.calm_errors(target).await.ok().flatten()?.before(onset)
    }

    /// What is known of it, by this run or by the one before.
    async fn calm_errors(&self, container: &TargetId) -> StoreResult<Option<CalmErrors>> {
        let known = lock(&self.error_rates).get(container).cloned();
        match known {
            Some(known) => Ok(Some(known)),
            None => self.recall(&name_of(container)).await,
        }
    }

    async fn keep_error_rate(&self, container: &TargetId, calm: &mut CalmErrors, now: Timestamp) {
        if !calm.is_unwritten_for(KEPT_EVERY, now) {
            return;
        }
        match self.keep_in_mind(&name_of(container), calm).await {
            Ok(()) => calm.written(now),
            Err(error) => {
                tracing::error!(target.id = %container, %error, "its usual error lines are not kept");
            }
        }
    }
}
