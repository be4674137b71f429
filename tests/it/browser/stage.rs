//! What the browser looks at: the real server with the real coordinator, on a real port, over an
//! invented shop that lives through a day.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::Router;
use chrono::Utc;
use secrecy::ExposeSecret;
use selfheal::access::{Access, Scope as May, TokenBook};
use selfheal::audit::Audit;
use selfheal::config::{Sources, load_from};
use selfheal::coordinator::{Coordinator, Parts, Rules, Scope, Trigger};
use selfheal::http::{AllowedHosts, Configured, router, serve};
use selfheal::knowledge;
use selfheal_agents::fakes::{FakeClock, FakeWorld, MemoryStore, container, healthy, labels};
use selfheal_agents::health_monitor::changes::DigestKey;
use selfheal_agents::model::{
    ApplyMethod, ContainerFacts, Endpoint, Facts, HttpEndpoint, HttpFacts, MemoryLimits, Mode,
    Target, TargetId, TargetKind, Tunable, TunableRole, Usage,
};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::support::ask_within;

/// The file in which the worker's delay stands.
pub(super) const FILE: &str = "/srv/shop/worker.json";
const LIMIT: Duration = Duration::from_secs(30);
/// How long the shop has lived before anybody looks, in hours.
const HOURS: u64 = 23;

/// A served Selfheal; it ends with it.
pub(super) struct Stage {
    pub(super) world: FakeWorld,
    pub(super) folder: tempfile::TempDir,
    port: u16,
    cancel: CancellationToken,
}

/// What happened before anybody looks: hours pass in a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Past {
    /// A first look, and all is well.
    FirstLook,
    /// A day with its troubles; the last of them waits for a person.
    Day,
}

