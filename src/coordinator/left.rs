//! What the last run had under way while it cannot be taken up: the container runtime does not
//! answer. All else may be healed meanwhile.
//!
//! Its invariant: what was left is found out once, before anything new is begun, so that nothing
//! begun since is ever taken for interrupted. Until it is taken up nothing is begun for its
//! incidents, on what its fixes touch, or on an engine that any of that is on. Of the own engine
//! nothing is seen meanwhile, and nothing unseen is touched; where it answers again, the cycle that
//! sees it first only looks.
//!
//! Rejected: to take up beside it those that do not need the runtime. Fixes of one incident stay or go
//! together, and they may be on several engines.

use std::collections::BTreeSet;
use std::sync::Arc;

use selfheal_agents::health_monitor::Inventory;
use selfheal_agents::model::{Actor, Fix, FixId, IncidentId, TargetId, TargetKind};
use selfheal_agents::ports::{StoreResult, WorldError};

use super::circumstances::touched_by;
use super::restored::is_under_way;
use super::state::{Inner, lock};
use super::{Scope, Trigger};

/// What the last run had under way.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Without an end in the journal.
    pub(super) fixes: Vec<FixId>,
    /// Those of the fixes, and all that say that something is done for them.
    pub(super) incidents: BTreeSet<IncidentId>,
    /// What the fixes touch and the incidents are about.
    targets: BTreeSet<TargetId>,
}

impl Inner {
    /// What the last run had under way: what waits, else what the store says.
    pub(super) async fn left_by_the_last_run(&self) -> StoreResult<Arc<Left>> {
        if let Some(left) = lock(&self.left).clone() {
            return Ok(left);
        }
        let mut left = Left { fixes: self.store.unfinished_fixes().await?, ..Left::default() };
        for incident in self.store.open_incidents().await?.iter().filter(|i| is_under_way(i)) {
            left.incidents.insert(incident.id);
            left.targets.insert(incident.target.clone());
            left.targets.extend(incident.fix.iter().flat_map(touched_by));
        }
        for fix in &left.fixes {
            if let Some(progress) = self.executor.progress(*fix).await? {
                left.incidents.insert(progress.incident);
                left.targets.extend(touched_by(&progress.fix));
            }
        }
        Ok(Arc::new(left))
    }

    /// Lets it wait, and says so once in the story of each incident.
    pub(super) async fn let_wait(&self, left: Arc<Left>, why: &WorldError) {
        if self.something_waits() {
            return;
        }
        for id in &left.incidents {
            // That it waits is told by the log as well.
            let Ok(Some(mut incident)) = self.store.incident(*id).await else { continue };
            if !incident.state().is_closed() {
                let text = format!("interrupted; it goes on when the containers are seen: {why}");
                incident.note(self.world.clock.now(), Actor::Recovery, text);
                self.save(&mut incident).await;
            }
        }
        *lock(&self.left) = Some(left);
    }

    /// Whether something of the last run waits, of which it is known what it is.
    pub(super) fn something_waits(&self) -> bool {
        lock(&self.left).is_some()
    }

    /// Nothing of it waits any more. What was only looked at meanwhile is decided on soon.
    pub(super) fn nothing_waits(&self) {
        if lock(&self.left).take().is_some() {
            self.queue.add(Scope::All, Trigger::Schedule, false, None);
        }
    }

    /// Whether an incident waits to be taken up.
    pub(super) fn waits_to_be_taken_up(&self, incident: IncidentId) -> bool {
        lock(&self.left).as_ref().is_some_and(|left| left.incidents.contains(&incident))
    }

    /// What of the last run is in the way of a fix, in words.
    pub(super) fn in_the_way(&self, fix: &Fix, inventory: &Inventory) -> Option<String> {
        let left = lock(&self.left).clone()?;
        let near = touched_by(fix).find_map(|id| {
            left.targets.iter().find(|theirs| are_together(&id, theirs, inventory)).cloned()
        })?;
        Some(format!(
            "a fix of `{near}` was interrupted by the end of the last run of Selfheal, and how it ends \
             is open until the containers of this host are seen"
        ))
    }
}

/// Whether they are the same, or on one engine.
fn are_together(one: &TargetId, other: &TargetId, inventory: &Inventory) -> bool {
    let on_an_engine = |id: &TargetId| {
        let by_itself = [TargetKind::Container, TargetKind::Host].contains(&id.kind());
        // What is not listed was found in a container that is not seen now.
        by_itself || inventory.targets.get(id).is_none_or(|known| known.container.is_some())
    };
    one == other
        || (on_an_engine(one)
            && on_an_engine(other)
            && inventory.engine(one) == inventory.engine(other))
}

#[cfg(test)]
mod tests {
    use selfheal_agents::health_monitor::{Declared, take_inventory};
    use selfheal_agents::model::Target;

    use super::*;

    #[test]
    fn targets_are_together_on_one_engine_and_what_is_on_none_is_alone() {
        let declared = |name: &str, container: Option<&str>| Target {
            container: container.map(str::to_owned),
            ..Target::bare(name.parse().unwrap())
        };
        let targets = vec![declared("postgres:far", None), declared("postgres:near", Some("db"))];
        let inventory = take_inventory(&[], &Declared { targets, ..Declared::default() });
        let together = |one: &str, other: &str| {
            let [one, other]: [TargetId; 2] = [one, other].map(|id| id.parse().unwrap());
            are_together(&one, &other, &inventory)
        };
        for (one, other) in [
            ("container:web", "container:db"),
            ("container:nas/web", "container:nas/db"),
            ("postgres:near", "container:web"),
            ("postgres:found", "container:web"),
            ("host", "container:web"),
            ("postgres:far", "postgres:far"),
        ] {
            assert!(together(one, other) && together(other, one), "{one} {other}");
        }
        for (one, other) in [
            ("container:web", "container:nas/web"),
            ("container:attic/web", "container:nas/web"),
            ("postgres:far", "container:web"),
            ("postgres:far", "postgres:near"),
            ("host", "container:nas/web"),
        ] {
            assert!(!together(one, other) && !together(other, one), "{one} {other}");
        }
    }
}
