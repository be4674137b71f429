//! Limits that fixes changed on living containers.
//!
//! They are in no compose file, so whoever makes the container anew loses them, and the fault comes
//! back. So each is told of for as long as that container has it.

use std::collections::BTreeMap;

use selfheal_agents::fix_engineer::actions::{Act as _, Action};
use selfheal_agents::model::{ContainerFacts, Fix, Timestamp};
use selfheal_agents::ports::StoreResult;
use serde::{Deserialize, Serialize};

use super::state::Inner;

/// Before the container's name in the store.
pub(super) const TURNED: &str = "turned.";

/// One change of a limit that proved itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Turned {
    /// Docker's id: another container has limits of its own.
    container_id: String,
    action: Action,
    at: Timestamp,
}

impl Turned {
    fn is_in_force(&self, facts: &ContainerFacts) -> bool {
        self.container_id == facts.id
            && match &self.action {
                Action::ContainerSetMemory(set) => facts.limits == set.limits,
                Action::ContainerSetCpu(set) => facts.cpu_limit_nanos == Some(set.limit_nanos),
                _ => false,
            }
    }

    fn in_words(&self) -> String {
        format!(
            "done by Selfheal on {}: {}; that lasts until the container is made anew, so write it \
             where it is made from, such as its compose file",
            self.at.format("%Y-%m-%d"),
            self.action.describe(),
        )
    }
}

/// By container's name.
pub(super) type AllTurned = BTreeMap<String, Vec<Turned>>;

/// What to tell of a container.
pub(super) fn told(all: &AllTurned, facts: &ContainerFacts) -> Vec<String> {
    let of_it = all.get(&facts.name).into_iter().flatten();
    of_it.filter(|turned| turned.is_in_force(facts)).map(Turned::in_words).collect()
}

impl Inner {
    /// Remembers the limits that a fix changed, once it has proved itself.
    pub(super) async fn remember_turned(&self, fix: &Fix) -> StoreResult<()> {
        let is_limit = |action: &&Action| {
            matches!(action, Action::ContainerSetMemory(_) | Action::ContainerSetCpu(_))
        };
        for action in fix.steps.iter().map(|step| &step.action).filter(is_limit) {
            let target = action.target();
            let Some(name) = target.container_name() else { continue };
            let facts = self.world.runtime.container(name).await;
            let Ok(ContainerFacts { id: container_id, .. }) = facts else { continue };
            let key = format!("{TURNED}{name}");
            let mut known: Vec<Turned> = self.recall(&key).await?.unwrap_or_default();
            known.retain(|old| {
                old.container_id == container_id && old.action.name() != action.name()
            });
            let at = self.world.clock.now();
            known.push(Turned { container_id, action: action.clone(), at });
            self.keep_in_mind(&key, &known).await?;
        }
        Ok(())
    }

    /// Everything that was remembered; nothing where it cannot be read.
    pub(super) async fn turned(&self) -> AllTurned {
        let values = self.store.values(TURNED).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "which limits were changed cannot be read");
            vec![]
        });
        let named = |(key, value): (String, serde_json::Value)| {
            let name = key.strip_prefix(TURNED)?.to_owned();
            Some((name, serde_json::from_value(value).ok()?))
        };
        values.into_iter().filter_map(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use selfheal_agents::fakes::container;
    use selfheal_agents::fix_engineer::actions::ContainerSetCpu;

    use super::*;

    #[test]
    fn a_limit_is_told_of_while_the_same_container_has_it() {
        let mut web = container("web");
        web.cpu_limit_nanos = Some(500_000_000);
        let set = ContainerSetCpu { container: "web".to_owned(), limit_nanos: 500_000_000 };
        let action = Action::ContainerSetCpu(set);
        let at = Timestamp::UNIX_EPOCH;
        let turned = Turned { container_id: web.id.clone(), action, at };
        let all = AllTurned::from([("web".to_owned(), vec![turned])]);
        let [line] = &told(&all, &web)[..] else { panic!("it has the limit") };
        assert!(line.contains("1970-01-01: limit container `web` to 0.50 cores"), "{line}");
        let made_permanent = ContainerFacts { id: "another".to_owned(), ..web.clone() };
        assert_eq!(told(&all, &made_permanent), Vec::<String>::new());
        let taken_back = ContainerFacts { cpu_limit_nanos: None, ..web };
        assert_eq!(told(&all, &taken_back), Vec::<String>::new());
    }
}
