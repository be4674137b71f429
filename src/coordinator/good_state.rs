//! How containers were when they worked: their configuration files and networks.
//!
//! A file counts only if the container was started with it: one changed since is unproven, and
//! what is known of it stays. Which content is put back is the fix engineer's decision.

use chrono::TimeDelta;
use selfheal_agents::fix_engineer::remembered::{GoodFile, Remembered};
use selfheal_agents::model::{ContainerFacts, HealthStatus, NetworkAttachment, Timestamp};

use super::memories::remembered_name;
use super::state::Inner;

/// A container must have run this long before what it was started with is remembered.
const SEEN_AFTER: TimeDelta = TimeDelta::seconds(5);
/// With a wrong value it may live for a while: only then does a content take the place of one
/// that it lived with for long.
const PROVEN_AFTER: TimeDelta = TimeDelta::minutes(2);
/// Files larger than this are data, not configuration.
const LARGEST_FILE: usize = 128 * 1024;
/// Files remembered of one container.
const MOST_FILES: usize = 16;

impl Inner {
    /// Takes down how a container is that works.
    pub(super) async fn remember_container(&self, facts: &ContainerFacts, now: Timestamp) {
        let name = remembered_name(&facts.name);
        let Ok(before) = self.recall::<Remembered>(&name).await else {
            return;
        };
        let before = before.unwrap_or_default();
        let mut good = Remembered {
            container_id: facts.id.clone(),
            networks: attachments(facts),
            ..before.clone()
        };
        self.see_files(facts, &mut good, now).await;
        if good != before
            && let Err(error) = self.keep_in_mind(&name, &good).await
        {
            tracing::error!(container.name = facts.name, %error, "its good state is not kept");
        }
    }

    /// The configuration files that the container has started with.
    async fn see_files(&self, facts: &ContainerFacts, good: &mut Remembered, now: Timestamp) {
        let Some(started_at) = facts.started_at else { return };
        let proven = now - started_at >= PROVEN_AFTER;
        for mount in facts.mounts.iter().filter(|m| m.bind) {
            for path in self.world.files.list(&mount.source).await.unwrap_or_default() {
                let known = good.paths();
                if known.len() >= MOST_FILES && !known.contains(&*path) {
                    break;
                }
                let Ok(file) = self.world.files.read(&path).await else {
                    continue;
                };
                let changed_since_start = file.modified_secs >= started_at.timestamp();
                if changed_since_start || file.bytes.len() > LARGEST_FILE {
                    continue;
                }
                if let Ok(content) = String::from_utf8(file.bytes) {
                    let sha256 = file.sha256;
                    good.saw(GoodFile { path, content, sha256, seen_at: now, proven });
                }
            }
        }
    }
}

/// Whether its running proves anything about what it was started with.
pub(super) fn is_settled(facts: &ContainerFacts, now: Timestamp) -> bool {
    let long_enough = facts.started_at.is_some_and(|at| now - at >= SEEN_AFTER);
    let healthy = facts.health.is_none_or(|health| health == HealthStatus::Healthy);
    facts.is_up() && long_enough && healthy
}

fn attachments(facts: &ContainerFacts) -> Vec<NetworkAttachment> {
    facts.networks.iter().map(|n| NetworkAttachment { ip: None, ..n.clone() }).collect()
}
