//! Keeps the change log: how each container was at the last look, and what changed since.
//!
//! Every cycle surveys the containers in its scope. A change is written down before the
//! snapshot that shows it is taken for known, so a store that refuses, a dry run or a crash
//! loses none. It does not judge: whether a change is to blame, `root_cause` says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use chrono::TimeDelta;
use selfheal_agents::health_monitor::changes::{DigestKey, Snapshot, appeared, between};
use selfheal_agents::health_monitor::{Inventory, Learnt};
use selfheal_agents::model::{Change, Incident, TargetId, Timestamp};
use selfheal_agents::ports::StoreResult;
use selfheal_agents::root_cause::CHANGES_BACK;

use super::look::Seen;
use super::state::Inner;

/// Before the name of each container whose snapshot is kept; the key's mark stands between.
const WAS: &str = "was.";
/// The snapshot of a container that has been gone for so long is forgotten.
const GONE_FOR: TimeDelta = TimeDelta::days(30);
/// Changes longer ago are not asked for, however old an incident is.
const FARTHEST: TimeDelta = TimeDelta::days(7);
/// A connection is remembered for so long.
const CONNECTION_KEPT: TimeDelta = TimeDelta::hours(1);
/// Who is connected to more containers is a monitor or a gateway: that teaches nothing.
const MOST_PEERS: usize = 8;
/// Our own effects are known to the second: files have no finer time.
const ECHO: TimeDelta = TimeDelta::seconds(1);

/// How containers were at the last look; owned by the running cycle.
#[derive(Default)]
pub(super) struct Survey {
    /// By name; `None` until they were read from the store.
    snapshots: Option<BTreeMap<String, Snapshot>>,
    /// By name: the container's id, and whom it was seen connected to when last.
    peers: BTreeMap<String, (String, BTreeMap<String, Timestamp>)>,
}

impl Survey {
    /// What was learnt of needs so far, `noticed` included.
    pub(super) fn learnt(&self, noticed: &Noticed) -> Learnt {
        let known = self.snapshots.as_ref().unwrap_or(&NOTHING);
        let upstreams = known
            .iter()
            .chain(&noticed.snapshots)
            .map(|(name, snapshot)| (name.clone(), snapshot.upstreams()));
        let peers = self
            .peers
            .iter()
            .map(|(name, (_, peers))| (name.clone(), peers.keys().cloned().collect()));
        Learnt {
            upstreams: upstreams.filter(|(_, hosts)| !hosts.is_empty()).collect(),
            peers: peers.collect(),
        }
    }
}

/// What one survey brought.
#[derive(Default)]
pub(super) struct Noticed {
    /// What changed since the last one.
    pub(super) changes: Vec<Change>,
    /// How the surveyed containers are now.
    snapshots: BTreeMap<String, Snapshot>,
}

impl Inner {
    /// Looks at the containers of `scope` (all without one) and tells what changed.
    pub(super) async fn survey(
        &self,
        survey: &mut Survey,
        inventory: &Inventory,
        scope: Option<&BTreeSet<TargetId>>,
    ) -> Noticed {
        if survey.snapshots.is_none() {
            match self.recall_snapshots().await {
                Ok(snapshots) => survey.snapshots = Some(snapshots),
                Err(error) => {
                    tracing::error!(%error, "what changed cannot be told: how containers were cannot be read");
                    return Noticed::default();
                }
            }
        }
        let before = survey.snapshots.as_ref().map_or(&NOTHING, |snapshots| snapshots);
        let mut noticed = Noticed::default();
        for (name, facts) in &inventory.containers {
            let id = TargetId::container(name);
            if scope.is_some_and(|scope| !scope.contains(&id)) {
                continue;
            }
            let old = before.get(name);
            let taken = Snapshot::take(&self.world, facts, old, &self.digest_key).await;
            let Some(new) = taken else { continue };
            match old {
                Some(old) => noticed.changes.extend(between(name, old, &new)),
                // At the very first look everything is new, and nothing changed.
                None if before.is_empty() => {}
                None => noticed.changes.push(appeared(name, &new)),
            }
            noticed.snapshots.insert(name.clone(), new);
        }
        for change in &mut noticed.changes {
            change.by_selfheal = self.leases.is_ours(&change.target, change.at)
                || self.leases.is_ours(&change.target, change.at + ECHO);
        }
        noticed
    }

