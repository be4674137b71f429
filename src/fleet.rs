//! Several Selfheals with one PostgreSQL: who looks after what, how all are, what each decided and
//! learnt.
//!
//! Each node heals its own host from the file in its own data directory, with or without the
//! server. What more than one node reaches (a database that runs on none of their hosts) is changed
//! by the one that has its lease, and by nobody while the server is away: that is the invariant, and
//! `selfheal_agents::lease` says why it holds. Nodes ask nothing of each other but through rows
//! there, so one that reaches the server needs to reach no other.
//!
//! It decides nothing about what is wrong, and keeps no history: that is sent by `store`, each
//! node's into a schema of its own.
//!
//! Rejected: calls from node to node. They would need an address and a secret of each for each, and
//! say nothing of a node that is away just then.

mod decisions;
mod frozen;
mod jobs;
mod learning;
mod leases;
mod names;
mod neighbours;
mod offers;
mod registry;
mod server;
mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use selfheal_agents::lease::{Ask, Mark, Tenure};
use selfheal_agents::model::{Neighbour, Outcome, Sought, TargetId};
use selfheal_agents::ports::{Fleet as Port, FrozenThere, Ownership, Permit};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::frozen::Frozen;
pub(crate) use self::jobs::Claim;
pub use self::registry::{Held, Member, Summary, Watched};
use self::server::{Asking, Line, Server};
use self::shared::Shared;
use crate::config::Settings;
use crate::coordinator::Coordinator;
use crate::store::PostgresUrl;

/// Whoever asked in vain for a lease is expected to ask again within this time.
const STILL_NEEDED: Duration = Duration::from_mins(1);

/// This node among the others; cloning shares it.
#[derive(Clone)]
pub struct Fleet {
    inner: Arc<Inner>,
}

struct Inner {
    node: String,
    /// Nobody else's, not even this node's own from an earlier start.
    me: String,
    /// Of the data directory.
    history: String,
    address: String,
    lease: Duration,
    server: Server,
    state: Mutex<State>,
    /// Whenever the server said that somebody decided elsewhere what this node is to do.
    decisions_wait: DecisionsWait,
    lost: AtomicU64,
    refused: AtomicU64,
}

/// Who does what is decided, each in its own time.
#[derive(Default)]
struct DecisionsWait {
    freezes: Notify,
    others: Notify,
}

#[derive(Default)]
struct State {
    shared: Shared,
    /// Whether the settings were read.
    is_declared: bool,
    mode: String,
    /// How this node is, but for its leases; `None` until that is known.
    summary: Option<Arc<registry::Summary>>,
    tenures: BTreeMap<String, Tenure>,
    /// What other nodes have frozen.
    frozen: Vec<(String, Frozen)>,
    /// How other hosts call this one, as the settings say.
    hosts: Vec<String>,
    /// What is needed here and is not here.
    sought: BTreeSet<Sought>,
    /// What other nodes have of that.
    found: Option<neighbours::Found>,
    /// When each lease was last asked for in vain.
    missed: BTreeMap<String, Duration>,
    /// Why nothing is known of the others; `None` while the server answers.
    away: Option<Away>,
    outcomes: Arc<Vec<Outcome>>,
}

/// Why this node has no part in the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Away {
    /// It has only begun.
    Begins,
    /// The server does not answer.
    Silent(String),
    /// Another node has the same name.
    NameTaken(String),
}

impl Away {
    fn why(&self) -> &str {
        match self {
            Self::Begins => "the fleet's PostgreSQL has not answered yet",
            Self::Silent(why) | Self::NameTaken(why) => why,
        }
    }
}

/// What it did since the start, for whoever shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Whether the server answers.
    pub connected: bool,
    /// Leases that this node has.
    pub held: usize,
    /// Leases that another took over.
    pub lost: u64,
    /// Calls that were not made because another had the lease, or nobody could say who.
    pub refused: u64,
    /// Outcomes of other nodes that are known here.
    pub outcomes: usize,
}

/// How long the machine has run, also while it slept: what sleeps has no lease when it wakes.
fn clock() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let nanos = u32::try_from(now.tv_nsec).unwrap_or_default();
    Duration::new(now.tv_sec.unsigned_abs(), nanos)
}

