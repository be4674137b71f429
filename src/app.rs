//! Puts the parts together: settings in, a running Selfheal out.
//!
//! The only place that knows every adapter by name. It decides nothing; what it starts ends
//! when its token is cancelled.

mod background;
mod channels;
mod clockwork;
mod engines;
mod fleet;
mod in_force;
mod mounts;
mod own_container;
mod parts;
mod rules;
mod streams;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use chrono::TimeDelta;
use selfheal_agents::error_detector::{BrokenRunbook, Catalogue};
use selfheal_agents::health_monitor::changes::DigestKey;
use selfheal_agents::model::{Backup, Timestamp};
use selfheal_agents::ports::{Backups, Clock, ContainerRuntime, Occasion, Outbox, Store, World};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::channels::Carried;
pub use self::channels::of as channels;
pub use self::streams::of as streams;
use crate::alerts::{Heart, heartbeat};
use crate::audit::{Act, Audit};
use crate::config::{Changes, Settings};
use crate::coordinator::{Coordinator, Freeze, Parts, Rules, Scope, Trigger, freezes, restored};
use crate::docker::Docker;
use crate::fleet::Fleet;
use crate::host::{LocalCommands, LocalFiles, LocalHost, LocalLogs, SystemClock};
use crate::probes::Probes;
use crate::store::{Damage, Opened, Sender, SqlStore};
use crate::streams::Tie;
use crate::traces::Collector;
use crate::{knowledge, store};

/// A Selfheal put together. Dropping it ends nothing; cancel `cancel` for that.
pub struct App {
    /// The flow.
    pub coordinator: Coordinator,
    /// The settings in force.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// The container runtime, for `doctor` and the banner.
    pub docker: Docker,
    /// Runbooks that could not be read, each with its faults.
    pub broken_runbooks: Vec<BrokenRunbook>,
    /// The folder of one's own runbooks, as it was before they were read.
    own_runbooks: knowledge::Fingerprint,
    /// The other nodes, where there are any.
    pub fleet: Option<Fleet>,
    /// The history that is sent to PostgreSQL, where one is.
    pub history: Option<Arc<SqlStore>>,
    /// How the streams do, where there are any.
    pub tie: Option<Arc<Tie>>,
    /// How the signs of life fare.
    pub heart: Arc<Heart>,
    /// Where traces go, if they do.
    pub collector: Option<Arc<Collector>>,
    /// Ends everything.
    pub cancel: CancellationToken,
    /// The background tasks, to be waited for after the cancel.
    pub background: TaskTracker,
    settings_sender: watch::Sender<Arc<Settings>>,
    rules: watch::Sender<Arc<Rules>>,
    files: LocalFiles,
    commands: LocalCommands,
    world: World,
    store: Arc<dyn Store>,
    catalogue: watch::Sender<Arc<Catalogue>>,
    wake: Arc<Notify>,
}

/// Puts everything together and starts the coordinator, which first finishes or undoes what
/// a crash left. No trigger runs yet: see [`App::start_triggers`].
pub async fn assemble(settings: Settings) -> anyhow::Result<App> {
    assemble_seeing(settings, |docker| Arc::new(docker)).await
}

