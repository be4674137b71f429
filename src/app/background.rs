//! What runs beside the flow: triggers, settings, housekeeping.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use selfheal_agents::health_monitor::Inventory;
use selfheal_agents::ports::World;
use tokio::sync::watch;

use super::App;
use super::rules;
use crate::config::{Loaded, Settings, Sources};
use crate::coordinator::schedule::CronSchedule;
use crate::coordinator::triggers::logs::{Followed, Follower};
use crate::coordinator::triggers::{Fire, docker_events, logs, probes, schedule};
use crate::coordinator::{Scope, Trigger};

/// What is probed.
type Targets = Arc<Vec<selfheal_agents::model::Target>>;
/// Whose log is followed.
type Containers = Arc<Vec<Followed>>;

/// How often old history is removed.
const PRUNE_EVERY: Duration = Duration::from_hours(6);

/// The name of the container Selfheal runs in; `None` outside of one.
///
/// Docker makes the container's short id its host name unless a person chose another, and
/// then the label `selfheal.self=true` tells.
pub(super) async fn own_container(world: &World) -> Option<String> {
    if !std::path::Path::new("/.dockerenv").exists() {
        return None;
    }
    let host_name = tokio::fs::read_to_string("/etc/hostname").await.ok()?;
    let containers = world.runtime.containers().await.ok()?;
    containers
        .into_iter()
        .find(|facts| {
            facts.id.starts_with(host_name.trim())
                || facts.labels.get("selfheal.self").is_some_and(|value| value == "true")
        })
        .map(|facts| facts.name)
}

/// The host's memory in bytes; without it no memory limit is raised.
pub(super) async fn host_memory(world: &World) -> u64 {
    world.host.host().await.map_or(0, |facts| facts.memory_total_bytes)
}

impl App {
    fn fire(&self) -> Fire {
        let coordinator = self.coordinator.clone();
        Arc::new(move |scope, trigger| coordinator.request(scope, trigger))
    }

    /// Listens to the runtime, probes between the cycles, follows logs.
    pub fn start_following(&self) {
        let settings = self.settings.borrow().clone();
        if settings.schedule.docker_events {
            let coordinator = self.coordinator.clone();
            let listener = docker_events::Listener {
                runtime: Arc::clone(&self.world.runtime),
                store: Arc::clone(&self.store),
                clock: Arc::clone(&self.world.clock),
                is_ours: Arc::new(move |target, at| coordinator.is_ours(target, at)),
                fire: self.fire(),
            };
            self.background.spawn(docker_events::run(listener, self.cancel.clone()));
        }
        let (targets, followed) = self.start_inventory(settings.schedule.follow_logs);
        self.background.spawn(probes::run(
            Arc::clone(&self.world.prober),
            targets,
            self.settings.clone(),
            self.fire(),
            self.cancel.clone(),
        ));
        let reader = Follower {
            runtime: Arc::clone(&self.world.runtime),
            catalogue: Arc::clone(&self.catalogue),
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

    /// Reads a changed settings file and puts it in force between two cycles.
    pub(super) fn start_settings(&self, sources: Sources, loaded: Loaded) {
        let sender = self.settings_sender.clone();
        self.background.spawn(crate::config::watch(sources, loaded, sender, self.cancel.clone()));
        let (rules, world, cancel) = (self.rules.clone(), self.world.clone(), self.cancel.clone());
        let mut settings = self.settings.clone();
        self.background.spawn(async move {
            loop {
                tokio::select! {
                    () = cancel.cancelled() => return,
                    changed = settings.changed() => if changed.is_err() { return },
                }
                let now = Arc::clone(&settings.borrow_and_update());
                let own = own_container(&world).await;
                rules.send_replace(Arc::new(rules::of(&now, own, host_memory(&world).await)));
            }
        });
    }

    /// Fires the schedule's slots.
    pub(super) fn start_schedule(&self) -> anyhow::Result<()> {
        let of = |settings: &Settings| {
            let seed = settings.data_dir.to_string_lossy();
            CronSchedule::new(&settings.schedule, &seed).map(Arc::new).map_err(anyhow::Error::msg)
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
        let cancel = self.cancel.clone();
        self.background.spawn(async move {
            let fired = move |_| {
                fire(Scope::All, Trigger::Schedule);
                coordinator.set_next_check(next(&schedules.borrow()));
            };
            if let Err(error) = schedule::run(seen, store, clock, fired, cancel).await {
                tracing::error!(%error, "the schedule does not run; events and probes still do");
            }
        });
        Ok(())
    }

    /// Removes history that is older than the settings keep.
    pub(super) fn start_housekeeping(&self) {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.world.clock));
        let (rules, cancel) = (self.rules.subscribe(), self.cancel.clone());
        self.background.spawn(async move {
            let mut turns = tokio::time::interval(PRUNE_EVERY);
            while cancel.run_until_cancelled(turns.tick()).await.is_some() {
                let before = clock.now() - rules.borrow().retention;
                match store.prune(before).await {
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
        .filter(|mount| mount.bind && std::path::Path::new(&mount.source).is_file())
        .map(|mount| mount.source.clone())
        .collect()
}

/// Folders that a person mounted into a container.
fn declared_roots(inventory: &Inventory) -> BTreeSet<String> {
    let mounts = inventory.containers.values().flat_map(|facts| &facts.mounts);
    mounts.filter(|mount| mount.bind).map(|mount| mount.source.clone()).collect()
}
