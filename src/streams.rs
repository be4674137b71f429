//! Redis Streams: what happens goes out to other programs, and their jobs come in.
//!
//! What is told of an incident is composed by [`news_of`], pure, and queued in the store together
//! with the incident itself; [`start`] begins to carry it to Redis in the order in which it was queued. Jobs
//! are read by a consumer group and acknowledged when what they did is in the store. Both ways a
//! message may come twice and never gets lost, so every message has an id of its own.
//!
//! Healing never waits for Redis: nothing here is called by the flow but [`news_of`]. It does not
//! decide whether a job may be done; the coordinator does, as for a person.

mod address;
mod announce;
mod backoff;
mod carrier;
pub(crate) mod desk;
mod fields;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzzed;
mod group;
pub(crate) mod jobs;
mod status;
mod taker;
mod tie;

use std::sync::Arc;
use std::time::Duration;

use selfheal_agents::model::Stream;
use selfheal_agents::ports::Store;
use tokio_util::sync::CancellationToken;

pub use self::address::Address;
pub use self::announce::news_of;
pub use self::tie::{Figures, Tie};
use crate::coordinator::Coordinator;
use crate::fleet::Fleet;
use crate::upkeep::Part;

/// How the streams are reached, and what they are called.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Where Redis is.
    pub address: Address,
    /// What the names of all streams begin with.
    pub prefix: String,
    /// Under which name this Selfheal takes jobs and tells how it is.
    pub node: String,
    /// About so many messages stay in a stream.
    pub max_length: u64,
}

impl Setup {
    fn stream(&self, stream: Stream) -> String {
        format!("{}:{}", self.prefix, stream.as_str())
    }

    fn jobs(&self) -> String {
        format!("{}:jobs", self.prefix)
    }
}

/// What all parts share.
#[derive(Clone)]
struct Shared {
    setup: Arc<Setup>,
    store: Arc<dyn Store>,
    coordinator: Coordinator,
    /// The other nodes, where there are any.
    fleet: Option<Fleet>,
    tie: Arc<Tie>,
    cancel: CancellationToken,
}

/// Every connection is made anew after seconds.
const CARRIER: Part =
    Part { name: "the messages to Redis", turns_within: Some(Duration::from_mins(5)) };
/// Not broken off while it stands still: the job that it does then would be done again.
const TAKER: Part = Part { name: "the jobs from Redis", turns_within: None };
const STATUS: Part =
    Part { name: "the status to Redis", turns_within: Some(Duration::from_mins(5)) };

/// Begins to carry messages out and jobs in, until `cancel`.
pub fn start(
    setup: Setup,
    coordinator: &Coordinator,
    fleet: Option<Fleet>,
    tie: Arc<Tie>,
    cancel: CancellationToken,
) {
    let store = Arc::clone(coordinator.store());
    let (setup, upkeep) = (Arc::new(setup), coordinator.upkeep());
    let shared = Shared { setup, store, coordinator: coordinator.clone(), fleet, tie, cancel };
    let (carries, takes) = (shared.clone(), shared.clone());
    upkeep.keep(CARRIER, move || carrier::run(carries.clone()));
    upkeep.keep(TAKER, move || taker::run(takes.clone()));
    upkeep.keep(STATUS, move || status::run(shared.clone()));
}