impl Fleet {
    /// This node, as the settings name it, with its history of that name on the server at `url`.
    pub fn new(settings: &Settings, url: &PostgresUrl, history: String) -> Self {
        let lease = settings.fleet.lease;
        let state = State { away: Some(Away::Begins), ..State::default() };
        let node = settings.fleet.node.clone();
        let fleet = Self {
            inner: Arc::new(Inner {
                me: format!("{node}/{}", Uuid::now_v7()),
                node,
                history,
                address: settings.api.address(),
                lease,
                server: Server::new(url, lease),
                state: Mutex::new(state),
                decisions_wait: DecisionsWait::default(),
                lost: AtomicU64::new(0),
                refused: AtomicU64::new(0),
            }),
        };
        fleet.declare(settings);
        fleet
    }

    /// Takes over what the settings say of targets.
    pub fn declare(&self, settings: &Settings) {
        let mut state = self.state();
        let shared = Shared::of(settings);
        let is_first = !std::mem::replace(&mut state.is_declared, true);
        state.shared = if is_first { shared } else { shared.after(&state.shared) };
        settings.mode.as_str().clone_into(&mut state.mode);
        state.hosts.clone_from(&settings.fleet.hosts);
        // What is not named any more stays until nothing is under way there: see `leases`.
        let State { shared, tenures, .. } = &mut *state;
        for lease in shared.leases() {
            let new = || Tenure::new(&self.inner.me, self.inner.lease);
            tenures.entry(lease.to_owned()).or_insert_with(new);
        }
    }

    /// Looks after its leases, its decisions and what is learnt until `cancel`.
    pub async fn run(self, coordinator: Coordinator, cancel: CancellationToken) {
        let all = async {
            tokio::join!(
                registry::run(&self, &coordinator),
                leases::run(&self, &coordinator),
                decisions::run(&self, &coordinator),
                learning::run(&self, &coordinator),
                neighbours::run(&self, &coordinator)
            )
        };
        cancel.run_until_cancelled(Box::pin(all)).await;
    }

    /// The name of this node.
    pub fn node(&self) -> &str {
        &self.inner.node
    }

    /// All nodes; the error says why that is not known.
    pub async fn members(&self) -> Result<Vec<Member>, String> {
        self.inner.server.nodes().await.map_err(|error| away(&error))
    }

    /// What it did since the start.
    pub fn figures(&self) -> Figures {
        let now = clock();
        let state = self.state();
        Figures {
            connected: state.away.is_none(),
            held: state.tenures.values().filter(|tenure| tenure.is_held(now)).count(),
            lost: self.inner.lost.load(Ordering::Relaxed),
            refused: self.inner.refused.load(Ordering::Relaxed),
            outcomes: state.outcomes.len(),
        }
    }

