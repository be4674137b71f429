//! Clones that fixes are tried on, on the fake host.
//!
//! A clone is the same program as its container and behaves by what it finds, unless a test says
//! how it does alone.

use async_trait::async_trait;

use super::FakeWorld;
use super::scene::Behaviour;
use super::world::{FakeContainer, State};
use crate::model::{
    Blueprint, CloneFile, LogLine, LogStream, NetworkAttachment, REHEARSAL_INCIDENT_LABEL,
    REHEARSAL_LABEL, RehearsalClone, Remake, RestartPolicy, RuntimeEventKind, Timestamp,
    rehearsed_container,
};
use crate::ports::{Rehearsals, WorldError, WorldResult};

/// How the clones of a container do.
#[derive(Debug, Clone)]
pub(super) struct Alone {
    behaviour: Behaviour,
    says: Vec<String>,
}

impl FakeWorld {
    /// From now on clones of the container behave so when they are started, and write these lines.
    pub fn alone(&self, container: &str, behaviour: Behaviour, says: &[&str]) -> &Self {
        let says = says.iter().map(|line| (*line).to_owned()).collect();
        self.state().alone.insert(container.to_owned(), Alone { behaviour, says });
        self
    }

    /// The names of the clones there are.
    pub fn clones(&self) -> Vec<String> {
        let is_clone = |name: &String| rehearsed_container(name).is_some();
        self.state().containers.keys().filter(|name| is_clone(name)).cloned().collect()
    }
}

impl State {
    /// Asks while a clone stands in the place of its container; of anything else just so.
    pub(super) fn in_its_place<T>(&mut self, name: &str, ask: impl FnOnce(&Self, &str) -> T) -> T {
        let Some(place) = rehearsed_container(name) else { return ask(self, name) };
        let (clone, original) = (self.containers.remove(name), self.containers.remove(place));
        let seen = clone.as_ref().map(FakeContainer::seen_files).unwrap_or_default();
        self.containers.extend(clone.map(|clone| (place.to_owned(), clone)));
        let seen = self.exchange(seen);
        let answer = ask(self, place);
        self.exchange(seen);
        let clone = self.containers.remove(place);
        self.containers.extend(clone.map(|clone| (name.to_owned(), clone)));
        self.containers.extend(original.map(|original| (place.to_owned(), original)));
        answer
    }

    /// Puts these contents in the place of the host's; answers what was there.
    fn exchange(&mut self, contents: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
        let mut before = vec![];
        for (path, bytes) in contents {
            if let Some(file) = self.files.get_mut(&path) {
                before.push((path, std::mem::replace(&mut file.bytes, bytes)));
            }
        }
        before
    }

    /// What a clone writes at its start.
    pub(super) fn speaks(&mut self, name: &str, at: Timestamp) {
        let known = rehearsed_container(name).and_then(|of| self.alone.get(of)).cloned();
        let lines = known.into_iter().flat_map(|alone| alone.says);
        let lines = lines.map(|text| LogLine { at, stream: LogStream::Stderr, text });
        if let Some(container) = self.containers.get_mut(name) {
            container.logs.extend(lines);
        }
    }

    fn staged(
        &self,
        clone: &RehearsalClone,
        from: &Blueprint,
        with: &Remake,
        at: Timestamp,
    ) -> FakeContainer {
        let mut staged = self.made(&clone.name, from, with, at);
        let facts = &mut staged.facts;
        facts.labels = [
            (REHEARSAL_LABEL.to_owned(), clone.expires_at.to_rfc3339()),
            (REHEARSAL_INCIDENT_LABEL.to_owned(), clone.incident.to_string()),
        ]
        .into();
        facts.id = format!("{}-clone", facts.id);
        facts.restart_policy = RestartPolicy::No;
        facts.published_ports.clear();
        facts.networks = Vec::<NetworkAttachment>::new();
        "none".clone_into(&mut facts.network_mode);
        facts.mounts.iter_mut().for_each(|mount| mount.writable = false);
        let own = clone.own_memory_bytes.or(facts.limits.memory_bytes).unwrap_or(u64::MAX);
        facts.limits.memory_bytes = Some(own.min(clone.memory_bytes));
        staged.files.clone_from(&clone.files);
        let known = rehearsed_container(&clone.name).and_then(|of| self.alone.get(of));
        if let Some(alone) = known {
            staged.behaviour = alone.behaviour.clone();
        }
        staged
    }
}

impl FakeContainer {
    /// The files that a clone sees otherwise, by their paths on the host.
    fn seen_files(&self) -> Vec<(String, Vec<u8>)> {
        let on_host = |file: &CloneFile| {
            let mut mounts = self.facts.mounts.iter();
            let mount = mounts.find(|mount| mount.destination == file.mount)?;
            let rest = file.path.strip_prefix(&file.mount)?;
            Some((format!("{}{rest}", mount.source), file.bytes.clone()))
        };
        self.files.iter().filter_map(on_host).collect()
    }
}

#[async_trait]
impl Rehearsals for FakeWorld {
    async fn stage(
        &self,
        clone: &RehearsalClone,
        from: &Blueprint,
        with: &Remake,
    ) -> WorldResult<()> {
        let now = self.now();
        self.call("stage", &clone.name, |state| {
            if state.containers.contains_key(&clone.name) {
                return Err(WorldError::Conflict { what: format!("container `{}`", clone.name) });
            }
            let staged = state.staged(clone, from, with, now);
            state.containers.insert(clone.name.clone(), staged);
            state.emit(now, &clone.name, RuntimeEventKind::Create);
            Ok(())
        })
    }

    async fn unstage(&self, name: &str) -> WorldResult<()> {
        self.in_time("unstage", name).await?;
        let now = self.now();
        self.call("unstage", name, |state| {
            let Some(known) = state.containers.get(name) else { return Ok(()) };
            if !known.facts.labels.contains_key(REHEARSAL_LABEL) {
                let what = format!("the removal of container `{name}`");
                return Err(WorldError::Refused { what, why: "it is no clone".to_owned() });
            }
            state.containers.remove(name);
            state.emit(now, name, RuntimeEventKind::Destroy);
            Ok(())
        })
    }
}
