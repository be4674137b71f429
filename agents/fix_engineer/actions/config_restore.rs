//! `config.restore`: puts back the last content with which the container was healthy.

use std::path::Path;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Act, Action, Reversal};
use crate::fix_engineer::plan::{PlanRequest, Planned, Workshop, repair};
use crate::fix_engineer::config_file;
use crate::model::{ContainerFacts, Captured, FileContent, TargetId};
use crate::ports::{World, WorldResult};

/// Restores a configuration file as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigRestore {
    /// The container that reads it.
    pub target: TargetId,
    /// The file on the host.
    pub file: String,
    /// The good content: text, since only text files are remembered.
    pub good: String,
    /// When the container was last healthy with it, for the record.
    pub good_since: crate::model::Timestamp,
}

#[async_trait]
impl Act for ConfigRestore {
    fn target(&self) -> TargetId {
        self.target.clone()
    }

    fn describe(&self) -> String {
        format!("restore {} as it was when `{}` last worked", self.file, self.target)
    }

    fn reversal(&self) -> Reversal {
        Reversal::Undo
    }

    fn by_hand(&self) -> String {
        format!("restore {} from its last good version", self.file)
    }

    fn undo_by_hand(&self, before: &Captured) -> Option<String> {
        let Captured::File(file) = before else { return None };
        let checksum = file.sha256.get(..12).unwrap_or(&file.sha256);
        Some(format!("put back {} as it was (SHA-256 {checksum}..., in the backup)", self.file))
    }

    fn interruption_secs(&self) -> u64 {
        0
    }

    async fn capture(&self, world: &World) -> WorldResult<Captured> {
        world.files.read(&self.file).await.map(Captured::File)
    }

    async fn is_applied(&self, world: &World, _before: &Captured) -> WorldResult<bool> {
        Ok(world.files.read(&self.file).await?.bytes == self.good.as_bytes())
    }

    async fn apply(&self, world: &World, _before: &Captured) -> WorldResult<Option<String>> {
        let now = world.files.read(&self.file).await?;
        let bytes = self.good.clone().into_bytes();
        let sha256 = config_file::sha256(&bytes);
        let restored = FileContent { bytes, sha256: sha256.clone(), ..now.clone() };
        world.files.replace(&restored, Some(&now.sha256)).await?;
        Ok(Some(sha256))
    }

    async fn undo(&self, world: &World, before: &Captured) -> WorldResult<()> {
        super::restore_file(world, before).await
    }
}

/// Whether the program may have changed the file itself: then it is its data, and restoring
/// it would lose some. A file mounted by itself, read-only, or named by what is wrong is
/// configuration.
fn may_write(request: &PlanRequest<'_>, facts: &ContainerFacts, file: &str) -> bool {
    let mount = facts
        .mounts
        .iter()
        .filter(|mount| mount.bind && Path::new(file).starts_with(&mount.source))
        .max_by_key(|mount| mount.source.len());
    let settings = mount.is_none_or(|mount| !mount.writable || mount.source == file);
    let name = file.rsplit('/').next().unwrap_or(file);
    let is_named = || {
        let evidence = request.workshop.evidence;
        let its = |id: &TargetId| {
            evidence.container_of(id).is_some_and(|c| c.name() == facts.name)
        };
        evidence
            .findings
            .iter()
            .filter(|finding| its(&finding.target))
            .any(|f| f.message.contains(name) || f.samples.iter().any(|s| s.contains(name)))
    };
    !settings && !is_named()
}

pub(super) async fn plan(request: &PlanRequest<'_>) -> Planned {
    let facts = request.container()?;
    let target = TargetId::container(&facts.name);
    let mut steps = vec![];
    let Workshop { world, remembered, .. } = request.workshop;
    for path in remembered.paths() {
        let now = world.files.read(path).await.map_err(|error| error.to_string())?;
        let better = remembered.better_than(path, &now.sha256);
        if let Some(good) = better.filter(|_| !may_write(request, facts, path)) {
            steps.push(repair(Action::ConfigRestore(ConfigRestore {
                target: target.clone(),
                file: good.path.clone(),
                good: good.content.clone(),
                good_since: good.seen_at,
            })));
        }
    }
    if steps.is_empty() {
        return Err("no configuration file that only people change differs from when it last worked".to_owned());
    }
    steps.push(request.activation()?);
    Ok(steps)
}