    /// Why this node has no part in the fleet now, where that is so.
    pub fn away(&self) -> Option<String> {
        let why = self.state().away.as_ref()?.why().to_owned();
        Some(format!("{why}; what other nodes reach as well is not changed until then"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a panic left is whole: each change is one assignment.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether this node has a part in the fleet, and says so once.
    fn is_away(&self, why: Option<Away>) {
        let mut state = self.state();
        let kind = |away: &Option<Away>| away.as_ref().map(std::mem::discriminant);
        let is_news = kind(&state.away) != kind(&why);
        match &why {
            None if is_news => tracing::info!("the fleet's PostgreSQL answers"),
            Some(Away::NameTaken(why)) if is_news => tracing::error!(
                "{why}; until then this one changes nothing that other nodes reach as well, and \
                 is not seen by them"
            ),
            Some(Away::Silent(why)) if is_news => tracing::warn!(
                "{why}; what other nodes reach as well is not changed until it does, everything \
                 else is healed on"
            ),
            _ => {}
        }
        state.away = why;
    }

    async fn ask(
        &self,
        line: &mut Line,
        era: &str,
        asks: &BTreeMap<String, Ask>,
    ) -> sqlx::Result<BTreeMap<String, Mark>> {
        let Inner { me, lease: usual, .. } = &*self.inner;
        line.ask(&Asking { era, me, usual: *usual, asks }).await
    }

    async fn ask_for_one(&self, target: &str, era: &str, ask: &Ask) -> sqlx::Result<Option<Mark>> {
        let mut line = self.inner.server.line().await?;
        let asks = BTreeMap::from([(target.to_owned(), ask.clone())]);
        Ok(self.ask(&mut line, era, &asks).await?.remove(target))
    }

    fn refusal(&self, lease: &str) -> String {
        self.inner.refused.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        state.missed.insert(lease.to_owned(), clock());
        let new = || Tenure::new(&self.inner.me, self.inner.lease);
        state.tenures.entry(lease.to_owned()).or_insert_with(new).set_wanted(true);
        match state.ownership_of(lease) {
            Ownership::Elsewhere { node } => format!("node `{node}` looks after it"),
            Ownership::Unknown { why } => why,
            Ownership::Ours => "its lease is about to run out".to_owned(),
        }
    }
}

/// The server does not answer, in words.
fn away(error: &sqlx::Error) -> String {
    let why = selfheal_agents::model::clean(&error.to_string(), 200);
    format!("the fleet's PostgreSQL does not answer: {why}")
}

impl State {
    /// Forgets the leases of what the settings do not name any more and nobody needs.
    fn let_go(&mut self, busy: &BTreeSet<String>, now: Duration) {
        let Self { shared, tenures, missed, .. } = self;
        missed.retain(|_, since| now.saturating_sub(*since) < STILL_NEEDED);
        tenures.retain(|lease, _| {
            shared.names(lease) || busy.contains(lease) || missed.contains_key(lease)
        });
    }

    fn ownership_of(&self, lease: &str) -> Ownership {
        let tenure = self.tenures.get(lease);
        if tenure.is_some_and(|tenure| tenure.is_held(clock())) {
            return Ownership::Ours;
        }
        if let Some(why) = &self.away {
            return Ownership::Unknown { why: why.why().to_owned() };
        }
        match tenure.and_then(Tenure::holder) {
            Some(holder) => Ownership::Elsewhere { node: node_of(holder).to_owned() },
            None => Ownership::Unknown { why: "nobody has its lease yet".to_owned() },
        }
    }
}

/// The node of a holder.
fn node_of(holder: &str) -> &str {
    holder.rsplit_once('/').map_or(holder, |(node, _)| node)
}

/// Leave for one call.
struct Call {
    fleet: Fleet,
    lease: String,
    number: u64,
    limit: Duration,
}

impl Permit for Call {
    fn is_valid(&self) -> bool {
        self.covers(self.limit)
    }

    fn covers(&self, limit: Duration) -> bool {
        let state = self.fleet.state();
        state.tenures.get(&self.lease).is_some_and(|tenure| tenure.may_act(limit, clock()))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(tenure) = self.fleet.state().tenures.get_mut(&self.lease) {
            tenure.ended(self.number);
        }
    }
}

#[async_trait]
impl Port for Fleet {
    fn ownership(&self, target: &TargetId) -> Ownership {
        let state = self.state();
        match state.shared.lease_of(target) {
            Some(lease) => state.ownership_of(lease),
            None => Ownership::Ours,
        }
    }

    async fn permit(&self, target: &TargetId, limit: Duration) -> Result<Box<dyn Permit>, String> {
        let sent = clock();
        let (lease, asked) = {
            let mut state = self.state();
            let Some(lease) = state.shared.lease_of(target).map(str::to_owned) else {
                return Ok(Box::new(selfheal_agents::ports::Alone));
            };
            let asked = state.tenures.get_mut(&lease).and_then(|tenure| {
                let (number, ask) = tenure.before_call(limit, sent)?;
                Some((number, ask, tenure.era().unwrap_or_default().to_owned()))
            });
            (lease, asked)
        };
        let Some((number, ask, era)) = asked else { return Err(self.refusal(&lease)) };
        let call = Call { fleet: self.clone(), lease: lease.clone(), number, limit };
        let mark = self.ask_for_one(&lease, &era, &ask).await.map_err(|error| away(&error))?;
        if let Some(tenure) = self.state().tenures.get_mut(&lease) {
            tenure.answered(&ask, sent, mark);
        }
        if call.is_valid() { Ok(Box::new(call)) } else { Err(self.refusal(&lease)) }
    }

    fn frozen(&self) -> Vec<FrozenThere> {
        self.state().frozen_there()
    }

    fn seek(&self, sought: BTreeSet<Sought>) {
        self.state().sought = sought;
    }

    fn neighbours(&self) -> Option<Vec<Neighbour>> {
        self.state().neighbours_now(self.inner.lease)
    }

    fn outcomes(&self) -> Arc<Vec<Outcome>> {
        Arc::clone(&self.state().outcomes)
    }
}
