//! What runs beside the flow: triggers, settings, housekeeping.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use selfheal_agents::health_monitor::Inventory;
use selfheal_agents::ports::{Clock, Occasion, Store, StoreError, World};
use tokio::sync::{Notify, watch};

use super::App;
use super::channels::Carried;
use super::own_container::own_container;
use super::rules;
use crate::alerts::spoilt;
use crate::audit::Act;
use crate::config::{Changes, Settings};
use crate::coordinator::schedule::CronSchedule;
use crate::coordinator::triggers::logs::{Followed, Follower};
use crate::coordinator::triggers::{Doubt, Fire, docker_events, logs, probes, schedule};
use crate::coordinator::{Rules, Scope, Trigger};

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

/// Pause before Selfheal asks again which container it runs in.
const WHO_AM_I_AGAIN: Duration = Duration::from_secs(10);

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

/// What this Selfheal has for itself, for the jitter of its schedule.
fn seed_here(data_dir: &Path) -> String {
    let machine_id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let host_name = sysinfo::System::host_name().unwrap_or_default();
    seed(&machine_id, &host_name, data_dir)
}

/// All of it together: most data folders have the same name, machines that were copied the same
/// id, and containers often none.
fn seed(machine_id: &str, host_name: &str, data_dir: &Path) -> String {
    format!("{} {} {}", machine_id.trim(), host_name.trim(), data_dir.display())
}

impl App {
    fn fire(&self) -> Fire {
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
        self.background.spawn(docker_events::run(listener, self.cancel.clone()));
    }

    /// Listens to the runtime, probes between the cycles, follows logs.
    pub fn start_following(&self) {
        let settings = self.settings.borrow().clone();
        if settings.schedule.docker_events {
            let listener = self.listener(self.fire());
            self.background.spawn(docker_events::run(listener, self.cancel.clone()));
        }
        let (targets, followed) = self.start_inventory(settings.schedule.follow_logs);
        self.background.spawn(probes::run(
            Arc::clone(&self.world.prober),
            targets,
            self.settings.clone(),
            self.fire(),
            self.doubt(),
            self.cancel.clone(),
        ));
        let reader = Follower {
            runtime: Arc::clone(&self.world.runtime),
            catalogue: self.catalogue.subscribe(),
            clock: Arc::clone(&self.world.clock),
            fire: self.fire(),
        };
        self.background.spawn(logs::run(reader, followed, self.cancel.clone()));
    }

    /// Keeps what depends on the newest inventory up to date: what is probed, whose log is
    /// followed, which files are written in place.
    fn start_inventory(
        &self,
        follow_logs: bool,
    ) -> (watch::Receiver<Targets>, watch::Receiver<Containers>) {
        let (targets, targets_seen) = watch::channel(Arc::default());
        let (followed, followed_seen) = watch::channel(Arc::default());
        let mut inventory = self.coordinator.inventory();
        let files = self.files.clone();
        let cancel = self.cancel.clone();
        self.background.spawn(async move {
            loop {
                let now = Arc::clone(&inventory.borrow_and_update());
                targets.send_replace(Arc::new(now.targets.values().cloned().collect()));
                if follow_logs {
                    followed.send_replace(Arc::new(Followed::running(now.containers.values())));
                }
                files.set_in_place(single_files(&now));
                files.set_roots(declared_roots(&now));
                tokio::select! {
                    () = cancel.cancelled() => return,
                    changed = inventory.changed() => if changed.is_err() { return },
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
        let watch = crate::knowledge::watch(folder, seen, broken, catalogue, cancel);
        self.background.spawn(watch);
    }

    /// Reads a changed settings file and puts it in force between two cycles.
    pub(super) fn start_settings(&self, watched: Changes, mut channels: Carried) {
        let sender = self.settings_sender.clone();
        self.background.spawn(crate::config::watch(watched, sender, self.cancel.clone()));
        let (rules, world, cancel) = (self.rules.clone(), self.world.clone(), self.cancel.clone());
        let (commands, streams) = (self.commands.clone(), self.tie.is_some());
        let fleet = self.fleet.clone();
        let mut settings = self.settings.clone();
        let audit = Arc::clone(self.coordinator.audit());
        self.background.spawn(async move {
            let mut before = Arc::clone(&settings.borrow());
            let inside = Path::new("/.dockerenv").exists();
            loop {
                // As long as Selfheal does not know itself, it might touch itself.
                let unknown = inside && rules.borrow().declared.own_container.is_none();
                tokio::select! {
                    () = cancel.cancelled() => return,
                    changed = settings.changed() => if changed.is_err() { return },
                    () = tokio::time::sleep(WHO_AM_I_AGAIN), if unknown => {}
                }
                let now = Arc::clone(&settings.borrow_and_update());
                let changed = before.differences(&now);
                if !changed.is_empty() {
                    let act = Act::of_selfheal(world.clock.now(), "settings_changed");
                    audit.write(&[act.saying(changed.join("; "))]).await;
                    before = Arc::clone(&now);
                }
                let channels = channels.renew(&now);
                commands.declare(now.declared_commands());
                if let Some(fleet) = &fleet {
                    fleet.declare(&now);
                }
                let (own, memory) = (own_container(&world).await, host_memory(&world).await);
                rules.send_replace(Arc::new(rules::of(&now, channels, own, memory, streams)));
            }
        });
    }

    /// Fires the schedule's slots.
    pub(super) fn start_schedule(&self) -> anyhow::Result<()> {
        let own = seed_here(&self.settings.borrow().data_dir);
        let of = move |settings: &Settings| {
            CronSchedule::new(&settings.schedule, &own).map(Arc::new).map_err(anyhow::Error::msg)
        };
        let (schedules, seen) = watch::channel(of(&self.settings.borrow())?);
        let (coordinator, fire) = (self.coordinator.clone(), self.fire());
        coordinator.set_next_check(next(&schedules.borrow()));
        let mut settings = self.settings.clone();
        let cancel = self.cancel.clone();
        let follow = schedules.clone();
        self.background.spawn(async move {
            while cancel.run_until_cancelled(settings.changed()).await.is_some_and(|c| c.is_ok()) {
                if let Ok(schedule) = of(&settings.borrow_and_update()) {
                    follow.send_replace(schedule);
                }
            }
        });
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.world.clock));
        let (pulse, cancel) = (coordinator.schedule_pulse(), self.cancel.clone());
        self.background.spawn(async move {
            let fired = move |_| {
                fire(Scope::All, Trigger::Schedule);
                coordinator.set_next_check(next(&schedules.borrow()));
            };
            if let Err(error) = schedule::run(seen, store, clock, fired, pulse, cancel).await {
                tracing::error!(%error, "the schedule does not run; events and probes still do");
            }
        });
        Ok(())
    }

    /// Takes snapshots of the store, from time to time.
    pub(super) fn start_snapshots(&self) {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.world.clock));
        let taking = take_snapshots(store, clock, self.rules.subscribe(), Arc::clone(&self.wake));
        let cancel = self.cancel.clone();
        self.background.spawn(async move { cancel.run_until_cancelled(taking).await });
    }

