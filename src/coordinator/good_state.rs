//! How containers were when they worked: how they were made, their configuration files and
//! networks.
//!
//! A file counts only if the container was started with it: one changed since is unproven, and
//! what is known of it stays. Which content is put back is the fix engineer's decision.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use selfheal_agents::fix_engineer::remembered::{GoodFile, GoodMake, Images, Remembered};
use selfheal_agents::model::{
    Change, ChangeKind, ContainerFacts, Difference, HealthStatus, NetworkAttachment, SinceWell,
    TargetId, Timestamp,
};
use selfheal_agents::ports::StoreResult;

use super::look::Seen;
use super::memories::remembered_name;
use super::state::Inner;

/// A container must have run this long before what it was started with is remembered.
const SEEN_AFTER: TimeDelta = TimeDelta::seconds(5);
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
        let proven = facts.started_at.is_some_and(|at| self.is_proven(now - at));
        let known = good.make.as_ref().is_some_and(|make| make.container_id == facts.id);
        if proven && !known {
            good.make = GoodMake::of(facts, now).or(good.make);
        }
        self.see_files(facts, &mut good, now).await;
        if good != before
            && let Err(error) = self.keep_in_mind(&name, &good).await
        {
            tracing::error!(container.name = facts.name, %error, "its good state is not kept");
        }
    }

    /// Whether what it was started with is proven, after it has run well for so long. With a wrong
    /// value it may live for a while: as a fix, it must stand the whole window.
    fn is_proven(&self, ran_for: TimeDelta) -> bool {
        ran_for.to_std().is_ok_and(|ran_for| ran_for >= self.rules().validation_window)
    }

    /// How the containers in trouble that were made anew differ from those that worked.
    pub(super) async fn since_well(
        &self,
        seen: &Seen,
        changes: &[Change],
    ) -> StoreResult<BTreeMap<TargetId, SinceWell>> {
        let mut found = BTreeMap::new();
        for facts in seen.inventory.containers.values() {
            let id = TargetId::container(&facts.name);
            let behind = |target: &TargetId| {
                let known = seen.inventory.targets.get(target);
                known.is_some_and(|known| known.container.as_deref() == Some(&*facts.name))
            };
            let mut trouble = seen.findings.iter().filter(|finding| finding.is_trouble());
            if !trouble.any(|finding| finding.target == id || behind(&finding.target)) {
                continue;
            }
            let known = self.recall::<Remembered>(&remembered_name(&facts.name)).await?;
            let Some(known) = known else { continue };
            if let Some(since) = self.compared(&known, facts, changes).await {
                found.insert(id, since);
            }
        }
        Ok(found)
    }

    /// The container compared with the one that worked; `None` where it is that one, or where
    /// none is known.
    async fn compared(
        &self,
        known: &Remembered,
        facts: &ContainerFacts,
        changes: &[Change],
    ) -> Option<SinceWell> {
        let make = known.make.as_ref().filter(|make| make.container_id != facts.id)?;
        let runtime = &self.world.runtime;
        let good = runtime.image(&make.image.id).await.ok();
        let now = runtime.image(&facts.image_id).await.ok();
        let images = Images { good: good.as_ref(), now: now.as_ref() };
        let mut differs = make.differences(facts, images);
        let edited = |change: &&Change| {
            change.kind == ChangeKind::File
                && !change.by_selfheal
                && change.target == TargetId::container(&facts.name)
                && change.at > make.proven_at
        };
        differs.extend(changes.iter().find(edited).map(|_| Difference::File));
        Some(SinceWell { differs, never_well: known.container_id != facts.id })
    }

    /// The configuration files that the container has started with.
    async fn see_files(&self, facts: &ContainerFacts, good: &mut Remembered, now: Timestamp) {
        let Some(started_at) = facts.started_at else { return };
        let proven = self.is_proven(now - started_at);
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
