//! Figures of what Selfheal is tied to, each only where the settings ask for it: one of what is not
//! there would raise alarms.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use selfheal_agents::ports::StoreResult;

use super::super::state::Api;
use super::{counter, flag, gauge};
use crate::alerts::{Fares, Heart};
use crate::{fleet, streams};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByEnd {
    result: &'static str,
}

/// How each of them is; `None` where there is none.
#[derive(Debug)]
pub(super) struct Ties {
    pub(super) history: Option<History>,
    pub(super) fleet: Option<fleet::Figures>,
    /// With how many messages wait.
    pub(super) streams: Option<(streams::Figures, u64)>,
    /// How many spans a collector took, and how many it did not.
    pub(super) spans: Option<(u64, u64)>,
    pub(super) heartbeat: Option<Heartbeat>,
}

/// The history in PostgreSQL.
#[derive(Debug)]
pub(super) struct History {
    pub(super) is_taken: bool,
    /// Rows that changed here and are not there.
    pub(super) waiting: i64,
}

/// The signs of life to a dead-man's switch.
#[derive(Debug)]
pub(super) struct Heartbeat {
    pub(super) arrives: bool,
    pub(super) arrived: u64,
}

impl Ties {
    /// As they are now.
    pub(super) async fn of(api: &Api) -> StoreResult<Self> {
        let configured = &api.configured;
        let history = match &configured.history {
            Some(store) => {
                Some(History { is_taken: store.is_taken(), waiting: store.unsent().await? })
            }
            None => None,
        };
        let streams = match &configured.tie {
            Some(tie) => Some((tie.figures(), api.store().messages_waiting().await?)),
            None => None,
        };
        Ok(Self {
            history,
            fleet: configured.fleet.as_ref().map(fleet::Fleet::figures),
            streams,
            spans: configured.collector.as_ref().map(|collector| collector.figures()),
            heartbeat: Heartbeat::of(&configured.heart),
        })
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        if let Some(history) = &self.history {
            history.register(registry);
        }
        if let Some(figures) = self.fleet {
            leases(registry, figures);
        }
        if let Some((figures, waiting)) = self.streams {
            messages(registry, figures, waiting);
        }
        if let Some((sent, dropped)) = self.spans {
            let help = "Parts of traces since the start, by whether the collector took them";
            let counts = [("sent", sent), ("dropped", dropped)];
            by_end(registry, "selfheal_trace_spans", help, &counts);
        }
        if let Some(Heartbeat { arrives, arrived }) = self.heartbeat {
            let help = "Whether the last sign of life to a dead-man's switch arrived";
            gauge(registry, "selfheal_heartbeat_arrives", help, flag(arrives));
            let help = "Signs of life that arrived since the start";
            counter(registry, "selfheal_heartbeats", help, arrived);
        }
    }
}

impl History {
    fn register(&self, registry: &mut Registry) {
        let help = "Whether the PostgreSQL of the history took what was sent there last";
        gauge(registry, "selfheal_store_connected", help, flag(self.is_taken));
        let help = "Changed rows that wait to be sent to the PostgreSQL of the history";
        gauge(registry, "selfheal_store_changes_waiting", help, self.waiting as f64);
    }
}

impl Heartbeat {
    fn of(heart: &Heart) -> Option<Self> {
        let fares = heart.fares();
        let is_wanted = fares != Fares::Unknown;
        is_wanted.then(|| Self { arrives: fares == Fares::Arrives, arrived: heart.arrived() })
    }
}

fn leases(registry: &mut Registry, figures: fleet::Figures) {
    let help = "Whether the PostgreSQL that the nodes share answers";
    gauge(registry, "selfheal_fleet_connected", help, flag(figures.connected));
    let help = "Outcomes of other nodes that this one learns from";
    gauge(registry, "selfheal_fleet_outcomes", help, figures.outcomes as f64);
    let help = "Leases of what several nodes reach that this one has";
    gauge(registry, "selfheal_leases_held", help, figures.held as f64);
    counter(registry, "selfheal_lease_lost", "Leases that another node took over", figures.lost);
    let help = "Calls not made for want of a lease";
    counter(registry, "selfheal_lease_refused", help, figures.refused);
}

fn messages(registry: &mut Registry, figures: streams::Figures, waiting: u64) {
    let help = "Whether Redis takes messages and hands out jobs";
    gauge(registry, "selfheal_streams_connected", help, flag(figures.connected));
    let help = "Messages to other programs that wait for Redis";
    gauge(registry, "selfheal_stream_messages_waiting", help, waiting as f64);
    let help = "Messages to other programs that Redis took since the start";
    counter(registry, "selfheal_stream_messages_sent", help, figures.sent);
    let help = "Jobs of other programs since the start, by how they ended";
    let jobs = [("done", figures.done), ("failed", figures.failed), ("dead", figures.dead)];
    by_end(registry, "selfheal_stream_jobs", help, &jobs);
}

fn by_end(registry: &mut Registry, name: &str, help: &str, counts: &[(&'static str, u64)]) {
    let family = Family::<ByEnd, Counter>::default();
    for (result, count) in counts {
        family.get_or_create(&ByEnd { result }).inc_by(*count);
    }
    registry.register(name, help, family);
}
