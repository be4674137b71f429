//! A node of a simulated fleet: all of a daemon but its triggers, pages, alerts and streams.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use selfheal::audit::Audit;
use selfheal::config::{Settings, Sources, load_from};
use selfheal::coordinator::{Coordinator, Parts, Rules, Scope, Trigger};
use selfheal::docker::Docker;
use selfheal::fleet::Fleet;
use selfheal::host::{LocalCommands, LocalFiles, LocalHost, LocalLogs, SystemClock};
use selfheal::probes::Probes;
use selfheal::store::{self, Sender, SqlStore};
use selfheal_agents::error_detector::Catalogue;
use selfheal_agents::health_monitor::changes::DigestKey;
use selfheal_agents::model::{FixId, IncidentId, Mode};
use selfheal_agents::ports::{Outcomes as _, World};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::store::samples::outcome;

/// So many nodes reach the same server.
const NEIGHBOURS: usize = 10;
/// There are so many kinds of trouble in the fleet.
const KINDS: usize = 20;

/// Where a node finds what it shares with others.
pub(super) struct Place<'a> {
    pub(super) folder: &'a Path,
    pub(super) socket: &'a Path,
    pub(super) url: &'a str,
    pub(super) fleet: &'a str,
    pub(super) lease: Duration,
    pub(super) catalogue: &'a watch::Sender<Arc<Catalogue>>,
}

/// One node.
pub(super) struct Node {
    number: usize,
    coordinator: Coordinator,
    store: Arc<SqlStore>,
    fleet: Fleet,
    cancel: CancellationToken,
    parts: [JoinHandle<()>; 2],
    /// Kept, since the settings go out to whoever listens to it.
    _rules: watch::Sender<Arc<Rules>>,
}

impl Node {
    pub(super) async fn start(place: &Place<'_>, number: usize) -> Result<Self> {
        let settings = settings(place, number)?;
        let missing = || "the settings name a server".to_owned();
        let history = settings.history().and_then(|url| url.ok_or_else(missing));
        let history = history.map_err(anyhow::Error::msg)?;
        let shared = settings.store.postgres().and_then(|url| url.ok_or_else(missing));
        let clock = Arc::new(SystemClock);
        let opened = Box::pin(store::open_sending(&history, &settings.data_dir, clock)).await?;
        let (store, cancel) = (Arc::new(opened.store), CancellationToken::new());
        let shared = shared.map_err(anyhow::Error::msg)?;
        let fleet = Fleet::new(&settings, &shared, store.history().await?);
        let rules = watch::Sender::new(Arc::new(Rules { mode: Mode::Observe, ..Rules::default() }));
        let coordinator = Coordinator::start(Parts {
            world: world(&settings)?,
            store: store.clone(),
            fleet: Arc::new(fleet.clone()),
            rules: rules.subscribe(),
            catalogue: place.catalogue.subscribe(),
            digest_key: DigestKey::new([7; 32]),
            audit: Arc::new(Audit::open(&settings.data_dir, store.clone()).await),
            wake: Arc::default(),
            cancel: cancel.clone(),
        });
        let parts = [
            tokio::spawn(Sender::new(history, Arc::clone(&store)).run(cancel.clone())),
            tokio::spawn(fleet.clone().run(coordinator.clone(), cancel.clone())),
        ];
        Ok(Self { number, coordinator, store, fleet, cancel, parts, _rules: rules })
    }

    pub(super) async fn cycle(&self) -> Result<()> {
        let report = self.coordinator.check(Scope::All, Trigger::Schedule, false).await;
        report.map(drop).with_context(|| format!("a cycle of node {}", self.number))
    }

    /// A fix came to its end here.
    pub(super) async fn learns(&self) -> Result<FixId> {
        let mut learnt = outcome(1, 0, true);
        (learnt.fix, learnt.incident) = (FixId(Uuid::now_v7()), IncidentId(Uuid::now_v7()));
        learnt.timestamp = self.coordinator.now();
        learnt.issue_type = format!("kind-{}", self.number % KINDS);
        self.store.record_outcome(&learnt).await?;
        Ok(learnt.fix)
    }

    /// Waits until the server has its tables, and this node a part in the fleet.
    pub(super) async fn takes_part(&self) -> Result<()> {
        let limit = Instant::now() + Duration::from_mins(1);
        while !self.fleet.figures().connected {
            ensure!(Instant::now() < limit, "node {} has no part in the fleet", self.number);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Waits until the server has all of its history.
    pub(super) async fn is_sent(&self) -> Result<()> {
        let limit = Instant::now() + Duration::from_mins(5);
        while self.store.unsent().await? > 0 {
            ensure!(Instant::now() < limit, "node {} does not send", self.number);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(())
    }

    /// How much that others learnt it knows.
    pub(super) fn known(&self) -> usize {
        self.fleet.figures().outcomes
    }

    pub(super) async fn end(self) {
        self.cancel.cancel();
        for part in self.parts {
            let _ = part.await;
        }
    }
}

fn settings(place: &Place<'_>, number: usize) -> Result<Settings> {
    let folder = place.folder.join(format!("{}-{number}", place.fleet));
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("selfheal.toml");
    let text = format!(
        "data_dir = \"{}/data\"\n[docker]\nhost = \"unix://{}\"\n[store]\nurl = \"{}\"\n\
         [fleet]\nnode = \"node-{number}\"\nlease = \"{}s\"\n\
         [[target]]\nkind = \"tcp\"\nname = \"shared\"\nurl = \"tcp://site-{}.lan:25\"\n",
        folder.display(),
        place.socket.display(),
        place.url,
        place.lease.as_secs(),
        number / NEIGHBOURS,
    );
    std::fs::write(&file, text)?;
    let sources = Sources { explicit: Some(file), ..Sources::default() };
    Ok(load_from(&sources)?.settings)
}

fn world(settings: &Settings) -> Result<World> {
    let probes = Arc::new(Probes::new());
    Ok(World {
        clock: Arc::new(SystemClock),
        runtime: Arc::new(Docker::connect(&settings.docker.host)?),
        host: Arc::new(LocalHost::new()),
        prober: probes.clone(),
        servers: probes,
        commands: Arc::new(LocalCommands::new(vec![], settings.data_dir.join("commands"))),
        logs: Arc::new(LocalLogs::new(settings.data_dir.join(store::COPIES_DIR))),
        files: Arc::new(LocalFiles::new()),
    })
}
