//! Making containers again, on the fake host.
//!
//! A blueprint names what is kept of the container here; the world it is used in is the one that
//! drew it.

use async_trait::async_trait;

use super::FakeWorld;
use super::world::{FakeContainer, State};
use crate::model::{
    Blueprint, ContainerFacts, ContainerStatus, HealthStatus, IMAGE_LABEL, ImageFacts,
    REMADE_LABEL, Remake, RestartPolicy, RuntimeEventKind, SecretText, Timestamp,
};
use crate::ports::{Remakes, WorldError, WorldResult};

impl FakeWorld {
    /// An image that is on the host whether a container uses it or not.
    pub fn image(&self, id: &str, environment: &[(&str, &str)]) -> &Self {
        let environment = super::environment(environment);
        let image = ImageFacts { id: id.to_owned(), environment, command: SecretText::default() };
        self.state().images.insert(id.to_owned(), image);
        self
    }

    /// Somebody removes an image that no container uses.
    pub fn forget_image(&self, id: &str) -> &Self {
        self.state().images.remove(id);
        self
    }

    /// Somebody makes a container anew, as Compose does: another one under the same name, made
    /// and started now.
    pub fn deploys(&self, name: &str, change: impl FnOnce(&mut ContainerFacts)) -> &Self {
        let now = self.now();
        let mut facts = self.facts(name);
        facts.id = format!("{}+", facts.id);
        facts.created_at = Some(now);
        facts.started_at = Some(now);
        change(&mut facts);
        self.emit(name, RuntimeEventKind::Destroy);
        self.change(name, |known| *known = facts);
        self.emit(name, RuntimeEventKind::Create).emit(name, RuntimeEventKind::Start)
    }

    /// The names of all containers.
    pub fn names(&self) -> Vec<String> {
        self.state().containers.keys().cloned().collect()
    }
}

impl State {
    fn has(&self, name: &str, id: &str) -> bool {
        self.containers.get(name).is_some_and(|c| c.facts.id == id)
    }

    fn rename(&mut self, name: &str, to: &str) -> WorldResult<()> {
        if self.containers.contains_key(to) {
            return Err(WorldError::Conflict { what: format!("container `{to}`") });
        }
        let what = || WorldError::NotFound { what: format!("container `{name}`") };
        let mut container = self.containers.remove(name).ok_or_else(what)?;
        to.clone_into(&mut container.facts.name);
        self.containers.insert(to.to_owned(), container);
        Ok(())
    }

    pub(super) fn made(
        &self,
        name: &str,
        from: &Blueprint,
        with: &Remake,
        at: Timestamp,
    ) -> FakeContainer {
        let drawn = self.drawn.get(from.document.expose());
        let mut facts = drawn.cloned().unwrap_or_else(|| super::container(name));
        name.clone_into(&mut facts.name);
        facts.id = format!("{}-{}", from.id, with.mark);
        facts.created_at = Some(at);
        facts.started_at = None;
        facts.finished_at = None;
        facts.exit_code = None;
        facts.status = ContainerStatus::Created;
        facts.health = facts.health_check.as_ref().map(|_| HealthStatus::Starting);
        facts.networks.clear();
        facts.labels.insert(REMADE_LABEL.to_owned(), with.mark.clone());
        facts.environment.extend(with.variables.clone());
        if let Some(image) = &with.image {
            facts.image_id.clone_from(&image.id);
            facts.image.clone_from(&image.name);
            facts.labels.insert(IMAGE_LABEL.to_owned(), image.name.clone());
        }
        // It is the same program, and behaves by what it finds.
        let like = self.containers.values().find(|c| c.facts.id == from.id);
        let mut container = FakeContainer::new(facts);
        if let Some(like) = like {
            container.behaviour = like.behaviour.clone();
            container.conditions.clone_from(&like.conditions);
        }
        container
    }
}

#[async_trait]
impl Remakes for FakeWorld {
    async fn image(&self, id: &str) -> WorldResult<ImageFacts> {
        self.call("image", id, |state| {
            let used = state.containers.values().any(|c| c.facts.image_id == id);
            let bare = || ImageFacts { id: id.to_owned(), ..ImageFacts::default() };
            let known = state.images.get(id).cloned().or_else(|| used.then(bare));
            known.ok_or_else(|| WorldError::NotFound { what: format!("the image {id}") })
        })
    }

    async fn blueprint(&self, name: &str) -> WorldResult<Blueprint> {
        self.call("blueprint", name, |state| {
            let what = || WorldError::NotFound { what: format!("container `{name}`") };
            let facts = state.containers.get(name).ok_or_else(what)?.facts.clone();
            let running =
                matches!(facts.status, ContainerStatus::Running | ContainerStatus::Restarting);
            state.drawn.insert(facts.id.clone(), facts.clone());
            Ok(Blueprint {
                image_id: facts.image_id.clone(),
                running,
                networks: facts.networks.iter().map(|n| n.network.clone()).collect(),
                document: SecretText::new(&facts.id),
                id: facts.id,
            })
        })
    }

    async fn set_aside(
        &self,
        name: &str,
        id: &str,
        aside: &str,
        _stop_timeout_secs: u32,
    ) -> WorldResult<()> {
        let now = self.now();
        self.call("set_aside", name, |state| {
            if state.has(aside, id) {
                return Ok(());
            }
            if !state.has(name, id) {
                return Err(WorldError::Conflict { what: format!("container `{name}`") });
            }
            state.stop(name, now, None)?;
            state.rename(name, aside)?;
            state.change(aside, |facts| facts.restart_policy = RestartPolicy::No);
            state.effects.push(format!("set aside {name}"));
            Ok(())
        })
    }

    async fn make(&self, name: &str, from: &Blueprint, with: &Remake) -> WorldResult<()> {
        let now = self.now();
        self.call("make", name, |state| {
            let known = state.containers.get(name).map(|c| c.facts.labels.get(REMADE_LABEL));
            match known {
                None => {
                    let made = state.made(name, from, with, now);
                    state.containers.insert(name.to_owned(), made);
                    state.effects.push(format!("make {name}"));
                    state.emit(now, name, RuntimeEventKind::Create);
                }
                Some(Some(mark)) if *mark == with.mark => {}
                Some(_) => {
                    return Err(WorldError::Conflict { what: format!("container `{name}`") });
                }
            }
            let drawn = state.drawn.get(from.document.expose());
            let networks = drawn.map(|facts| facts.networks.clone()).unwrap_or_default();
            state.change(name, |facts| facts.networks = networks);
            Ok(())
        })
    }

    async fn put_back(&self, aside: &str, name: &str, from: &Blueprint) -> WorldResult<()> {
        self.call("put_back", name, |state| {
            if !state.has(name, &from.id) {
                state.rename(aside, name)?;
                state.effects.push(format!("put back {name}"));
            }
            let drawn = state.drawn.get(from.document.expose());
            let policy = drawn.map(|facts| facts.restart_policy).unwrap_or_default();
            state.change(name, |facts| facts.restart_policy = policy);
            Ok(())
        })
    }

    async fn remove(&self, name: &str, id: &str) -> WorldResult<()> {
        let now = self.now();
        self.call("remove", name, |state| {
            if state.has(name, id) {
                state.containers.remove(name);
                state.effects.push(format!("remove {name}"));
                state.emit(now, name, RuntimeEventKind::Destroy);
            }
            Ok(())
        })
    }
}
