//! What runs beside the flow: what listens, probes and follows, and housekeeping.

use std::sync::Arc;
use std::time::{Duration, Instant};

use selfheal_agents::ports::{Clock, Occasion, Store, StoreError, World};
use tokio::sync::{Notify, watch};

use super::mounts::{self, Mounts};
use super::{App, parts};
use crate::alerts::spoilt;
use crate::audit::Audit;
use crate::coordinator::Rules;
use crate::coordinator::triggers::logs::{Followed, Follower};
use crate::coordinator::triggers::{Doubt, Fire, docker_events, logs, probes};

/// What is probed.
type Targets = Arc<Vec<selfheal_agents::model::Target>>;
/// Whose log is followed.
type Containers = Arc<Vec<Followed>>;

/// How often old history is removed.
const PRUNE_EVERY: Duration = Duration::from_hours(6);

/// How often is asked whether a snapshot of the store is due.
const SNAPSHOT_EVERY: Duration = Duration::from_mins(5);
/// And after one that showed that the store is damaged.
const SNAPSHOT_AFTER_DAMAGE: Duration = Duration::from_hours(1);

/// How often is looked whether others wrote into the audit log.
const WITNESS_EVERY: Duration = Duration::from_mins(1);
/// How often its newest entry is told.
const HEAD_TOLD_EVERY: Duration = Duration::from_hours(24);

/// Takes a snapshot of the store, if it is time for one. Answers what is wrong with the store, if
/// it turned out to be damaged.
pub(super) async fn take_snapshot(store: &dyn Store, occasion: Occasion) -> Option<String> {
    match store.take_snapshot(occasion).await {
        Ok(true) => tracing::debug!("took a snapshot of the store"),
        Ok(false) => {}
        Err(StoreError::Corrupt(error)) => {
            tracing::error!(
                %error,
                "the store is damaged on disk; start Selfheal again: it sets the database aside and \
                 restores the newest snapshot"
            );
            return Some(error);
        }
        Err(error) => tracing::error!(%error, "no snapshot of the store is taken"),
    }
    None
}

/// Looks at the audit log from time to time, for ever.
async fn witness(audit: Arc<Audit>, clock: Arc<dyn Clock>, rules: watch::Receiver<Arc<Rules>>) {
    let mut turns = tokio::time::interval(WITNESS_EVERY);
    let mut told_at = None;
    loop {
        turns.tick().await;
        let is_due = told_at.is_none_or(|at: Instant| at.elapsed() >= HEAD_TOLD_EVERY);
        if is_due {
            audit.examine().await;
        }
        let head = audit.witness().await;
        let keep = rules.borrow().audit_retention;
        audit.tidy(clock.now(), keep).await;
        if let Some(head) = head.filter(|_| is_due) {
            tracing::info!("the newest entry of the audit log is {head}");
            told_at = Some(Instant::now());
        }
    }
}

/// Takes snapshots from time to time, and tells once if the store turns out to be damaged.
async fn take_snapshots(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    rules: watch::Receiver<Arc<Rules>>,
    wake: Arc<Notify>,
) {
    let mut is_told = false;
    loop {
        let Some(why) = take_snapshot(store.as_ref(), Occasion::Housekeeping).await else {
            tokio::time::sleep(SNAPSHOT_EVERY).await;
            continue;
        };
        if !is_told {
            let channels = rules.borrow().channels.clone();
            match store.enqueue(&spoilt(&why, clock.now()), &channels).await {
                Ok(()) => {
                    is_told = true;
                    wake.notify_one();
                }
                Err(error) => tracing::error!(%error, "the damage is told of in the log alone"),
            }
        }
        tokio::time::sleep(SNAPSHOT_AFTER_DAMAGE).await;
    }
}

/// The host's memory in bytes; without it no memory limit is raised.
pub(super) async fn host_memory(world: &World) -> u64 {
    world.host.host().await.map_or(0, |facts| facts.memory_total_bytes)
}

