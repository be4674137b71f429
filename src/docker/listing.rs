//! Which containers there are, each looked at by itself.
//!
//! A container whose inspection hangs (its lock is held by a stuck runtime, or its storage
//! does not answer) delays nobody: the others are waited for, it is left at what the list tells.

use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use selfheal_agents::model::{ContainerFacts, clean};
use selfheal_agents::ports::{WorldError, WorldResult};
use tokio::time::Instant;

use super::inspect::{Inspect, Listed};
use super::{Docker, facts};

/// How many containers are looked at side by side.
const SIDE_BY_SIDE: usize = 16;
/// The shortest time without any answer after which those still out are left behind.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);
/// A busy engine answers slowly, but all of it does: what is still out after so many times the
/// longest answer of the same look hangs.
const PATIENCE_RATIO: u32 = 5;

impl Docker {
    /// Everything that is there, by name.
    pub(super) async fn list_containers(&self) -> WorldResult<Vec<ContainerFacts>> {
        let asked = self.wire.get_json::<Vec<Listed>>("/containers/json?all=1");
        let listed = self.within("the list of containers", self.limits.read, asked).await;
        let listed = listed.map_err(|error| self.unless_docker(error))?;
        let looked = self.look_at_each(&listed).await;
        let none_succeeded = looked.iter().all(|looked| !matches!(looked, Some(Ok(_))));
        let mut containers = Vec::with_capacity(looked.len());
        for (listed, looked) in listed.iter().zip(looked) {
            match looked {
                Some(Ok(inspect)) => containers.push(facts::of_inspect(&inspect)),
                // Gone by now.
                Some(Err(WorldError::NotFound { .. })) => {}
                Some(Err(error)) if none_succeeded => return Err(error),
                None if none_succeeded => {
                    let what = format!("container `{}`", clean(&listed.id, 120));
                    return Err(WorldError::TimedOut { what, limit: self.limits.read });
                }
                Some(Err(error)) => containers.push(unseen(listed, &error.to_string())),
                None => containers.push(unseen(listed, "it does not answer, others do")),
            }
        }
        containers.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(containers)
    }

    /// What became of each, in their order; `None` for one that was left behind.
    async fn look_at_each(&self, listed: &[Listed]) -> Vec<Option<WorldResult<Inspect>>> {
        let mut looked: Vec<_> = listed.iter().map(|_| None).collect();
        let mut patience = self.limits.read;
        let mut longest = Duration::ZERO;
        let mut places = 0..listed.len();
        let look = async |place: usize| {
            let asked = Instant::now();
            (place, self.inspect(&listed[place].id).await, asked.elapsed())
        };
        let mut asked: FuturesUnordered<_> = places.by_ref().take(SIDE_BY_SIDE).map(look).collect();
        while !asked.is_empty() {
            match tokio::time::timeout(patience, asked.next()).await {
                Ok(Some((place, answer, took))) => {
                    if answer.is_ok() {
                        longest = longest.max(took);
                        patience = (longest * PATIENCE_RATIO).max(LEAST_PATIENCE);
                    }
                    looked[place] = Some(answer);
                    asked.extend(places.next().map(look));
                }
                // These are left behind, and nobody who was not asked yet with them.
                Ok(None) | Err(_) => asked = places.by_ref().take(SIDE_BY_SIDE).map(look).collect(),
            }
        }
        looked
    }
}

fn unseen(listed: &Listed, why: &str) -> ContainerFacts {
    let facts = facts::of_list(listed);
    tracing::warn!(
        container.name = facts.name,
        error = clean(why, 300),
        "a container cannot be looked at"
    );
    facts
}
