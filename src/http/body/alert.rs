//! The body that Alertmanager and Grafana post, and the answer to it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use selfheal_agents::model::{OutsideAlert, TargetId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::alerts::alertmanager;
use crate::coordinator::{Heard, Taken};

/// A webhook of Prometheus' Alertmanager (version 4) or of Grafana (version 1). Whatever else it
/// holds is not read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct AlertWebhook {
    /// Of this body.
    pub version: WebhookVersion,
    /// Each alert of the group.
    pub alerts: Vec<AlertTold>,
}

/// The versions of the body that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum WebhookVersion {
    /// Grafana's.
    #[serde(rename = "1")]
    Grafana,
    /// Alertmanager's.
    #[serde(rename = "4")]
    Alertmanager,
}

/// One alert of a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct AlertTold {
    /// Whether it fires.
    pub status: AlertStatus,
    /// What it is called, and what it is about.
    pub labels: BTreeMap<String, String>,
    /// What it says; `summary`, else `description` or `message` is told on.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Tells it from others; without one its labels do.
    #[serde(default)]
    pub fingerprint: String,
}

/// Whether an alert fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertStatus {
    /// It does.
    Firing,
    /// It is over.
    Resolved,
}

impl AlertTold {
    /// Whether it came from a Selfheal: told of its own incident it would never end it.
    pub fn is_our_own(&self) -> bool {
        self.labels.get("alertname").is_some_and(|name| name == alertmanager::NAME)
            && self.labels.contains_key(alertmanager::INCIDENT_LABEL)
    }

    /// For the coordinator, told at `at`.
    pub fn heard(&self, at: Timestamp) -> Heard {
        let (given, labels) = (&self.fingerprint, &self.labels);
        match self.status {
            AlertStatus::Firing => {
                Heard::Firing(OutsideAlert::heard(given, labels, &self.annotations, at))
            }
            AlertStatus::Resolved => Heard::Over(OutsideAlert::fingerprint_of(given, labels)),
        }
    }
}

/// What became of the alerts of a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlertsTaken {
    /// Those that fire.
    pub firing: Vec<AlertPlaced>,
    /// How many of those known here are over.
    pub resolved: usize,
    /// How many were not kept, because too many fire already.
    pub dropped: usize,
    /// How many are Selfheal's own, told by Alertmanager.
    pub own: usize,
}

/// An alert that fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlertPlaced {
    /// Its id.
    pub fingerprint: String,
    /// What it is called.
    pub name: String,
    /// What it is about; `null` where its labels name nothing that is watched: then it stands at
    /// the host.
    pub target: Option<TargetId>,
}

impl AlertsTaken {
    /// Of what the coordinator took; `own` were not given to it.
    pub fn new(taken: Taken, own: usize) -> Self {
        let placed = |(alert, target): (OutsideAlert, Option<TargetId>)| AlertPlaced {
            fingerprint: alert.fingerprint,
            name: alert.name,
            target,
        };
        Self {
            firing: taken.firing.into_iter().map(placed).collect(),
            resolved: taken.over,
            dropped: taken.dropped,
            own,
        }
    }
}
