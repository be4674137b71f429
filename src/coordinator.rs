//! The flow: one typed path from a trigger to a kept or undone fix.
//!
//! Every trigger (cron, Docker event, probe, log line, API, command line) ends in
//! [`Coordinator::check`] and carries nothing but a scope. Cycles run one at a time; a
//! trigger that comes while one runs is merged into the next. Applying a fix and watching
//! its window go on beside the next cycle, under a lease on the targets they touch.
//!
//! Read `driver` for what runs when, `cycle` for the flow, `asked` and `late` for why none waits for a target that hangs, `policy` for what may run alone, `execution` for how steps are
//! journalled, `rehearsal`, `repair` and `window` for what follows, `recovery` for what a crash leaves.
//!
//! Rejected: an actor a target. Blame crosses targets, so every decision would have had to
//! gather what the actors know; one loop over one picture of the world is simpler and says
//! in one place why nothing was done.

mod allowed;
mod api;
mod asked;
mod baselines;
mod changes;
mod circumstances;
mod clones;
mod cycle;
mod deployments;
mod digests;
mod driver;
mod early;
mod error_rate;
mod execution;
mod flapping;
pub mod freezes;
mod good_state;
mod hours;
mod last_looks;
mod late;
mod latency;
mod leases;
mod left;
mod levels;
mod live;
mod look;
mod memories;
mod neighbours;
mod news;
mod outside;
mod over;
mod people;
pub mod policy;
mod progress;
mod pulse;
mod queue;
mod record;
pub(crate) mod recorded;
mod recovery;
mod rehearsal;
mod remains;
mod reminders;
mod repair;
pub mod restored;
mod retries;
mod returns;
mod rising;
mod rules;
mod safety_stop;
pub mod schedule;
pub mod shadow;
mod stale;
mod state;
mod steps;
mod stuck;
mod summaries;
mod survey;
mod taking_back;
mod telling;
mod trial;
pub mod triggers;
mod turned;
mod turns;
mod unaudited;
mod under_way;
mod validation;
mod window;
mod window_length;

pub use allowed::Allowed;
use allowed::Word;
pub use api::*;
pub use changes::Changes;
pub use hours::{HOURS_KEPT, Hour};
pub use levels::{ERROR_LINES, Level};
pub use outside::{Heard, Taken};
pub use pulse::Pulse;
pub use rules::{ModeSource, Rules};
pub use trial::{FileNow, Refusal, RollbackTrial};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use selfheal_agents::error_detector::Catalogue;
use selfheal_agents::health_monitor::changes::DigestKey;
use selfheal_agents::health_monitor::{Inquiry, Inventory};
use selfheal_agents::learning_engine::ShadowReport;
use selfheal_agents::model::{BackupId, IncidentId, TargetId, Timestamp};
use selfheal_agents::ports::{Fleet, Store, StoreResult, World};
use tokio::sync::{Notify, broadcast, oneshot, watch};
use tokio_util::sync::CancellationToken;

use state::Inner;

use crate::audit::Audit;
use crate::upkeep::Upkeep;

/// A handle on the running coordinator; cloning shares it.
#[derive(Clone)]
pub struct Coordinator {
    inner: Arc<Inner>,
}

/// What a coordinator is made of.
pub struct Parts {
    /// The world.
    pub world: World,
    /// Everything that is kept.
    pub store: Arc<dyn Store>,
    /// The other nodes.
    pub fleet: Arc<dyn Fleet>,
    /// The settings; a new value takes effect with the next cycle.
    pub rules: watch::Receiver<Arc<Rules>>,
    /// The runbooks; a new value takes effect with the next cycle.
    pub catalogue: watch::Receiver<Arc<Catalogue>>,
    /// The key under which the change log remembers what may be secret.
    pub digest_key: DigestKey,
    /// Where decisions are written down.
    pub audit: Arc<Audit>,
    /// Woken when an alert was queued.
    pub wake: Arc<Notify>,
    /// Ends everything.
    pub cancel: CancellationToken,
}

