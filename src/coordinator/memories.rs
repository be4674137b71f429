//! What is remembered between cycles: how things were when they worked, freezes, dismissals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use chrono::TimeDelta;
use selfheal_agents::error_detector::ErrorDetector;
use selfheal_agents::fix_engineer::remembered::Remembered;
use selfheal_agents::health_monitor;
use selfheal_agents::learning_engine::{History, Release};
use selfheal_agents::model::{
    Autonomy, ContainerFacts, Finding, FindingSource, HealthReport, Incident, IncidentState,
    TargetId, TargetReport, Timestamp, Verdict,
};
use selfheal_agents::ports::{IncidentQuery, Memory, StoreError, StoreResult};
use selfheal_agents::root_cause::{Explained, OUTSIDE_ALERT};
use serde::de::DeserializeOwned;

use super::baselines::ERROR_RATES;
use super::good_state::is_settled;
use super::latency::LATENCIES;
use super::look::Seen;
use super::outside;
use super::state::{Inner, lock};
use super::turned::TURNED;
use super::window_length::WARM_UPS;
use super::{Freeze, Scope, freezes, shadow};

/// How long the lines that led to a repair could still be counted after it.
const MENDED_BACK: TimeDelta = TimeDelta::minutes(15);

/// An error that a log has not told of for so long, on a target that is well, is over: the
/// lines of a start that had to wait for a dependency are no trouble.
const QUIET: TimeDelta = TimeDelta::minutes(2);

const RELEASES: &str = "releases";
/// Before the name of each container of which something is remembered.
const REMEMBERED: &str = "remembered.";
/// Before the name of each container whose usual lines are known.
const KNOWN_LINES: &str = "lines.";
/// Which of those are gone, and since when.
const GONE: &str = "gone";
/// Then they are forgotten.
const GONE_FOR: TimeDelta = TimeDelta::days(30);

pub(super) fn remembered_name(container: &str) -> String {
    format!("{REMEMBERED}{container}")
}

fn dismissed_name(target: &TargetId, issue_type: &str) -> String {
    format!("dismissed.{target}.{issue_type}")
}

/// The name under which a person's word about this is remembered.
pub(super) fn dismissal_of(one: &Explained) -> String {
    dismissed_name(&one.diagnosis.blamed, &one.diagnosis.issue_type)
}

/// What is kept under a name; something of an older version that cannot be read is as good as
/// nothing.
pub(super) async fn recall_from<T: DeserializeOwned>(
    store: &(impl Memory + ?Sized),
    name: &str,
) -> StoreResult<Option<T>> {
    let value = store.value(name).await?;
    Ok(value.and_then(|value| serde_json::from_value(value).ok()))
}

/// Keeps a value under a name.
pub(super) async fn keep_in<T: serde::Serialize + Sync + ?Sized>(
    store: &(impl Memory + ?Sized),
    name: &str,
    value: &T,
) -> StoreResult<()> {
    let value = serde_json::to_value(value).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    store.set_value(name, Some(&value)).await
}

impl Inner {
    pub(super) async fn recall<T: DeserializeOwned>(&self, name: &str) -> StoreResult<Option<T>> {
        recall_from(self.store.as_ref(), name).await
    }

    pub(super) async fn keep_in_mind<T: serde::Serialize + Sync>(
        &self,
        name: &str,
        value: &T,
    ) -> StoreResult<()> {
        keep_in(self.store.as_ref(), name, value).await
    }

    /// Every outcome with what people released, and with what was only proposed where that decides.
    pub(super) async fn history(&self) -> StoreResult<History> {
        let releases: Vec<Release> = self.recall(RELEASES).await?.unwrap_or_default();
        let shadows = match self.rules().autonomy {
            Autonomy::Earned => shadow::runs(self.store.as_ref()).await?,
            Autonomy::Full => vec![],
        };
        let own = self.outcomes.of(self.store.as_ref(), |all| History::new(all, vec![])).await?;
        let own = own.with_releases(releases);
        Ok(own.with_shadows(shadows).with_others(&self.fleet.outcomes()))
    }

    /// A person's approval says that this fix type may be tried again on this target.
    pub(super) async fn release(&self, fix_type: &str, target: &TargetId) -> StoreResult<()> {
        let mut releases: Vec<Release> = self.recall(RELEASES).await?.unwrap_or_default();
        releases.retain(|r| r.fix_type != fix_type || r.target != *target);
        releases.push(Release {
            fix_type: fix_type.to_owned(),
            target: target.clone(),
            at: self.world.clock.now(),
        });
        self.keep_in_mind(RELEASES, &releases).await
    }

    /// What is remembered of the container behind a target, from when it was healthy.
    pub(super) async fn remembered(
        &self,
        target: &TargetId,
        seen: &Seen,
    ) -> StoreResult<Remembered> {
        let container =
            seen.inventory.targets.get(target).and_then(|target| target.container.as_deref());
        match container {
            Some(name) => Ok(self.recall(&remembered_name(name)).await?.unwrap_or_default()),
            None => Ok(Remembered::default()),
        }
    }