    /// Takes note of what others write into the audit log, and tells its newest entry now and then.
    pub(super) fn start_witness(&self) {
        let (audit, cancel) = (Arc::clone(self.coordinator.audit()), self.cancel.clone());
        self.background.spawn(async move {
            let mut turns = tokio::time::interval(WITNESS_EVERY);
            let mut told_at = None;
            while cancel.run_until_cancelled(turns.tick()).await.is_some() {
                let head = audit.witness().await;
                let is_due = told_at.is_none_or(|at: Instant| at.elapsed() >= HEAD_TOLD_EVERY);
                if let Some(head) = head.filter(|_| is_due) {
                    tracing::info!("the newest entry of the audit log is {head}");
                    told_at = Some(Instant::now());
                }
            }
        });
    }

    /// Removes history that is older than the settings keep.
    pub(super) fn start_housekeeping(&self) {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.world.clock));
        let (rules, cancel) = (self.rules.subscribe(), self.cancel.clone());
        self.background.spawn(async move {
            let mut turns = tokio::time::interval(PRUNE_EVERY);
            while cancel.run_until_cancelled(turns.tick()).await.is_some() {
                let keep = rules.borrow().retention;
                match store.prune(clock.now(), keep).await {
                    Ok(0) => {}
                    Ok(rows) => tracing::info!(rows, "removed old history"),
                    Err(error) => tracing::error!(%error, "old history is not removed"),
                }
            }
        });
    }
}

fn next(schedule: &CronSchedule) -> Option<selfheal_agents::model::Timestamp> {
    schedule.next_slot(chrono::Utc::now()).map(|slot| slot.starts)
}

/// Files that are themselves mounts: renaming over one would leave the container on the old
/// content.
fn single_files(inventory: &Inventory) -> BTreeSet<String> {
    let mounts = inventory.containers.values().flat_map(|facts| &facts.mounts);
    mounts
        .filter(|mount| mount.bind && Path::new(&mount.source).is_file())
        .map(|mount| mount.source.clone())
        .collect()
}

/// Folders that a person mounted into a container.
fn declared_roots(inventory: &Inventory) -> BTreeSet<String> {
    let mounts = inventory.containers.values().flat_map(|facts| &facts.mounts);
    mounts.filter(|mount| mount.bind).map(|mount| mount.source.clone()).collect()
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

    #[test]
    fn hosts_with_the_same_data_folder_do_not_start_together() {
        let schedule = crate::config::Schedule {
            cron: "0 * * * *".to_owned(),
            jitter: Duration::from_mins(30),
            ..crate::config::Schedule::default()
        };
        let folder = Path::new("/var/lib/selfheal");
        let starts: BTreeSet<_> = [("a1\n", "nas"), ("b2\n", "nas"), ("", "one"), ("", "two")]
            .into_iter()
            .map(|(id, name)| {
                let seed = seed(id, name, folder);
                let schedule = CronSchedule::new(&schedule, &seed).unwrap();
                schedule.next_slot(chrono::DateTime::UNIX_EPOCH).unwrap().starts
            })
            .collect();
        assert_eq!(starts.len(), 4);
    }
}