/// How often a check waits for what was late. One that dies and starts anew is another life each
/// time, and its answers with it.
const LATE_ROUNDS: usize = 3;

impl Coordinator {
    /// Starts: first what a crash left is finished or undone, then cycles run as they are
    /// asked for. Returns at once.
    pub fn start(parts: Parts) -> Self {
        let inner = Arc::new(Inner::new(parts));
        inner.spawn();
        Self { inner }
    }

    /// Asks for a cycle without waiting for it.
    pub fn request(&self, scope: Scope, trigger: Trigger) {
        self.inner.queue.add(scope, trigger, false, None);
    }

    /// Runs one cycle over `scope` and waits for its decisions, not for what follows from
    /// them. Joined with a cycle that waits already. What answers late is waited for here, and
    /// by no other cycle.
    pub async fn check(
        &self,
        scope: Scope,
        trigger: Trigger,
        dry_run: bool,
    ) -> Result<Arc<CycleReport>, RequestError> {
        let mut report = self.cycle(scope.clone(), trigger, dry_run).await?;
        for _ in 0..LATE_ROUNDS {
            let Some(owed) = report.owed(&scope) else { return Ok(report) };
            self.inner.asked.ended(&report.late).await;
            let rest = self.cycle(owed, trigger, dry_run).await?;
            report = Arc::new(report.completed_by(&rest));
        }
        match report.owed(&scope) {
            Some(_) => Ok(Arc::new(report.without_the_late())),
            None => Ok(report),
        }
    }

    async fn cycle(
        &self,
        scope: Scope,
        trigger: Trigger,
        dry_run: bool,
    ) -> Result<Arc<CycleReport>, RequestError> {
        let (waiter, report) = oneshot::channel();
        self.inner.queue.add(scope, trigger, dry_run, Some(waiter));
        // A queue that is looked at no more keeps its waiters: the end of Selfheal is waited for, too.
        let ended = self.inner.cancel.run_until_cancelled(report).await;
        ended.and_then(Result::ok).ok_or_else(|| {
            RequestError::Failed(
                "the cycle did not come to its end: Selfheal is ending, was broken off by a fault \
                 of its own, or cannot read its journal; its log says which"
                    .to_owned(),
            )
        })
    }

    /// Waits until every fix that the last run had under way is brought to an end or watched
    /// again; answers whether that came about within this time.
    pub async fn taken_up_within(&self, at_most: Duration) -> bool {
        self.inner.taken_up_within(at_most).await
    }

    /// Waits until no fix is being applied and no window runs.
    pub async fn settled(&self) {
        self.inner.settled().await;
    }

    /// Everything to which something is being done now: a fix is applied or taken back.
    pub fn at_work(&self) -> std::collections::BTreeSet<TargetId> {
        self.inner.leases.all_busy()
    }

    /// Waits until no fix is being applied; windows may run.
    pub async fn applied(&self) {
        self.inner.applied().await;
    }

    /// Does what a person asked to its end, even if they hang up meanwhile: a step is never
    /// left half done because a connection broke.
    async fn to_the_end<T, F>(&self, ask: impl FnOnce(Arc<Inner>) -> F) -> Result<T, RequestError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, RequestError>> + Send + 'static,
    {
        let task = self.inner.tracker.spawn(ask(Arc::clone(&self.inner)));
        task.await.unwrap_or_else(|error| Err(RequestError::Failed(error.to_string())))
    }

    /// Takes alerts of another program, those that fire and those that are over, and calls for a
    /// cycle over what they are about without waiting for it.
    pub async fn hear(&self, alerts: Vec<Heard>) -> Result<Taken, RequestError> {
        self.to_the_end(|inner| async move { inner.hear(alerts).await }).await
    }

    /// Applies the fix of a held incident; `who` is recorded.
    pub async fn approve(&self, id: IncidentId, who: &str) -> Result<(), RequestError> {
        let who = who.to_owned();
        self.to_the_end(|inner| async move { inner.approve(id, &who, Word::Once).await }).await
    }

