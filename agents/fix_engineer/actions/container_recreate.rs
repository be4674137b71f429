//! `container.recreate`: makes a container again with what it had when it last worked.
//!
//! The container that does not work is kept beside the new one, stopped and under another name,
//! until the new one has proved itself; only then does it go, and none of its volumes. Everything
//! is decided from what is there now (which name has which id and mark), so that an interruption
//! between any two calls leaves nothing that applying or undoing again does not finish.

mod planning;

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Act, Reversal};
use crate::fix_engineer::remembered::Remembered;
use crate::model::{
    Blueprint, Captured, ContainerFacts, ContainerStatus, ImageName, REMADE_LABEL, Remake,
    SecretText, TargetId, aside_name,
};
use crate::ports::{World, WorldError, WorldResult, if_there};

pub(super) use planning::plan;

/// Makes a container again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRecreate {
    /// The container's name.
    pub container: String,
    /// What becomes as it was.
    pub restores: Restores,
    /// Tells what this fix made from everything else.
    pub mark: String,
    /// Time between the stop signal and killing, in seconds.
    pub stop_timeout_secs: u32,
}

/// What becomes as it was when the container last worked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restores {
    /// Its image.
    Image(ImageName),
    /// Variables that it has lost.
    Variables {
        /// Their names.
        names: Vec<String>,
        /// Their values; kept in memory and in the backup, never in a record that is shown.
        #[serde(skip)]
        values: BTreeMap<String, SecretText>,
    },
}

/// Beside the time to stop, what it takes to make and start one, in seconds.
const MAKING_SECS: u64 = 5;
/// After the mark of what an undo made because nothing was kept any more.
const UNDONE: &str = "-undone";

#[async_trait]
impl Act for ContainerRecreate {
    fn target(&self) -> TargetId {
        TargetId::container(&self.container)
    }

    fn describe(&self) -> String {
        let container = &self.container;
        match &self.restores {
            Restores::Image(image) => format!(
                "make container `{container}` again from the image it worked with, {} ({})",
                image.name,
                short(&image.id)
            ),
            Restores::Variables { names, .. } => {
                format!("make container `{container}` again with {}", names.join(", "))
            }
        }
    }

    fn reversal(&self) -> Reversal {
        Reversal::Undo
    }

    fn by_hand(&self) -> String {
        let container = &self.container;
        match &self.restores {
            Restores::Image(image) => format!(
                "docker tag {} {} and make container `{container}` again, such as by `docker \
                 compose up --detach`",
                image.id, image.name
            ),
            Restores::Variables { names, .. } => format!(
                "give container `{container}` {} in its compose file or command line and make it \
                 again, such as by `docker compose up --detach`",
                names.join(", ")
            ),
        }
    }

    /// By the old one's id, whatever it is called by now; nothing is removed.
    fn undo_by_hand(&self, before: &Captured) -> Option<String> {
        let (blueprint, _) = made(before).ok()?;
        let (name, old) = (&self.container, short(&blueprint.id));
        Some(format!(
            "docker stop {name}; docker rename {name} {name}-failed; docker rename {old} {name} && \
             docker start {name}"
        ))
    }

    fn interruption_secs(&self) -> u64 {
        u64::from(self.stop_timeout_secs) + MAKING_SECS
    }

    fn recall(&mut self, remembered: &Remembered) {
        if let (Restores::Variables { names, values }, Some(make)) =
            (&mut self.restores, &remembered.make)
        {
            let known = |name: &String| Some((name.clone(), make.environment.get(name)?.clone()));
            *values = names.iter().filter_map(known).collect();
        }
    }

    fn stop_timeout_secs(&self) -> u32 {
        self.stop_timeout_secs
    }

    async fn capture(&self, world: &World) -> WorldResult<Captured> {
        let blueprint = Box::new(world.runtime.blueprint(&self.container).await?);
        let (image, variables) = match &self.restores {
            Restores::Image(image) => (Some(image.clone()), BTreeMap::new()),
            Restores::Variables { names, values } => {
                if let Some(unknown) = names.iter().find(|name| !values.contains_key(*name)) {
                    return Err(WorldError::NotFound { what: format!("the value of {unknown}") });
                }
                (None, values.clone())
            }
        };
        let mark = self.mark.clone();
        Ok(Captured::Made { blueprint, remake: Remake { image, variables, mark } })
    }