    /// Looks whom the containers are connected to. What cannot be seen from here teaches
    /// nothing; what was seen is remembered for a while, since a connection to what is broken
    /// is gone when it is asked for.
    pub(super) async fn survey_connections(&self, survey: &mut Survey, inventory: &Inventory) {
        let now = self.world.clock.now();
        let by_address: BTreeMap<IpAddr, &str> = inventory
            .containers
            .values()
            .flat_map(|c| c.networks.iter().map(|n| (n.ip.as_deref(), c.name.as_str())))
            .filter_map(|(ip, name)| Some((ip?.parse().ok()?, name)))
            .collect();
        for (name, facts) in &inventory.containers {
            // Who shares a network of another has that one's connections.
            let own_network = facts.network_mode != "host" && !facts.network_mode.contains(':');
            let Some(pid) = facts.pid.filter(|_| own_network && facts.is_up()) else { continue };
            let Ok(connections) = self.world.host.connections(pid, &facts.id).await else {
                continue;
            };
            let (id, peers) = survey.peers.entry(name.clone()).or_default();
            if *id != facts.id {
                (*id, *peers) = (facts.id.clone(), BTreeMap::new());
            }
            let found = connections.iter().filter_map(|c| by_address.get(&c.to.ip()));
            peers.extend(found.filter(|peer| **peer != name).map(|peer| ((*peer).to_owned(), now)));
            peers.retain(|_, at| now - *at <= CONNECTION_KEPT);
        }
        survey.peers.retain(|name, (_, peers)| {
            let is_there = inventory.containers.contains_key(name);
            // Who talks to so many looks at them, and needs none of them.
            is_there && peers.len() <= MOST_PEERS
        });
    }

    async fn recall_snapshots(&self) -> StoreResult<BTreeMap<String, Snapshot>> {
        let prefix = prefix(&self.digest_key);
        let mut snapshots = BTreeMap::new();
        for (name, value) in self.store.values(WAS).await? {
            let known = name.strip_prefix(&prefix).zip(serde_json::from_value(value).ok());
            match known {
                Some((container, snapshot)) => {
                    snapshots.insert(container.to_owned(), snapshot);
                }
                // Of another key or an older version: nothing can be compared with it.
                None => self.store.set_value(&name, None).await?,
            }
        }
        Ok(snapshots)
    }

    /// Writes down what was noticed and takes the new state for known. What cannot be written
    /// is noticed again next time.
    pub(super) async fn keep_noticed(&self, survey: &mut Survey, seen: &mut Seen) {
        let noticed = std::mem::take(&mut seen.noticed);
        let Some(known) = survey.snapshots.as_mut() else { return };
        if let Err(error) = self.store.record_changes(&noticed.changes).await {
            tracing::error!(%error, "changes of containers are not kept");
            return;
        }
        for change in &noticed.changes {
            tracing::info!(target = %change.target, kind = change.kind.as_str(), "changed: {}", change.what);
        }
        let prefix = prefix(&self.digest_key);
        for (name, snapshot) in noticed.snapshots {
            let same = known.get(&name).is_some_and(|old| old.says_the_same_as(&snapshot));
            if !same
                && let Err(error) = self.keep_in_mind(&format!("{prefix}{name}"), &snapshot).await
            {
                tracing::error!(container.name = name, %error, "how it is now is not kept");
                continue;
            }
            known.insert(name, snapshot);
        }
        self.forget_long_gone(known, seen).await;
    }

    /// A container that is taken down and made anew is compared with what it was; not for ever.
    async fn forget_long_gone(&self, known: &mut BTreeMap<String, Snapshot>, seen: &Seen) {
        if !seen.report.blind.is_empty() {
            return;
        }
        let gone: Vec<String> = known
            .iter()
            .filter(|(name, snapshot)| {
                seen.inventory.is_gone(&TargetId::container(name))
                    && seen.now - snapshot.seen_at() > GONE_FOR
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            let key = format!("{}{name}", prefix(&self.digest_key));
            match self.store.set_value(&key, None).await {
                Ok(()) => drop(known.remove(&name)),
                Err(error) => tracing::warn!(%error, "an old snapshot is not forgotten"),
            }
        }
    }

    /// The changes that may have led to what is wrong now, those just noticed included.
    pub(super) async fn changes_before(
        &self,
        seen: &Seen,
        onsets: &BTreeMap<TargetId, Timestamp>,
    ) -> Vec<Change> {
        if seen.findings.is_empty() {
            return vec![];
        }
        let began = onsets.values().copied().chain(seen.findings.iter().map(|f| f.first_seen));
        let oldest = began.min().unwrap_or(seen.now).max(seen.now - FARTHEST);
        let mut changes =
            self.store.changes(None, oldest - CHANGES_BACK).await.unwrap_or_else(|error| {
                tracing::error!(%error, "what changed before cannot be read");
                vec![]
            });
        changes.extend(seen.noticed.changes.iter().cloned());
        changes
    }
}

static NOTHING: BTreeMap<String, Snapshot> = BTreeMap::new();

/// What is kept under another key cannot be compared.
fn prefix(key: &DigestKey) -> String {
    format!("{WAS}{}.", key.mark())
}

/// When the trouble of each target was first seen, as open incidents remember it.
pub(super) fn onsets(open: &[Incident]) -> BTreeMap<TargetId, Timestamp> {
    let mut onsets: BTreeMap<TargetId, Timestamp> = BTreeMap::new();
    for finding in open.iter().flat_map(|incident| &incident.findings) {
        let first = onsets.entry(finding.target.clone()).or_insert(finding.first_seen);
        *first = finding.first_seen.min(*first);
    }
    onsets
}