/// The same with something between Selfheal and Docker, such as one that shows only some of
/// its containers.
pub async fn assemble_seeing(
    settings: Settings,
    seen: impl FnOnce(Docker) -> Arc<dyn ContainerRuntime>,
) -> anyhow::Result<App> {
    let clock = Arc::new(SystemClock);
    let docker = Docker::connect(&settings.docker.host)
        .with_context(|| format!("the setting docker.host = \"{}\"", settings.docker.host))?;
    let files = LocalFiles::new();
    let commands =
        LocalCommands::new(settings.declared_commands(), settings.data_dir.join("commands"));
    let probes = Arc::new(Probes::new());
    let world = World {
        clock: clock.clone(),
        runtime: engines::beside(seen(docker.clone()), &settings.docker.engines)?,
        host: Arc::new(LocalHost::new()),
        prober: probes.clone(),
        servers: probes,
        commands: Arc::new(commands.clone()),
        logs: Arc::new(LocalLogs::new(settings.data_dir.join(store::COPIES_DIR))),
        files: Arc::new(files.clone()),
    };
    let opened = open_store(&settings, clock).await?;
    let digest_key = store::digest_key(&settings.data_dir)
        .with_context(|| format!("the key of the change log in {}", settings.data_dir.display()))?;
    // Before anything reads it: what it says of fixes under way is old.
    let channels = channels::names(&settings);
    if let Some(damage) = &opened.damage {
        Box::pin(own_up(&opened.store, damage, &channels)).await?;
    }
    let store = Arc::new(opened.store);
    let fleet = fleet::of(&settings, &store).await?;
    let cancel = CancellationToken::new();
    let sends_to = settings.history().map_err(anyhow::Error::msg)?;
    let here = Arc::clone(&store);
    let store: Arc<dyn Store> = store;
    let audit = Arc::new(Audit::open(&settings.data_dir, Arc::clone(&store)).await);
    if let Some(damage) = &opened.damage {
        // A restored store knows an older end of it than stands there.
        audit.examine().await;
        audit.write(&[damaged(damage)]).await;
    }
    // Before they are read: what changes meanwhile is read again.
    let own_runbooks = knowledge::fingerprint(&own_folder(&settings));
    let (catalogue, broken_runbooks) =
        knowledge::load(own_knowledge(&settings).as_deref(), knowledge::Keep::InForce);
    let catalogue = watch::Sender::new(Arc::new(catalogue));
    let own = own_container::own_container(&world).await;
    let host_memory = background::host_memory(&world).await;
    let rules = watch::Sender::new(Arc::new(rules::of(
        &settings,
        channels,
        own,
        host_memory,
        settings.streams.are_on(),
    )));
    let wake = Arc::new(Notify::new());
    let coordinator = Coordinator::start(Parts {
        world: world.clone(),
        store: Arc::clone(&store),
        fleet: fleet::port(fleet.as_ref()),
        rules: rules.subscribe(),
        catalogue: catalogue.subscribe(),
        digest_key: DigestKey::new(digest_key),
        audit,
        wake: Arc::clone(&wake),
        cancel: cancel.clone(),
    });
    let upkeep = coordinator.upkeep();
    let history = sends_to.is_some().then(|| Arc::clone(&here));
    if let Some(url) = sends_to {
        let ended = cancel.clone();
        let sends = move || Sender::new(url.clone(), Arc::clone(&here)).run(ended.clone());
        upkeep.keep(parts::SENDER, sends);
    }
    let background = upkeep.tracker();
    if let Some(fleet) = &fleet {
        let (fleet, coordinator, cancel) = (fleet.clone(), coordinator.clone(), cancel.clone());
        upkeep.keep(parts::FLEET, move || fleet.clone().run(coordinator.clone(), cancel.clone()));
    }
    let tie = settings.streams.are_on().then(Arc::default);
    let collector = collector(&settings);
    let settings_sender = watch::Sender::new(Arc::new(settings));
    Ok(App {
        coordinator,
        settings: settings_sender.subscribe(),
        docker,
        broken_runbooks,
        own_runbooks,
        fleet,
        history,
        tie,
        heart: Arc::default(),
        collector,
        cancel,
        background,
        settings_sender,
        rules,
        files,
        commands,
        world,
        store,
        catalogue,
        wake,
    })
}

/// Writes down what follows from a database that was damaged: the journal is gone with it or old,
/// and nobody knows what was under way, so a person looks before anything is changed.
async fn own_up(store: &SqlStore, damage: &Damage, channels: &[String]) -> anyhow::Result<()> {
    let now = SystemClock.now();
    if let Some(restored) = &damage.restored {
        restored::note(store, restored.taken_at).await?;
    }
    freezes::add(store, freeze_of(damage), now).await?;
    let taken_at = damage.restored.as_ref().map(|restored| restored.taken_at);
    let begun = begun_since(store, taken_at.unwrap_or(now - UNKNOWN_BACK)).await;
    let alert = crate::alerts::damaged(damage.set_aside.as_deref(), taken_at, &begun, now);
    store.enqueue(&alert, channels).await?;
    store.damage_is_told().await?;
    Ok(())
}

/// Where nothing is restored, fixes begun so long ago are named.
const UNKNOWN_BACK: TimeDelta = TimeDelta::days(1);
/// More than these nobody reads.
const MOST_NAMED: usize = 20;

/// The backups of fixes begun since that time, newest first: all that is left of them.
async fn begun_since(store: &SqlStore, since: Timestamp) -> Vec<Backup> {
    match store.backups(MOST_NAMED).await {
        Ok(newest) => newest.into_iter().filter(|backup| backup.at > since).collect(),
        Err(error) => {
            tracing::error!(%error, "which fixes were begun since is not known");
            vec![]
        }
    }
}

/// The store that the settings name, for writing.
async fn open_store(settings: &Settings, clock: Arc<dyn Clock>) -> anyhow::Result<Opened> {
    let data_dir = &settings.data_dir;
    Ok(match settings.history().map_err(anyhow::Error::msg)? {
        Some(url) => Box::pin(store::open_sending(&url, data_dir, clock)).await?,
        None => store::open(data_dir, clock).await?,
    })
}

/// The store alone, for an act that is only written down, and what is to be said of it where it was
/// found damaged just now. Nothing that was interrupted is gone on with.
pub async fn store_alone(
    settings: &Settings,
    act: Act,
) -> anyhow::Result<(Arc<SqlStore>, Option<String>)> {
    let opened = open_store(settings, Arc::new(SystemClock)).await?;
    let store = Arc::new(opened.store);
    let mut acts = vec![act];
    if let Some(damage) = &opened.damage {
        own_up(&store, damage, &channels::names(settings)).await?;
        acts.push(damaged(damage));
    }
    let audit = Audit::open(&settings.data_dir, Arc::clone(&store) as _).await;
    if opened.damage.is_some() {
        audit.examine().await;
    }
    audit.write(&acts).await;
    let look = |damage| format!("{}; look, then `selfheal unfreeze`", freeze_of(damage).reason);
    let found = opened.damage.as_ref().map(look);
    Ok((store, found))
}