    async fn is_applied(&self, world: &World, before: &Captured) -> WorldResult<bool> {
        let (blueprint, remake) = made(before)?;
        let Some(now) = found(world, &self.container).await? else { return Ok(false) };
        let on_all = blueprint
            .networks
            .iter()
            .all(|wanted| now.networks.iter().any(|network| network.network == *wanted));
        let was_started = now.started_at.is_some() && now.status != ContainerStatus::Created;
        Ok(is_marked(&now, &remake.mark) && on_all && was_started)
    }

    /// Whatever is there, undoing puts the old container back; one that nobody touched yet is it.
    async fn is_begun(&self, world: &World, before: &Captured) -> WorldResult<bool> {
        Ok(self.overtaken(world, before).await?.is_none())
    }

    async fn apply(&self, world: &World, before: &Captured) -> WorldResult<Option<String>> {
        let (blueprint, remake) = made(before)?;
        let runtime = &world.runtime;
        let now = found(world, &self.container).await?;
        if now.as_ref().is_none_or(|now| !is_marked(now, &remake.mark)) {
            // Whoever made another one in between has the name.
            runtime
                .set_aside(&self.container, &blueprint.id, &self.aside(), self.stop_timeout_secs)
                .await?;
        }
        runtime.make(&self.container, blueprint, remake).await?;
        runtime.start(&self.container).await.map(|()| None)
    }

    async fn undo(&self, world: &World, before: &Captured) -> WorldResult<()> {
        let (blueprint, remake) = made(before)?;
        let runtime = &world.runtime;
        let is_kept = self.is_kept(world, blueprint).await?;
        if !is_kept && !blueprint.image_id.is_empty() {
            // What works is not taken away for what can no longer be made.
            runtime.image(&blueprint.image_id).await?;
        }
        if let Some(now) = found(world, &self.container).await?
            && is_marked(&now, &remake.mark)
        {
            runtime.stop(&self.container, self.stop_timeout_secs).await?;
            runtime.remove(&self.container, &now.id).await?;
        }
        if is_kept {
            runtime.put_back(&self.aside(), &self.container, blueprint).await?;
        } else {
            let mark = format!("{}{UNDONE}", remake.mark);
            let as_it_was = Remake { mark, ..Remake::default() };
            runtime.make(&self.container, blueprint, &as_it_was).await?;
        }
        if blueprint.running { runtime.start(&self.container).await } else { Ok(()) }
    }

    async fn settle(&self, world: &World, before: &Captured) -> WorldResult<()> {
        let (blueprint, _) = made(before)?;
        world.runtime.remove(&self.aside(), &blueprint.id).await
    }

    async fn overtaken(&self, world: &World, before: &Captured) -> WorldResult<Option<String>> {
        let (blueprint, remake) = made(before)?;
        let Some(now) = found(world, &self.container).await? else {
            let kept = self.is_kept(world, blueprint).await?;
            return Ok((!kept).then(|| format!("container `{}` was removed since", self.container)));
        };
        let ours = now.id == blueprint.id
            || is_marked(&now, &remake.mark)
            || is_marked(&now, &format!("{}{UNDONE}", remake.mark));
        Ok((!ours).then(|| {
            format!(
                "container `{}` was made anew since; what is left of the one before is called `{}`",
                self.container,
                self.aside()
            )
        }))
    }
}

impl ContainerRecreate {
    fn aside(&self) -> String {
        aside_name(&self.container, &self.mark)
    }

    /// Whether the old container is still there, under either of its names.
    async fn is_kept(&self, world: &World, blueprint: &Blueprint) -> WorldResult<bool> {
        for name in [&self.container, &self.aside()] {
            if found(world, name).await?.is_some_and(|now| now.id == blueprint.id) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn made(before: &Captured) -> WorldResult<(&Blueprint, &Remake)> {
    match before {
        Captured::Made { blueprint, remake } => Ok((blueprint, remake)),
        _ => Err(super::wrong_capture("how a container was made")),
    }
}

fn is_marked(facts: &ContainerFacts, mark: &str) -> bool {
    facts.labels.get(REMADE_LABEL).is_some_and(|label| label == mark)
}

/// The container of that name, if there is one.
async fn found(world: &World, name: &str) -> WorldResult<Option<ContainerFacts>> {
    if_there(world.runtime.container(name).await)
}

/// The beginning of an image's id, as Docker shows it.
fn short(id: &str) -> &str {
    let id = id.trim_start_matches("sha256:");
    id.get(..12).unwrap_or(id)
}

#[cfg(test)]
mod tests;