impl Stage {
    /// The shop with rules of one's own; `demands` a token of everybody.
    pub(super) fn new(rules: Rules, demands: bool, past: Past) -> Result<Self> {
        let world =
            FakeWorld::new(FakeClock::at(Utc::now() - Duration::from_mins(HOURS * 60 + 20)));
        let folder = tempfile::tempdir()?;
        let cancel = CancellationToken::new();
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let life = Life {
            world: world.clone(),
            store: Arc::default(),
            folder: folder.path().to_owned(),
            cancel: cancel.clone(),
        };
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .build()
                .expect("a runtime needs nothing that is not there");
            runtime.block_on(async {
                let lived = life.live(rules, demands, past).await;
                let failed = lived.is_err();
                drop(tell.send(lived.as_ref().map(drop).map_err(ToString::to_string)));
                if let (Ok(router), false) = (lived, failed) {
                    life.serve(listener, router).await;
                }
            });
        });
        let lived: Result<(), String> = told.recv().context("the shop lived")?;
        lived.map_err(anyhow::Error::msg)?;
        Ok(Self { world, folder, port, cancel })
    }

    /// Where a page is.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// A token for it.
    pub(super) fn token(&self, name: &str, scope: May) -> Result<String> {
        let book = TokenBook::of(self.folder.path());
        let (_, secret) = book.create(name, scope, None, Utc::now())?;
        Ok(secret.expose_secret().to_owned())
    }

    /// One cycle, now.
    pub(super) fn look(&self) -> Result<()> {
        let path = "/api/monitoring/trigger-check";
        let answer = ask_within(LIMIT, "POST", self.port, path, "{}")?;
        ensure!(answer.status == 200, "{path}: {}", answer.body);
        Ok(())
    }

    /// What its API answers.
    pub(super) fn get(&self, path: &str) -> Result<Value> {
        let answer = ask_within(LIMIT, "GET", self.port, path, "")?;
        ensure!(answer.status == 200, "{path}: {}", answer.body);
        Ok(serde_json::from_str(&answer.body)?)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// What runs in the thread of a stage.
struct Life {
    world: FakeWorld,
    store: Arc<MemoryStore>,
    folder: PathBuf,
    cancel: CancellationToken,
}

impl Life {
    /// Lives through the past in time that does not pass, and answers what is to be served.
    async fn live(&self, rules: Rules, demands: bool, past: Past) -> Result<Router> {
        let (catalogue, broken) = knowledge::load(None, knowledge::Keep::InForce);
        ensure!(broken.is_empty(), "{broken:?}");
        let (store, rules) = (Arc::clone(&self.store), watch::Sender::new(Arc::new(rules)));
        let coordinator = Coordinator::start(Parts {
            world: self.world.world(),
            store: store.clone(),
            fleet: Arc::new(selfheal_agents::ports::Alone),
            rules: rules.subscribe(),
            catalogue: watch::Sender::new(Arc::new(catalogue)).subscribe(),
            digest_key: DigestKey::new([7; 32]),
            audit: Arc::new(Audit::in_memory(store)),
            wake: Arc::default(),
            cancel: self.cancel.clone(),
        });
        build(&self.world);
        match past {
            Past::FirstLook => {
                self.world.clock().advance(Duration::from_hours(1));
                look(&coordinator).await?;
            }
            Past::Day => self.live_a_day(&coordinator, &rules).await?,
        }
        let file = self.folder.join("selfheal.toml");
        std::fs::write(&file, "mode = \"auto\"\n")?;
        let sources = Sources { explicit: Some(file), ..Sources::default() };
        let settings = load_from(&sources)?.settings;
        let configured = Configured {
            sources,
            settings: watch::Sender::new(Arc::new(settings)).subscribe(),
            channels: selfheal::app::channels,
            doctor: selfheal::cli::examine,
            fleet: None,
            history: None,
            tie: None,
            heart: Arc::default(),
            collector: None,
        };
        let access = Arc::new(Access::new(&self.folder, demands));
        let hosts = AllowedHosts::new(Ipv4Addr::LOCALHOST.into(), &[]);
        Ok(router(coordinator, configured, access, hosts, self.cancel.clone()))
    }

    async fn serve(&self, listener: std::net::TcpListener, router: Router) {
        tokio::time::resume();
        self.world.clock().set(Utc::now());
        let _passing = self.let_time_pass();
        let listener = TcpListener::from_std(listener).expect("it is set as it must be");
        drop(serve(listener, None, router, self.cancel.clone()).await);
    }

    /// The world's clock goes with the time that tests see.
    fn let_time_pass(&self) -> tokio_util::sync::DropGuard {
        let stop = self.cancel.child_token();
        let (clock, stopped) = (self.world.clock().clone(), stop.clone());
        tokio::spawn(async move {
            let tick = Duration::from_millis(100);
            while stopped.run_until_cancelled(tokio::time::sleep(tick)).await.is_some() {
                clock.advance(tick);
            }
        });
        stop.drop_guard()
    }

    /// A day passes: the mailer dies in the morning and is started again, an upstream asks the
    /// worker for patience in the afternoon and does so again just now; the rest goes its way.
    async fn live_a_day(
        &self,
        coordinator: &Coordinator,
        rules: &watch::Sender<Arc<Rules>>,
    ) -> Result<()> {
        let world = &self.world;
        for quarter in 0..HOURS * 4 {
            let wave = (quarter as f64 / 10.0).sin();
            answer(world, 24.0 + 9.0 * wave);
            for (name, cpu, memory) in [
                ("web", 12.0, 90),
                ("api", 35.0, 210),
                ("orders", 22.0, 310),
                ("baskets", 4.0, 120),
            ] {
                let usage = Usage {
                    cpu_percent: Some(cpu * (1.0 + 0.4 * wave)),
                    memory_bytes: Some((memory + quarter % 60) << 20),
                    processes: Some(4),
                };
                world.uses(name, usage);
            }
            match quarter {
                30 => {
                    world.crash("mailer", 1);
                    look(coordinator).await?;
                    self.pass(Duration::from_mins(5)).await;
                }
                62 => {
                    self.ask_for_patience(coordinator).await?;
                    self.pass(Duration::from_mins(5)).await;
                }
                _ => {}
            }
            look(coordinator).await?;
            world.clock().advance(Duration::from_mins(15));
        }
        world.clock().set(Utc::now() - Duration::from_secs(40));
        rules.send_modify(|rules| {
            let worker = TargetId::container("worker");
            Arc::make_mut(rules).target_modes.insert(worker, Mode::Approve);
        });
        self.ask_for_patience(coordinator).await
    }

    async fn pass(&self, long: Duration) {
        let _passing = self.let_time_pass();
        tokio::time::sleep(long).await;
    }

    /// The provider asks the worker for patience; what helps is a longer delay.
    async fn ask_for_patience(&self, coordinator: &Coordinator) -> Result<()> {
        for _ in 0..20 {
            self.world.log("worker", "ERROR provider answered HTTP 429 Too Many Requests");
            self.pass(Duration::from_secs(1)).await;
        }
        look(coordinator).await
    }
}

/// One cycle, now.
async fn look(coordinator: &Coordinator) -> Result<()> {
    coordinator.check(Scope::All, Trigger::Schedule, false).await.map(drop).map_err(Into::into)
}

/// The rules of the shop: a worker whose delay may be turned.
pub(super) fn rules(mode: Mode) -> Rules {
    let mut rules = Rules { mode, ..Rules::default() };
    rules.declared.tunables.push(Tunable {
        target: TargetId::container("worker"),
        file: FILE.to_owned(),
        key: "delay_s".to_owned(),
        role: TunableRole::Delay,
        min: 0.1,
        max: 10.0,
        apply: ApplyMethod::Restart,
        walk_back: false,
    });
    let id = TargetId::lossy(TargetKind::Http, "shop");
    let target = Target::bare(id);
    rules.declared.targets.push(Target {
        endpoint: Some(Endpoint::Http(front())),
        container: Some("web".to_owned()),
        ..target
    });
    rules
}

fn front() -> HttpEndpoint {
    HttpEndpoint {
        url: "http://web:8080/health".to_owned(),
        expected_status: vec![],
        body_contains: None,
        headers: [].into(),
    }
}

fn needing(name: &str, image: &str, needs: &str) -> ContainerFacts {
    let mut facts = healthy(name);
    image.clone_into(&mut facts.image);
    facts.limits = MemoryLimits { memory_bytes: Some(512 << 20), ..MemoryLimits::default() };
    if !needs.is_empty() {
        facts.labels = labels(&[("selfheal.depends-on", needs)]);
    }
    facts
}

/// The shop, all well.
fn build(world: &FakeWorld) {
    world
        .add(needing("web", "nginx:1.27", "api"))
        .add(needing("api", "shop/api:4.2", "orders,baskets"))
        .add(needing("orders", "shop/orders:4.2", ""))
        .add(needing("baskets", "shop/baskets:4.2", ""))
        .add(needing("mailer", "shop/mailer:1.9", "baskets"));
    let mut worker = container("worker");
    "shop/worker:4.2".clone_into(&mut worker.image);
    world.add(worker).file(FILE, "{\n  \"queue\": \"orders\",\n  \"delay_s\": 1.0\n}\n");
    answer(world, 24.0);
}

fn answer(world: &FakeWorld, latency_ms: f64) {
    let facts = HttpFacts {
        ok: true,
        status: Some(200),
        latency_ms: Some(latency_ms),
        ..HttpFacts::default()
    };
    world.hosts("web", &Endpoint::Http(front()), Facts::Http(facts));
}