fn damaged(damage: &Damage) -> Act {
    Act::of_selfheal(SystemClock.now(), "freeze").saying(freeze_of(damage).reason)
}

fn freeze_of(damage: &Damage) -> Freeze {
    let instead = damage.restored.as_ref().map_or_else(String::new, |restored| {
        let taken_at = restored.taken_at.format("%Y-%m-%d %H:%M:%S UTC");
        format!("; the snapshot of {taken_at} was restored, and what happened since is not known")
    });
    let what = damage.set_aside.as_ref().map_or_else(
        || "the database was gone".to_owned(),
        |aside| format!("the database was damaged and is set aside as {}", aside.display()),
    );
    // Not a person's, who would want silence: what is broken meanwhile is told.
    Freeze::safety_stop(format!("{what}{instead}"))
}

/// Where traces go. A variable that is wrong is told; Selfheal heals without traces.
fn collector(settings: &Settings) -> Option<Arc<Collector>> {
    match Collector::of(&settings.traces, |name| std::env::var(name).ok()) {
        Ok(collector) => collector.map(Arc::new),
        Err(error) => {
            tracing::error!(%error, "no traces are sent: {error}");
            None
        }
    }
}

/// A user's own runbooks lie in `knowledge` in the data directory.
pub fn own_knowledge(settings: &Settings) -> Option<PathBuf> {
    Some(own_folder(settings)).filter(|folder| folder.is_dir())
}

fn own_folder(settings: &Settings) -> PathBuf {
    settings.data_dir.join("knowledge")
}

impl App {
    /// Starts what calls for cycles and what carries alerts, for a Selfheal that stays.
    pub fn start_triggers(&self, changes: Changes) -> anyhow::Result<()> {
        let channels = self.start_alerts()?;
        self.start_streams()?;
        self.start_traces();
        self.start_following();
        self.start_settings(changes, channels);
        self.start_knowledge();
        self.start_schedule()?;
        self.start_housekeeping();
        self.start_snapshots();
        self.start_witness();
        self.start_heartbeat();
        self.coordinator.request(Scope::All, Trigger::Start);
        Ok(())
    }

    /// Takes a snapshot of the store, if it is time for one. That none could be taken is logged and
    /// stops nothing.
    pub async fn take_snapshot(&self, occasion: Occasion) {
        // Damage is found again, and dealt with, at the next start.
        let _ = Box::pin(background::take_snapshot(self.store.as_ref(), occasion)).await;
    }

    /// Starts what carries messages to other programs and takes their jobs, where that is set up.
    fn start_streams(&self) -> anyhow::Result<()> {
        let setup = streams::of(&self.settings.borrow())?;
        if let (Some(setup), Some(tie)) = (setup, &self.tie) {
            let cancel = self.cancel.clone();
            let fleet = self.fleet.clone();
            crate::streams::start(setup, &self.coordinator, fleet, Arc::clone(tie), cancel);
        }
        Ok(())
    }

    /// Starts to give signs of life, where one is wanted.
    fn start_heartbeat(&self) {
        let (settings, heart) = (self.settings.clone(), Arc::clone(&self.heart));
        let (coordinator, cancel) = (self.coordinator.clone(), self.cancel.clone());
        self.coordinator.upkeep().keep(parts::HEARTBEAT, move || {
            let coordinator = coordinator.clone();
            // A journal that cannot be read heals nobody either.
            let stopped = move || coordinator.hang().or_else(|| coordinator.fault());
            heartbeat(settings.clone(), stopped, Arc::clone(&heart), cancel.clone())
        });
    }

    /// Starts what sends traces, where that is set up.
    fn start_traces(&self) {
        if let Some(collector) = &self.collector {
            let (collector, coordinator) = (Arc::clone(collector), self.coordinator.clone());
            let cancel = self.cancel.clone();
            self.coordinator.upkeep().keep(parts::TRACES, move || {
                let live = coordinator.subscribe();
                crate::traces::run(Arc::clone(&collector), live, cancel.clone())
            });
        }
    }

    /// Starts what carries alerts.
    fn start_alerts(&self) -> anyhow::Result<Carried> {
        let channels = Carried::new(&self.settings.borrow())?;
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.world.clock));
        let (in_force, wake, cancel) =
            (channels.subscribe(), Arc::clone(&self.wake), self.cancel.clone());
        self.coordinator.upkeep().keep(parts::ALERTS, move || {
            let (store, clock) = (Arc::clone(&store), Arc::clone(&clock));
            crate::alerts::run(store, clock, in_force.clone(), Arc::clone(&wake), cancel.clone())
        });
        Ok(channels)
    }
}
