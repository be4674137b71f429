//! Keeps what other programs alert about, for every cycle to see until it is over.
//!
//! An alert is told once and then only from time to time, so it is kept in the store. It is over
//! when its program says so, or has not told it again for so long that it must have been forgotten.
//! Whom it is about is decided anew in every cycle, by what is there then. It judges nothing:
//! `root_cause` puts an alert beside what explains it.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::TimeDelta;
use selfheal_agents::error_detector::outside;
use selfheal_agents::health_monitor::{Inventory, take_inventory};
use selfheal_agents::model::{
    Finding, HealthReport, Incident, IncidentState, OutsideAlert, TargetId, Timestamp,
};
use selfheal_agents::ports::StoreResult;

use super::look::Seen;
use super::state::Inner;
use super::{RequestError, Scope, Trigger};

/// Before the fingerprint of each alert that fires.
const ALERT: &str = "alert.";
/// Alerts kept at most: whoever has more of them has a trouble that no list helps with.
const MOST: usize = 200;
/// What was not told again for so long is over; Alertmanager repeats every four hours.
const FORGOTTEN: TimeDelta = TimeDelta::hours(24);

/// Whatever alerts says within this time that it is over.
const SOON_SAID: TimeDelta = TimeDelta::minutes(15);

/// An alert as it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It fires.
    Firing(OutsideAlert),
    /// The one of this fingerprint is over.
    Over(String),
}

impl Heard {
    fn fingerprint(&self) -> &str {
        match self {
            Self::Firing(alert) => &alert.fingerprint,
            Self::Over(fingerprint) => fingerprint,
        }
    }
}

/// What became of the alerts that were told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Taken {
    /// Those that fire and are kept, each with the target it is about, if one is watched.
    pub firing: Vec<(OutsideAlert, Option<TargetId>)>,
    /// How many are over.
    pub over: usize,
    /// How many fire and are not kept, since there are too many.
    pub dropped: usize,
}

/// What was said last of each, however often one message speaks of it.
fn last_words(alerts: Vec<Heard>) -> Vec<Heard> {
    let mut spoken_of = BTreeSet::new();
    let newest_first = alerts.into_iter().rev();
    let mut last: Vec<_> =
        newest_first.filter(|heard| spoken_of.insert(heard.fingerprint().to_owned())).collect();
    last.reverse();
    last
}

impl Inner {
    pub(super) async fn hear(&self, alerts: Vec<Heard>) -> Result<Taken, RequestError> {
        let failed = |error| RequestError::Failed(format!("the alerts cannot be kept: {error}"));
        let inventory = self.inventory_now();
        // Two that hear at once would each see room for all of theirs.
        let _writing = self.writing.lock().await;
        let mut known = self.alerts_in_force(self.world.clock.now()).await.map_err(failed)?;
        let (mut taken, mut about) = (Taken::default(), BTreeSet::<TargetId>::new());
        for heard in last_words(alerts) {
            let before = take_out(&mut known, heard.fingerprint());
            let alert = match (heard, before) {
                (Heard::Over(_), None) => continue,
                (Heard::Over(_), Some(before)) => {
                    self.forget_alert(&before).await.map_err(failed)?;
                    let target = outside::place(&before, &inventory);
                    about.insert(target.unwrap_or_else(TargetId::host));
                    taken.over += 1;
                    continue;
                }
                (Heard::Firing(_), None) if known.len() >= MOST => {
                    taken.dropped += 1;
                    continue;
                }
                (Heard::Firing(told), None) => told,
                (Heard::Firing(told), Some(before)) => {
                    OutsideAlert { first_heard: before.first_heard, ..told }
                }
            };
            self.keep_in_mind(&name_of(&alert), &alert).await.map_err(failed)?;
            let target = outside::place(&alert, &inventory);
            about.insert(target.clone().unwrap_or_else(TargetId::host));
            known.push(alert.clone());
            taken.firing.push((alert, target));
        }
        if taken.dropped > 0 {
            tracing::warn!(
                dropped = taken.dropped,
                "more than {MOST} alerts of other programs fire; the rest is not kept"
            );
        }
        if !about.is_empty() {
            self.queue.add(Scope::Targets(about), Trigger::Alert, false, None);
        }
        Ok(taken)
    }