    /// The containers that were seen healthy since they were made.
    pub(super) async fn proven(&self, seen: &Seen) -> StoreResult<BTreeSet<TargetId>> {
        let mut proven = BTreeSet::new();
        for (name, value) in self.store.values(REMEMBERED).await? {
            let name = name.trim_start_matches(REMEMBERED);
            let id = value.get("container_id").and_then(serde_json::Value::as_str);
            if seen.inventory.containers.get(name).is_some_and(|facts| Some(&*facts.id) == id) {
                proven.insert(TargetId::container(name));
            }
        }
        Ok(proven)
    }

    /// Takes down how the healthy ones are, so that it can be restored.
    pub(super) async fn remember(&self, seen: &Seen, scope: &Scope) {
        self.remember_error_rates(seen).await;
        self.remember_latencies(seen).await;
        self.remember_hours(seen).await;
        self.remember_measured(seen);
        self.learn_starts(seen).await;
        if *scope == Scope::All {
            let observations: Vec<_> = health_monitor::lasting(&seen.report).cloned().collect();
            if let Err(error) = self.store.record_observations(&observations).await {
                tracing::error!(%error, "observations are not kept");
            }
        }
        if *scope == Scope::All && seen.report.blind.is_empty() {
            self.forget_the_gone(seen).await;
        }
        for facts in seen.inventory.containers.values() {
            let id = TargetId::container(&facts.name);
            let well = seen.report.target(&id).is_some_and(|r| r.verdict() <= Verdict::Ok);
            if well && !shows_trouble(seen, facts) && is_settled(facts, seen.now) {
                self.remember_container(facts, seen.now).await;
            }
        }
    }

    /// Forgets what was remembered of containers that have been gone for long. Not at once: one
    /// that is taken down and made anew still has its last good configuration.
    async fn forget_the_gone(&self, seen: &Seen) {
        let inventory = &seen.inventory;
        lock(&self.error_rates).retain(|id, _| !inventory.is_gone(id));
        lock(&self.latencies).retain(|name, _| !inventory.is_gone(&TargetId::container(name)));
        if let Err(error) = self.forget_after_a_while(seen).await {
            tracing::error!(%error, "what is remembered of containers that are gone is not forgotten");
        }
    }

    async fn forget_after_a_while(&self, seen: &Seen) -> StoreResult<()> {
        let known: BTreeMap<String, Timestamp> = self.recall(GONE).await?.unwrap_or_default();
        let mut gone = BTreeMap::new();
        for name in self.names_of_gone(seen).await? {
            let since = known.get(&name).copied().unwrap_or(seen.now);
            if seen.now - since > GONE_FOR {
                self.store.set_value(&name, None).await?;
            } else {
                gone.insert(name, since);
            }
        }
        if gone == known {
            return Ok(());
        }
        self.keep_in_mind(GONE, &gone).await
    }

    /// The names of what is remembered of containers, and of other targets, that are not there.
    async fn names_of_gone(&self, seen: &Seen) -> StoreResult<Vec<String>> {
        let is_there = |target: &TargetId| {
            !seen.inventory.is_gone(target) || seen.report.target(target).is_some()
        };
        let mut gone = shadow::names_of_gone(self.store.as_ref(), is_there).await?;
        for prefix in [REMEMBERED, KNOWN_LINES, WARM_UPS, ERROR_RATES, LATENCIES, TURNED] {
            let is_gone = |name: &String| {
                let container = name.strip_prefix(prefix).unwrap_or(name);
                seen.inventory.is_gone(&TargetId::container(container))
            };
            let names = self.store.values(prefix).await?.into_iter().map(|(name, _)| name);
            gone.extend(names.filter(is_gone));
        }
        Ok(gone)
    }

    /// Tells the detector what was known of the lines of containers that it meets for the first time.
    pub(super) async fn recall_known_lines(
        &self,
        detector: &mut ErrorDetector,
        report: &HealthReport,
    ) {
        let containers = report.targets.iter().map(TargetReport::id);
        for id in containers.filter(|id| id.container_name().is_some()) {
            if detector.listens_to(id) {
                continue;
            }
            match self.recall(&format!("{KNOWN_LINES}{}", id.name())).await {
                Ok(known) => detector.listen(id.clone(), known),
                // To listen without it would call everything new, and overwrite it in the end.
                Err(error) => {
                    tracing::error!(target.id = %id, %error, "its usual lines cannot be read");
                }
            }
        }
    }

    /// Keeps what is known of the lines of containers, where it is time to.
    pub(super) async fn keep_known_lines(
        &self,
        detector: &mut ErrorDetector,
        seen: &Seen,
        scope: &Scope,
    ) {
        if *scope == Scope::All && seen.report.blind.is_empty() {
            detector.listen_only_to(|id| !seen.inventory.is_gone(id));
        }
        for (id, known) in detector.known_lines(seen.now) {
            let name = format!("{KNOWN_LINES}{}", id.name());
            if let Err(error) = self.keep_in_mind(&name, &known).await {
                tracing::error!(target.id = %id, %error, "its usual lines are not kept");
            }
        }
    }

