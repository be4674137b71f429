//! What the parts of the coordinator share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use selfheal_agents::error_detector::Catalogue;
use selfheal_agents::health_monitor::changes::DigestKey;
use selfheal_agents::health_monitor::{Flaps, HealthMonitor, Inventory, Starts};
use selfheal_agents::learning_engine::History;
use selfheal_agents::model::{Fix, Incident, IncidentId, IncidentState, TargetId, Timestamp};
use selfheal_agents::ports::{Fleet, Store, World};
use tokio::sync::{Mutex as AsyncMutex, Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::asked::Asked;
use super::clones::Clones;
use super::driver::Work;
use super::error_rate::CalmErrors;
use super::execution::Executor;
use super::hours::Hours;
use super::last_looks::LastLooks;
use super::late::Waited;
use super::latency::CalmLatency;
use super::leases::{Lease, Leases};
use super::left::Left;
use super::levels::Levels;
use super::live::Live;
use super::look::Senses;
use super::neighbours::Unreached;
use super::news::News;
use super::progress::{Phase, Progress};
use super::pulse::Pulse;
use super::queue::Queue;
use super::recorded::Recorded;
use super::reminders::Reminded;
use super::retries::Retries;
use super::steps::together;
use super::turns::{Turn, Turns};
use super::{Freeze, Happening, Parts, Rules, Standing, schedule, validation};
use crate::audit::Audit;
use crate::upkeep::Upkeep;

/// How often windows and passing holds are looked after.
pub(super) const TICK: Duration = Duration::from_millis(500);
/// A time in which a part of the world cannot be seen.
pub(super) struct Blind {
    pub(super) since: Timestamp,
    /// Whether people were told.
    pub(super) told: bool,
}

/// The coordinator's insides.
pub(super) struct Inner {
    pub(super) world: World,
    pub(super) store: Arc<dyn Store>,
    pub(super) fleet: Arc<dyn Fleet>,
    pub(super) audit: Arc<Audit>,
    rules: watch::Receiver<Arc<Rules>>,
    catalogue: watch::Receiver<Arc<Catalogue>>,
    pub(super) executor: Executor,
    pub(super) digest_key: DigestKey,
    /// Held for the length of a cycle: one at a time.
    pub(super) senses: AsyncMutex<Senses>,
    /// Held while incidents are read, changed and written by a cycle or a person.
    pub(super) writing: AsyncMutex<()>,
    /// At each incident: its window is looked after, or a person takes a fix back.
    pub(super) turns: Turns,
    /// Held while freezes are read and changed.
    pub(super) freezing: AsyncMutex<()>,
    pub(super) inventory: watch::Sender<Arc<Inventory>>,
    pub(super) standing: watch::Sender<Standing>,
    pub(super) live: Live,
    pub(super) leases: Leases,
    pub(super) queue: Queue,
    pub(super) clones: Clones,
    pub(super) tracker: TaskTracker,
    pub(super) error_rates: Mutex<BTreeMap<TargetId, CalmErrors>>,
    /// How containers usually answer, by name.
    pub(super) latencies: Mutex<BTreeMap<String, CalmLatency>>,
    pub(super) frozen: Mutex<Vec<Freeze>>,
    /// Whether those of the last run are among them.
    pub(super) are_freezes_known: AtomicBool,
    /// What became of all fixes.
    pub(super) outcomes: Recorded<History>,
    /// How targets changed between well and broken.
    pub(super) flaps: Mutex<Flaps>,
    /// How each target did, hour by hour.
    pub(super) hours: Mutex<Hours>,
    /// What was measured, for charts.
    pub(super) levels: Mutex<Levels>,
    /// The lives of containers, each followed until its start is over.
    pub(super) starts: Mutex<Starts>,
    /// What cannot be seen, each with its present spell.
    pub(super) blind: Mutex<BTreeMap<String, Blind>>,
    /// Engines of other hosts that did not answer when that was last asked.
    pub(super) away: Mutex<BTreeSet<String>>,
    /// What other nodes have and does not answer here.
    pub(super) unreached: Unreached,
    /// Incidents whose window runs.
    pub(super) watched: Mutex<BTreeSet<IncidentId>>,
    /// When each of them was last looked at.
    pub(super) last_looks: LastLooks,
    /// The monitor that looks at each of them.
    eyes: Mutex<BTreeMap<IncidentId, HealthMonitor>>,
    /// What the world is being asked.
    pub(super) asked: Asked,
    /// Trouble that is new in windows that run.
    pub(super) news: News,
    /// When to look again at what rises.
    pub(super) rising: Mutex<BTreeMap<TargetId, Timestamp>>,
    /// When to look again at what is held.
    pub(super) retries: Retries,
    /// Incidents with decisions that the audit log did not take.
    pub(super) unaudited: Mutex<BTreeSet<IncidentId>>,
    /// What people were reminded of.
    pub(super) reminded: Reminded,
    /// Who answers late.
    pub(super) waited: Waited,
    pub(super) wake: Arc<Notify>,
    /// Whether triggers are taken and handled.
    pub(super) work: Mutex<Work>,
    /// Whether windows are still looked after.
    pub(super) windows_pulse: Pulse,
    /// Whether the schedule still looks at the clock.
    pub(super) schedule_pulse: Arc<Pulse>,
    /// Lines that no cycle looked at, since there were too many.
    pub(super) lines_left_out: AtomicU64,
    /// Keeps what runs beside the flow.
    pub(super) upkeep: Upkeep,
    /// What the last run left and waits to be taken up.
    pub(super) left: Mutex<Option<Arc<Left>>>,
    /// Whether what the last run left is taken up.
    taken_up: watch::Sender<bool>,
    pub(super) cancel: CancellationToken,
}

/// A value whose last user may have panicked: what it holds is whole all the same.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    pub(super) fn new(parts: Parts) -> Self {
        let rules = Arc::clone(&parts.rules.borrow());
        let standing = Standing {
            mode: rules.mode,
            freezes: vec![],
            last_check: None,
            next_check: None,
            check_interval_minutes: rules.check_interval_minutes,
            cycles: 0,
            last_cycle_ms: None,
            targets: vec![],
            blind: vec![],
            runtime_connected: false,
            applying: 0,
            validating: 0,
        };
        let inventory: watch::Sender<Arc<Inventory>> = watch::Sender::default();
        Self {
            executor: Executor::new(
                parts.world.clone(),
                Arc::clone(&parts.store),
                Arc::clone(&parts.fleet),
                inventory.subscribe(),
            ),
            senses: AsyncMutex::new(Senses::new(&rules)),
            digest_key: parts.digest_key,
            world: parts.world,
            store: parts.store,
            fleet: parts.fleet,
            audit: parts.audit,
            rules: parts.rules,
            catalogue: parts.catalogue,
            writing: AsyncMutex::new(()),
            turns: Turns::default(),
            freezing: AsyncMutex::new(()),
            inventory,
            standing: watch::Sender::new(standing),
            live: Live::new(),
            leases: Leases::default(),
            queue: Queue::default(),
            clones: Clones::default(),
            tracker: TaskTracker::new(),
            error_rates: Mutex::default(),
            latencies: Mutex::default(),
            frozen: Mutex::default(),
            are_freezes_known: AtomicBool::default(),
            outcomes: Recorded::default(),
            flaps: Mutex::default(),
            hours: Mutex::default(),
            levels: Mutex::default(),
            starts: Mutex::default(),
            blind: Mutex::default(),
            away: Mutex::default(),
            unreached: Mutex::default(),
            watched: Mutex::default(),
            last_looks: LastLooks::default(),
            eyes: Mutex::default(),
            asked: Asked::default(),
            news: News::default(),
            rising: Mutex::default(),
            retries: Retries::default(),
            unaudited: Mutex::default(),
            reminded: Reminded::default(),
            waited: Waited::default(),
            wake: parts.wake,
            work: Mutex::default(),
            windows_pulse: Pulse::default(),
            schedule_pulse: Arc::default(),
            lines_left_out: AtomicU64::default(),
            upkeep: Upkeep::new(parts.cancel.clone()),
            left: Mutex::default(),
            taken_up: watch::Sender::new(false),
            cancel: parts.cancel,
        }
    }

    pub(super) async fn look_in_turn(self: Arc<Self>, id: IncidentId, _turn: Turn) {
        Box::pin(self.look_after(id)).await;
    }

    async fn look_after(self: &Arc<Self>, id: IncidentId) {
        let incident = match self.store.incident(id).await {
            Ok(Some(incident)) => incident,
            Ok(None) => return self.unwatch(id),
            Err(error) => {
                tracing::error!(incident.id = %id, %error, "a window cannot be read");
                return;
            }
        };
        if self.leases.is_busy(&incident.target) {
            return;
        }
        Box::pin(self.look_after_incident(incident)).await;
    }

    async fn look_after_incident(self: &Arc<Self>, mut incident: Incident) {
        let progress = match &incident.fix {
            Some(fix) => self.executor.progress(fix.id).await,
            None => Ok(None),
        };
        match progress {
            // A store that failed in the middle: the journal says where to go on.
            Ok(Some(mut progress)) if progress.phase == Phase::Applying => {
                let Some(_lease) = self.lease_for(&incident) else { return };
                self.finish_applying(&mut incident, &mut progress).await;
            }
            Ok(Some(Progress { phase: Phase::RollingBack { reason }, .. })) => {
                let Some(_lease) = self.lease_for(&incident) else { return };
                let result = selfheal_agents::model::ResultStatus::Applied;
                self.take_back(&mut incident, &reason, result).await;
            }
            // Of several that go together only some were taken back.
            Ok(Some(progress))
                if progress.phase == Phase::RolledBack && !incident.state().is_closed() =>
            {
                let Some(_lease) = self.lease_for(&incident) else { return };
                self.finish_taking_back(&mut incident).await;
            }
            Ok(_) if incident.state() == IncidentState::Validating => {
                let wait = incident.validation.as_ref().map(validation::wait);
                if wait.is_some_and(|wait| self.last_looks.are_over(incident.id, wait)) {
                    self.look_at_window(&mut incident).await;
                }
            }
            Ok(_) => self.unwatch(incident.id),
            Err(error) => {
                tracing::error!(incident.id = %incident.id, %error, "the journal cannot be read");
            }
        }
    }

    /// A lease on all that an incident's newest fix touches, so that nobody else works there
    /// and what the runtime tells of our effects is known as ours; `None` if one is taken or out of
    /// reach.
    pub(super) fn lease_for(&self, incident: &Incident) -> Option<Lease> {
        if !together(incident).iter().all(|fix| self.is_within_reach(fix)) {
            return None;
        }
        let mut targets = incident.fix.as_ref().map(Fix::touches).unwrap_or_default();
        targets.push(incident.target.clone());
        self.leases.take(targets, &self.world.clock)
    }

    /// Whether the engines of all that a fix touches answer: where one does not, a step or its undo
    /// would only fail, and the fix be given up as stuck.
    pub(super) fn is_within_reach(&self, fix: &Fix) -> bool {
        let away = self.world.runtime.away();
        fix.touches().iter().all(|id| id.engine().is_none_or(|engine| !away.contains_key(engine)))
    }

    /// Whether every fix that the last run had under way is brought to an end or watched again.
    pub(super) fn has_taken_up(&self) -> bool {
        *self.taken_up.borrow()
    }

    /// Whether people's requests may touch what the last run left.
    pub(super) fn set_taken_up(&self, done: bool) {
        self.taken_up.send_replace(done);
    }

    /// Waits until what the last run left is taken up; answers whether it is.
    pub(super) async fn taken_up_within(&self, at_most: Duration) -> bool {
        let mut taken_up = self.taken_up.subscribe();
        let waiting = tokio::time::timeout(at_most, taken_up.wait_for(|done| *done));
        waiting.await.is_ok_and(|done| done.is_ok())
    }

    /// The settings in force.
    pub(super) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.borrow())
    }

    /// The runbooks in force.
    pub(super) fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.catalogue.borrow())
    }

    pub(super) fn tell(&self, what: Happening) {
        self.live.tell(self.world.clock.now(), what);
    }

    /// Looks after an incident until it is closed.
    pub(super) fn watch(&self, id: IncidentId) {
        lock(&self.watched).insert(id);
    }

    /// Looks after it no more.
    pub(super) fn unwatch(&self, id: IncidentId) {
        lock(&self.watched).remove(&id);
        self.last_looks.forget(id);
        lock(&self.eyes).remove(&id);
    }

    /// Whether it is looked after.
    pub(super) fn is_watched(&self, id: IncidentId) -> bool {
        lock(&self.watched).contains(&id)
    }

    /// The monitors of the windows that run.
    pub(super) fn eyes(&self) -> MutexGuard<'_, BTreeMap<IncidentId, HealthMonitor>> {
        lock(&self.eyes)
    }

    /// Drops what the detector counted before a repair of `target`.
    pub(super) async fn senses_forget(&self, target: &TargetId) {
        self.senses.lock().await.detector.forget(target);
    }

    /// The maintenance window that is open for a target now.
    pub(super) fn maintenance_open(&self, target: &TargetId, now: Timestamp) -> Option<String> {
        let rules = self.rules();
        schedule::open_window(&rules.maintenance, &rules.timezone, target, now).map(str::to_owned)
    }

    /// Whether a quiet hour is open for a target now; `None` when the settings name none.
    pub(super) fn quiet_hour(&self, target: &TargetId, now: Timestamp) -> Option<bool> {
        let rules = self.rules();
        schedule::in_quiet_hour(&rules.quiet_hours, &rules.timezone, target, now)
    }

    pub(super) fn standing_now(&self) -> Standing {
        let mut standing = self.standing.borrow().clone();
        let rules = self.rules();
        standing.mode = rules.mode;
        standing.check_interval_minutes = rules.check_interval_minutes;
        standing.freezes = self.freezes_in_force();
        standing.validating = lock(&self.watched).len();
        standing.applying = self.tracker.len();
        standing
    }

    /// Waits until no fix is being applied.
    pub(super) async fn applied(&self) {
        self.tracker.close();
        self.tracker.wait().await;
        self.tracker.reopen();
    }

    /// Waits until no fix is being applied and no window runs.
    pub(super) async fn settled(&self) {
        loop {
            self.applied().await;
            if lock(&self.watched).is_empty() && self.tracker.is_empty() {
                return;
            }
            tokio::time::sleep(TICK).await;
        }
    }
}