    /// What is watched as of the newest look; what is declared, where no container was ever seen.
    pub(super) fn inventory_now(&self) -> Arc<Inventory> {
        let inventory = Arc::clone(&self.inventory.borrow());
        if inventory.targets.is_empty() {
            return Arc::new(take_inventory(&[], &self.rules().declared));
        }
        inventory
    }

    /// What other programs alert about among what was looked at.
    pub(super) async fn outside_alerts(
        &self,
        inventory: &Inventory,
        report: &HealthReport,
    ) -> Vec<Finding> {
        let alerts = match self.alerts_kept().await {
            Ok(alerts) => alerts,
            Err(error) => {
                tracing::error!(%error, "what other programs alert about cannot be read");
                return vec![];
            }
        };
        let in_force = alerts.iter().filter(|alert| !is_forgotten(alert, report.at));
        let findings = in_force.map(|alert| outside::finding(alert, inventory));
        findings.filter(|finding| report.target(&finding.target).is_some()).collect()
    }

    /// What other programs alert about.
    pub(super) async fn told_of(&self, inventory: &Inventory) -> StoreResult<Vec<TargetId>> {
        let now = self.world.clock.now();
        let mut alerts = self.alerts_kept().await?;
        alerts.retain(|alert| !is_forgotten(alert, now));
        Ok(alerts.iter().filter_map(|alert| outside::place(alert, inventory)).collect())
    }

    /// Those that fire; the others are removed.
    async fn alerts_in_force(&self, now: Timestamp) -> StoreResult<Vec<OutsideAlert>> {
        let kept = self.alerts_kept().await?.into_iter();
        let (forgotten, in_force): (Vec<_>, Vec<_>) =
            kept.partition(|alert| is_forgotten(alert, now));
        for alert in forgotten {
            tracing::info!(
                alert.name,
                "an alert of another program was not told again: it is over"
            );
            self.forget_alert(&alert).await?;
        }
        Ok(in_force)
    }

    async fn alerts_kept(&self) -> StoreResult<Vec<OutsideAlert>> {
        let kept = self.store.values(ALERT).await?;
        Ok(kept.into_iter().filter_map(|(_, value)| serde_json::from_value(value).ok()).collect())
    }

    async fn forget_alert(&self, alert: &OutsideAlert) -> StoreResult<()> {
        self.store.set_value(&name_of(alert), None).await
    }
}

fn is_forgotten(alert: &OutsideAlert, now: Timestamp) -> bool {
    now - alert.last_heard > FORGOTTEN
}

/// Leaves out alerts of what is being mended, and of what was mended after they were last told: the
/// program that alerts looks less often, and says so later.
pub(super) fn leave_out_what_is_mended(seen: &mut Seen, open: &[Incident], closed: &[Incident]) {
    let (now, graph) = (seen.now, &seen.graph);
    let is_about = |incident: &Incident, target: &TargetId| {
        incident.targets().contains(target) || graph.needed_by(target).contains(&incident.target)
    };
    let is_mended = |alert: &Finding| {
        let under_way = open.iter().filter(|incident| {
            matches!(incident.state(), IncidentState::Fixing | IncidentState::Validating)
        });
        let since = |at: Timestamp| alert.last_seen <= at && now - at <= SOON_SAID;
        let done = closed.iter().filter(|incident| incident.closed_at.is_some_and(since));
        under_way.chain(done).any(|incident| is_about(incident, &alert.target))
    };
    seen.findings.retain(|finding| !finding.is_alert() || !is_mended(finding));
}

fn take_out(known: &mut Vec<OutsideAlert>, fingerprint: &str) -> Option<OutsideAlert> {
    let at = known.iter().position(|alert| alert.fingerprint == fingerprint)?;
    Some(known.remove(at))
}

fn name_of(alert: &OutsideAlert) -> String {
    format!("{ALERT}{}", alert.fingerprint)
}