    /// The same, and asks for its like on that target no more.
    pub async fn approve_always(&self, id: IncidentId, who: &str) -> Result<(), RequestError> {
        let who = who.to_owned();
        self.to_the_end(|inner| async move { inner.approve_always(id, &who).await }).await
    }

    /// What people are not asked for any more.
    pub async fn allowed(&self) -> StoreResult<Vec<Allowed>> {
        self.inner.allowed().await
    }

    /// Asks for this kind of fix on that target again.
    pub async fn ask_again(
        &self,
        target: &TargetId,
        issue_type: &str,
        fix_type: &str,
    ) -> Result<(), RequestError> {
        self.inner.ask_again(target, issue_type, fix_type).await
    }

    /// Closes a held incident without a fix, and is silent about it until it is gone. `who` and
    /// `why`, which may be empty, are recorded.
    pub async fn dismiss(&self, id: IncidentId, who: &str, why: &str) -> Result<(), RequestError> {
        let (who, why) = (who.to_owned(), why.to_owned());
        self.to_the_end(|inner| async move { inner.dismiss(id, &who, &why).await }).await
    }

    /// Takes back every fix of an incident, newest first.
    pub async fn rollback_incident(
        &self,
        id: IncidentId,
        who: &str,
        force: bool,
    ) -> Result<RollbackDone, RequestError> {
        let who = who.to_owned();
        self.to_the_end(|inner| async move { inner.rollback_incident(id, &who, force).await }).await
    }

    /// Takes back one backup's fix.
    pub async fn rollback(
        &self,
        id: &BackupId,
        who: &str,
        force: bool,
    ) -> Result<RollbackDone, RequestError> {
        let (id, who) = (id.clone(), who.to_owned());
        self.to_the_end(|inner| async move { inner.rollback(&id, &who, force).await }).await
    }

    /// What taking back one backup's fix would do now, and what stands against it; nothing is
    /// changed.
    pub async fn try_rollback(&self, id: &BackupId) -> Result<RollbackTrial, RequestError> {
        self.inner.try_rollback(id).await
    }

    /// Stops automatic fixes, of one target or all, until a time or for ever.
    pub async fn freeze(
        &self,
        target: Option<TargetId>,
        until: Option<Timestamp>,
        reason: &str,
        who: &str,
    ) -> Result<Freeze, RequestError> {
        self.inner.set_freeze(target, until, reason, who).await
    }

    /// Ends a freeze; returns whether there was one.
    pub async fn unfreeze(
        &self,
        target: Option<&TargetId>,
        who: &str,
    ) -> Result<bool, RequestError> {
        self.inner.end_freeze(target, who).await
    }

    /// After how long a proposed fix is made anew instead of being applied.
    pub fn plan_lifetime(&self) -> Duration {
        self.inner.rules().plan_lifetime
    }