impl App {
    pub(super) fn fire(&self) -> Fire {
        let coordinator = self.coordinator.clone();
        Arc::new(move |scope, trigger| coordinator.request(scope, trigger))
    }

    fn doubt(&self) -> Doubt {
        let coordinator = self.coordinator.clone();
        Arc::new(move |target| coordinator.ask_ahead(target))
    }

    fn listener(&self, fire: Fire) -> docker_events::Listener {
        let coordinator = self.coordinator.clone();
        docker_events::Listener {
            runtime: Arc::clone(&self.world.runtime),
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.world.clock),
            is_ours: Arc::new(move |target, at| coordinator.is_ours(target, at)),
            fire,
        }
    }

    /// Remembers what the runtime told of since the last event known and what it tells from now
    /// on, and calls for no cycle: for a Selfheal that looks once.
    pub async fn start_remembering(&self) {
        let listener = self.listener(Arc::new(|_, _| {}));
        if let Err(error) = listener.catch_up().await {
            // The cycle says that containers cannot be seen.
            tracing::debug!(%error, "what happened before is not known");
        }
        self.keep_listening(listener);
    }

    /// What it heard last stands in the store, where one that is begun anew finds it.
    fn keep_listening(&self, listener: docker_events::Listener) {
        let cancel = self.cancel.clone();
        let listen = move || docker_events::run(listener.clone(), cancel.clone());
        self.coordinator.upkeep().keep(parts::EVENTS, listen);
    }

    /// Listens to the runtime, probes between the cycles, follows logs.
    pub fn start_following(&self) {
        let settings = self.settings.borrow().clone();
        if settings.schedule.docker_events {
            self.keep_listening(self.listener(self.fire()));
        }
        let (targets, followed) = self.start_inventory(settings.schedule.follow_logs);
        let upkeep = self.coordinator.upkeep();
        let asking = probes::Asking {
            prober: Arc::clone(&self.world.prober),
            fire: self.fire(),
            doubt: self.doubt(),
            upkeep: upkeep.clone(),
        };
        let (settings, cancel) = (self.settings.clone(), self.cancel.clone());
        upkeep.keep(parts::PROBES, move || {
            probes::run(asking.clone(), targets.clone(), settings.clone(), cancel.clone())
        });
        let reader = Follower {
            runtime: Arc::clone(&self.world.runtime),
            catalogue: self.catalogue.subscribe(),
            clock: Arc::clone(&self.world.clock),
            fire: self.fire(),
            upkeep: upkeep.clone(),
        };
        let cancel = self.cancel.clone();
        upkeep
            .keep(parts::LOGS, move || logs::run(reader.clone(), followed.clone(), cancel.clone()));
    }

    /// Keeps what depends on the newest inventory up to date: what is probed, whose log is
    /// followed, which files are written in place.
    fn start_inventory(
        &self,
        follow_logs: bool,
    ) -> (watch::Receiver<Targets>, watch::Receiver<Containers>) {
        let (targets, targets_seen) = watch::channel(Arc::default());
        let (followed, followed_seen) = watch::channel(Arc::default());
        let (inventory, files) = (self.coordinator.inventory(), self.files.clone());
        let cancel = self.cancel.clone();
        self.coordinator.upkeep().keep(parts::INVENTORY, move || {
            let (mut inventory, files) = (inventory.clone(), files.clone());
            let (targets, followed) = (targets.clone(), followed.clone());
            let (mut asked, cancel) = (Mounts::default(), cancel.clone());
            async move {
                loop {
                    let now = Arc::clone(&inventory.borrow_and_update());
                    targets.send_replace(Arc::new(now.targets.values().cloned().collect()));
                    if follow_logs {
                        followed.send_replace(Arc::new(Followed::running(now.containers.values())));
                    }
                    // Until it is known which are files, none is renamed over.
                    let mounted = mounts::mounted(&now);
                    files.set_in_place(mounted.clone());
                    files.set_roots(mounted.clone());
                    files.set_in_place(asked.single_files(&mounted).await);
                    tokio::select! {
                        () = cancel.cancelled() => return,
                        changed = inventory.changed() => if changed.is_err() { return },
                    }
                }
            }
        });
        (targets_seen, followed_seen)
    }

    /// Puts changed runbooks of one's own in force.
    pub(super) fn start_knowledge(&self) {
        let folder = super::own_folder(&self.settings.borrow());
        let (catalogue, cancel) = (self.catalogue.clone(), self.cancel.clone());
        let (seen, broken) = (self.own_runbooks.clone(), self.broken_runbooks.clone());
        self.coordinator.upkeep().keep(parts::KNOWLEDGE, move || {
            let (seen, broken) = (seen.clone(), broken.clone());
            crate::knowledge::watch(folder.clone(), seen, broken, catalogue.clone(), cancel.clone())
        });
    }

    /// Takes snapshots of the store, from time to time.
    pub(super) fn start_snapshots(&self) {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.world.clock));
        let (rules, wake, cancel) =
            (self.rules.subscribe(), Arc::clone(&self.wake), self.cancel.clone());
        self.coordinator.upkeep().keep(parts::SNAPSHOTS, move || {
            let (store, clock) = (Arc::clone(&store), Arc::clone(&clock));
            let taking = take_snapshots(store, clock, rules.clone(), Arc::clone(&wake));
            let cancel = cancel.clone();
            async move {
                cancel.run_until_cancelled(taking).await;
            }
        });
    }

    /// Takes note of what others write into the audit log, puts away what is old of it, and now and
    /// then looks through all of it and tells its newest entry.
    pub(super) fn start_witness(&self) {
        let (audit, cancel) = (Arc::clone(self.coordinator.audit()), self.cancel.clone());
        let (clock, rules) = (Arc::clone(&self.world.clock), self.rules.subscribe());
        self.coordinator.upkeep().keep(parts::WITNESS, move || {
            let watched = witness(Arc::clone(&audit), Arc::clone(&clock), rules.clone());
            let cancel = cancel.clone();
            async move {
                cancel.run_until_cancelled(watched).await;
            }
        });
    }

    /// Removes history that is older than the settings keep.
    pub(super) fn start_housekeeping(&self) {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.world.clock));
        let (rules, cancel) = (self.rules.subscribe(), self.cancel.clone());
        self.coordinator.upkeep().keep(parts::HOUSEKEEPING, move || {
            let (store, clock) = (Arc::clone(&store), Arc::clone(&clock));
            let (rules, cancel) = (rules.clone(), cancel.clone());
            async move {
                let mut turns = tokio::time::interval(PRUNE_EVERY);
                while cancel.run_until_cancelled(turns.tick()).await.is_some() {
                    let keep = rules.borrow().retention;
                    match store.prune(clock.now(), keep).await {
                        Ok(0) => {}
                        Ok(rows) => tracing::info!(rows, "removed old history"),
                        Err(error) => tracing::error!(%error, "old history is not removed"),
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use selfheal_agents::fakes::{FakeWorld, MemoryStore};
    use selfheal_agents::ports::Outbox;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_damaged_while_it_runs_is_told_once_and_tried_each_hour() {
        let store = Arc::<MemoryStore>::default();
        store.refuse_snapshots(Some("a row is not as it was written"));
        let clock: Arc<dyn Clock> = Arc::new(FakeWorld::default().clock().clone());
        let (_settings, rules) = watch::channel(Arc::new(Rules::default()));
        let taking = take_snapshots(store.clone(), Arc::clone(&clock), rules, Arc::default());
        let three_hours_and_a_half = Duration::from_mins(210);
        assert!(tokio::time::timeout(three_hours_and_a_half, taking).await.is_err());
        assert_eq!(store.snapshots_refused(), 4);
        let told = store.due(clock.now(), 10).await.unwrap();
        assert_eq!(told.len(), 1);
        assert!(told[0].alert.title.contains("a row is not as it was written"));
    }
}
