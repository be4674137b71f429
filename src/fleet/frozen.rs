//! What a person froze on one node of what several reach holds on all of them.
//!
//! Each node tells what it has frozen and reads what the others have: nothing is passed on that could
//! be lost, and what ends at one ends at all. While the server is away what was read last holds, and
//! nothing shared is changed anyhow. A freeze of everything is its node's own.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use selfheal_agents::model::{TargetId, Timestamp};
use selfheal_agents::ports::FrozenThere;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Fleet, State};
use crate::coordinator::{Coordinator, RequestError};

/// A freeze as its node tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Frozen {
    /// Its lease.
    lease: String,
    /// Its name there.
    target: TargetId,
    until: Option<Timestamp>,
    reason: String,
}

impl Fleet {
    /// What is frozen here, in the words of the table: nothing where nothing is. `None` until it
    /// is known what the last run left frozen: that still holds.
    pub(super) fn frozen_here(&self, coordinator: &Coordinator) -> Option<String> {
        if !coordinator.are_freezes_known() {
            return None;
        }
        let state = self.state();
        let freezes = coordinator.freezes().into_iter();
        let shared = freezes.filter_map(|freeze| {
            let target = freeze.target?;
            let lease = state.shared.lease_of(&target)?.to_owned();
            Some(Frozen { lease, target, until: freeze.until, reason: freeze.reason })
        });
        let all: Vec<Frozen> = shared.collect();
        if all.is_empty() {
            return Some(String::new());
        }
        serde_json::to_string(&all).ok()
    }

    /// Takes over what the others tell that they have frozen, each by its name.
    pub(super) fn take_frozen(&self, told: &BTreeMap<String, String>) {
        let read = told.iter().flat_map(|(node, text)| {
            // Of another version: what cannot be read is not known.
            let all = serde_json::from_str::<Vec<Frozen>>(text).unwrap_or_default();
            all.into_iter().map(move |one| (node.clone(), one))
        });
        self.state().frozen = read.collect();
    }

    /// Ends what other nodes have frozen of a target that is shared; answers whether there was
    /// anything.
    pub async fn unfreeze_elsewhere(
        &self,
        target: &TargetId,
        who: &str,
    ) -> Result<bool, RequestError> {
        let there: Vec<(String, TargetId)> = {
            let state = self.state();
            let Some(lease) = state.shared.lease_of(target) else { return Ok(false) };
            let same = state.frozen.iter().filter(|(_, frozen)| frozen.lease == lease);
            same.map(|(node, frozen)| (node.clone(), frozen.target.clone())).collect()
        };
        // One that is gone for good keeps nobody from asking the others.
        let asked = there.iter().map(|(node, name)| {
            let payload = Map::from_iter([("target".to_owned(), Value::from(name.to_string()))]);
            self.decide(node, "unfreeze", payload, who)
        });
        for answer in join_all(asked).await {
            answer?;
        }
        Ok(!there.is_empty())
    }
}

impl State {
    /// What others have frozen, by the names that this node has for it.
    pub(super) fn frozen_there(&self) -> Vec<FrozenThere> {
        let known = self.frozen.iter().flat_map(|(node, frozen)| {
            // The containers of a shared engine have the same names everywhere.
            let is_named = self.shared.lease_of(&frozen.target) == Some(&frozen.lease);
            let same = is_named.then_some(&frozen.target);
            let targets = self.shared.targets_of(&frozen.lease).filter(move |id| Some(*id) != same);
            targets.chain(same).map(move |target| FrozenThere {
                node: node.clone(),
                target: target.clone(),
                until: frozen.until,
                why: frozen.reason.clone(),
            })
        });
        known.collect()
    }
}