    /// The runbooks in force.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.inner.catalogue()
    }

    /// The time it goes by.
    pub fn now(&self) -> Timestamp {
        self.inner.world.clock.now()
    }

    /// Whether it is known what the last run left frozen.
    pub fn are_freezes_known(&self) -> bool {
        self.inner.are_freezes_known.load(Ordering::Relaxed)
    }

    /// The freezes in force.
    pub fn freezes(&self) -> Vec<Freeze> {
        self.inner.freezes_in_force()
    }

    /// Tells from now on whether what is shown of it may have changed.
    pub fn changes(&self) -> Changes {
        Changes::of(self)
    }

    /// Where it stands now.
    pub fn standing(&self) -> Standing {
        self.inner.standing_now()
    }

    /// How each target did in the last hours, the present one last; [`HOURS_KEPT`] of them.
    pub fn last_day(&self) -> BTreeMap<TargetId, Vec<Hour>> {
        self.inner.last_day()
    }

    /// What was measured of a target over the last day, as far as this run knows.
    pub fn levels_of(&self, target: &TargetId) -> Vec<Level> {
        self.inner.levels_of(target)
    }

    /// What would have been done where it is not allowed, and what came without it.
    pub async fn shadow_report(&self) -> StoreResult<ShadowReport> {
        let rules = self.inner.rules();
        shadow::report(self.store().as_ref(), rules.autonomy, rules.earned_after).await
    }

    /// What keeps triggers from being handled, if anything does.
    pub fn fault(&self) -> Option<String> {
        self.inner.fault()
    }

    /// What went round and does no more, where starting again would cure that.
    pub fn hang(&self) -> Option<String> {
        self.inner.hang()
    }

    /// How many log lines no cycle looked at since the start, since there were too many at once.
    pub fn lines_left_out(&self) -> u64 {
        self.inner.lines_left_out.load(Ordering::Relaxed)
    }

    /// Keeps running what runs beside the flow.
    pub fn upkeep(&self) -> &Upkeep {
        &self.inner.upkeep
    }

    /// The pulse of the schedule, for whoever runs it to beat.
    pub fn schedule_pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.inner.schedule_pulse)
    }

    /// What happens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<LiveEvent> {
        self.inner.live.subscribe()
    }

    /// How many cycles were asked for and have not begun.
    pub fn cycles_waiting(&self) -> usize {
        self.inner.queue.depth()
    }

    /// What happened after the event `id`, as far as it is kept, and what happens from now
    /// on, without a gap.
    pub fn subscribe_since(&self, id: u64) -> (Vec<LiveEvent>, broadcast::Receiver<LiveEvent>) {
        self.inner.live.since(id)
    }

    /// What is watched, as of the newest look.
    pub fn inventory(&self) -> watch::Receiver<Arc<Inventory>> {
        self.inner.inventory.subscribe()
    }

    /// Whether this program is in a container with a network of its own: what it sees of addresses is
    /// not the host's then.
    pub fn is_contained(&self) -> bool {
        let rules = self.inner.rules();
        let Some(own) = rules.declared.own_container.as_deref() else { return false };
        let inventory = Arc::clone(&self.inner.inventory.borrow());
        inventory.containers.get(own).is_none_or(|facts| facts.network_mode != "host")
    }

    /// Whether a target is watched here, also where another node is the one that looks at it.
    pub fn watches(&self, target: &TargetId) -> bool {
        self.inner.inventory_now().targets.contains_key(target)
    }

    /// Who said in which mode a target is, where no runbook has a say.
    pub fn mode_source(&self, target: &TargetId) -> ModeSource {
        let inventory = Arc::clone(&self.inner.inventory.borrow());
        let policy = inventory.targets.get(target).map(|known| known.policy.clone());
        self.inner.rules().mode_source(target, &policy.unwrap_or_default())
    }

    /// Whether an event of that time on that target is an echo of what Selfheal does.
    pub fn is_ours(&self, target: &TargetId, at: Timestamp) -> bool {
        self.inner.leases.is_ours(target, at)
    }

    /// A light probe had no answer from a target: it is asked at once with its whole time limit,
    /// so that the answer is there, or its absence, when a cycle is called for.
    pub fn ask_ahead(&self, target: &TargetId) {
        let inner = &self.inner;
        let (inventory, rules) = (Arc::clone(&inner.inventory.borrow()), inner.rules());
        let known = inventory.targets.get(target);
        let inquiry = known.and_then(|t| Inquiry::of(t, &inventory, &rules.thresholds));
        if let Some(inquiry) = inquiry {
            inner.asked.ahead(&inner.world, target, inquiry);
        }
    }

    /// Tells when the schedule fires next, for [`Standing`].
    pub fn set_next_check(&self, at: Option<Timestamp>) {
        self.inner.standing.send_modify(|standing| standing.next_check = at);
    }

    /// The audit log.
    pub fn audit(&self) -> &Arc<Audit> {
        &self.inner.audit
    }

    /// The store, for reading.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }
}

#[cfg(test)]
mod tests;
