//! The terms on which Docker runs a container: ports, processor, restarts, health check.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::DigestKey;
use crate::model::{ChangeKind, ContainerFacts, RestartPolicy};

/// The terms at one look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Terms {
    ports: BTreeSet<String>,
    /// In billionths of a core.
    processor_limit: Option<u64>,
    restart_policy: RestartPolicy,
    /// A digest: its command may hold a password.
    health_check: Option<u32>,
}

impl Terms {
    pub(super) fn of(facts: &ContainerFacts, key: &DigestKey) -> Self {
        let check = facts.health_check.as_ref();
        Self {
            ports: facts.published_ports.iter().map(u16::to_string).collect(),
            processor_limit: facts.cpu_limit_nanos,
            restart_policy: facts.restart_policy,
            health_check: check.map(|check| key.digest(format!("{check:?}").as_bytes())),
        }
    }

    /// The ports of the host that it publishes.
    pub(super) const fn ports(&self) -> &BTreeSet<String> {
        &self.ports
    }

    /// What else is not as it was, in words.
    pub(super) fn changed(&self, after: &Self) -> Vec<(ChangeKind, String)> {
        let mut changed = vec![];
        if self.processor_limit != after.processor_limit {
            let [old, new] = [self, after].map(|terms| cores(terms.processor_limit));
            let what = format!("the processor limit changed from {old} to {new}");
            changed.push((ChangeKind::Limits, what));
        }
        if self.health_check != after.health_check {
            let how = match (self.health_check, after.health_check) {
                (None, _) => "has come",
                (_, None) => "is gone",
                _ => "changed",
            };
            changed.push((ChangeKind::HealthCheck, format!("its health check {how}")));
        }
        if self.restart_policy != after.restart_policy {
            let [old, new] = [self, after].map(|terms| terms.restart_policy.as_str());
            let what = format!("its restart policy changed from {old} to {new}");
            changed.push((ChangeKind::RestartPolicy, what));
        }
        changed
    }
}

fn cores(limit: Option<u64>) -> String {
    limit.map_or_else(|| "none".to_owned(), |nanos| format!("{} cores", nanos as f64 / 1e9))
}