    /// Reads on from here next time.
    pub(super) async fn keep_log_positions(&self, seen: &Seen) {
        if let Err(error) = self.store.set_log_cursors(&seen.read_to).await {
            tracing::error!(%error, "log positions are not kept");
        }
    }

    /// Leaves out log findings that are over: a repair has answered them, or the log has been
    /// quiet since and no check complains.
    pub(super) async fn leave_out_what_is_over(
        &self,
        seen: &mut Seen,
        open: &[Incident],
    ) -> StoreResult<()> {
        // Not by when they were opened: one may have waited long for a person.
        let query =
            IncidentQuery { states: vec![IncidentState::Resolved], ..IncidentQuery::default() };
        let closed = self.store.incidents(&query).await?;
        let complains: BTreeSet<TargetId> = seen
            .findings
            .iter()
            .filter(|f| matches!(f.source, FindingSource::Check { .. }))
            .map(|f| f.target.clone())
            .collect();
        let now = seen.now;
        seen.findings.retain(|finding| {
            !matches!(finding.source, FindingSource::Log { .. })
                || complains.contains(&finding.target)
                || now - finding.last_seen < QUIET
        });
        seen.findings.retain(|finding| {
            !closed.iter().any(|incident| {
                incident
                    .closed_at
                    .is_some_and(|at| finding.last_seen <= at && at >= seen.now - MENDED_BACK)
                    && incident.findings.iter().any(|f| f.key == finding.key)
            })
        });
        outside::leave_out_what_is_mended(seen, open, &closed);
        Ok(())
    }

    /// Whether a person said that this is no trouble. Of what only others alert about, only that
    /// which was told by then.
    pub(super) async fn is_dismissed(&self, one: &Explained) -> StoreResult<bool> {
        let name = dismissal_of(one);
        if one.diagnosis.issue_type != OUTSIDE_ALERT {
            return Ok(self.store.value(&name).await?.is_some());
        }
        let at: Option<Timestamp> = self.recall(&name).await?;
        Ok(at.is_some_and(|at| one.findings.iter().all(|alert| alert.first_seen <= at)))
    }

    /// Remembers a person's word until the trouble is gone.
    pub(super) async fn remember_dismissal(&self, incident: &Incident) -> StoreResult<()> {
        let issue = incident.diagnosis.as_ref().map_or("", |d| d.issue_type.as_str());
        let name = dismissed_name(&incident.target, issue);
        self.keep_in_mind(&name, &self.world.clock.now()).await
    }

    /// Forgets dismissals of targets that are well again, and for which nobody else suffers:
    /// those `silenced` are what a person still does not want to hear of.
    pub(super) async fn forget_dismissals(
        &self,
        seen: &Seen,
        silenced: &BTreeSet<String>,
    ) -> StoreResult<()> {
        for (name, _) in self.store.values("dismissed.").await? {
            let target = name.trim_start_matches("dismissed.").rsplit_once('.').map(|(t, _)| t);
            let is_of = |id: &TargetId| target == Some(&*id.to_string());
            let of_others = name.ends_with(OUTSIDE_ALERT);
            let speaks = |f: &Finding| f.is_own_trouble() || of_others && f.is_alert();
            let still_wrong = silenced.contains(&name)
                || seen.findings.iter().any(|f| speaks(f) && is_of(&f.target));
            let looked_at = seen.report.targets.iter().any(|t| is_of(t.id()));
            if looked_at && !still_wrong {
                self.store.set_value(&name, None).await?;
            }
        }
        Ok(())
    }

    /// Freezes in force or still to expire.
    pub(super) fn freezes(&self) -> Vec<Freeze> {
        self.frozen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Reads the freezes of the last run, once: whoever changes them before would lose them.
    pub(super) async fn freezes_are_known(&self) -> StoreResult<()> {
        // Nobody may freeze between the reading and the taking over: that would be undone.
        let _freezing = self.freezing.lock().await;
        if self.are_freezes_known.load(Ordering::Relaxed) {
            return Ok(());
        }
        let freezes = freezes::read(self.store.as_ref()).await?;
        *self.frozen.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = freezes;
        self.are_freezes_known.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Replaces the freezes, first in the store, then in force.
    pub(super) async fn change_freezes(&self, freezes: Vec<Freeze>) -> StoreResult<()> {
        freezes::write(self.store.as_ref(), &freezes).await?;
        self.are_frozen(freezes);
        Ok(())
    }

    /// From now on these are in force.
    pub(super) fn are_frozen(&self, freezes: Vec<Freeze>) {
        lock(&self.frozen).clone_from(&freezes);
        self.tell(super::Happening::Frozen { freezes });
    }
}

/// Whether it, or an endpoint that shows it from outside, is not well.
fn shows_trouble(seen: &Seen, facts: &ContainerFacts) -> bool {
    let id = TargetId::container(&facts.name);
    let shows_it = |target: &TargetId| {
        let known = seen.inventory.targets.get(target);
        *target == id || known.is_some_and(|t| t.container.as_deref() == Some(&*facts.name))
    };
    seen.findings.iter().any(|finding| finding.is_own_trouble() && shows_it(&finding.target))
        || seen.report.targets.iter().any(|t| t.verdict().is_bad() && shows_it(t.id()))
}
