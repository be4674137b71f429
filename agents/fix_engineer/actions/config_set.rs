//! `config.set`: turns one declared setting in a file, within its declared limits.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Act, Action, ContainerSignal, Reversal};
use crate::fix_engineer::plan::{PlanRequest, Planned, repair};
use crate::fix_engineer::config_file;
use crate::fix_engineer::turning::turned;
use crate::model::{ApplyMethod, Captured, FileContent, Step, StepRole, TargetId};
use crate::ports::{World, WorldError, WorldResult};

/// Sets a number in a configuration file, keeping comments and layout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigSet {
    /// Whose behaviour it changes.
    pub target: TargetId,
    /// The file on the host.
    pub file: String,
    /// The key; dots separate levels.
    pub key: String,
    /// The value it must have now; another value means that somebody turned it meanwhile.
    pub from: f64,
    /// The value to set.
    pub to: f64,
}

#[async_trait]
impl Act for ConfigSet {
    fn target(&self) -> TargetId {
        self.target.clone()
    }

    fn describe(&self) -> String {
        format!("set `{}` in {} from {} to {}", self.key, self.file, self.from, self.to)
    }

    fn reversal(&self) -> Reversal {
        Reversal::Undo
    }

    fn by_hand(&self) -> String {
        format!("edit {}: set {} to {}", self.file, self.key, self.to)
    }

    fn undo_by_hand(&self, _before: &Captured) -> Option<String> {
        Some(format!("edit {}: set {} back to {}", self.file, self.key, self.from))
    }

    fn interruption_secs(&self) -> u64 {
        0
    }

    async fn capture(&self, world: &World) -> WorldResult<Captured> {
        world.files.read(&self.file).await.map(Captured::File)
    }

    async fn is_applied(&self, world: &World, _before: &Captured) -> WorldResult<bool> {
        let now = world.files.read(&self.file).await?;
        Ok(self.value_in(&now)?.to_bits() == self.to.to_bits())
    }

    async fn apply(&self, world: &World, _before: &Captured) -> WorldResult<Option<String>> {
        let now = world.files.read(&self.file).await?;
        let value = self.value_in(&now)?;
        if value.to_bits() != self.from.to_bits() {
            let what =
                format!("`{}` in {} (it is {value}, not {})", self.key, self.file, self.from);
            return Err(WorldError::Conflict { what });
        }
        let bytes = config_file::set_number(&self.file, &now.bytes, &self.key, self.to)
            .map_err(|error| self.refused(&error))?;
        let sha256 = config_file::sha256(&bytes);
        let changed = FileContent { bytes, sha256: sha256.clone(), ..now.clone() };
        world.files.replace(&changed, Some(&now.sha256)).await?;
        Ok(Some(sha256))
    }

    async fn undo(&self, world: &World, before: &Captured) -> WorldResult<()> {
        super::restore_file(world, before).await
    }
}

impl ConfigSet {
    fn value_in(&self, content: &FileContent) -> WorldResult<f64> {
        config_file::number(&self.file, &content.bytes, &self.key)
            .map_err(|error| self.refused(&error))
    }

    fn refused(&self, error: &config_file::EditError) -> WorldError {
        WorldError::Refused { what: format!("changing {}", self.file), why: error.to_string() }
    }
}

/// A step of one fix, when the runbook does not say.
const DEFAULT_FACTOR: f64 = 1.5;

pub(super) async fn plan(request: &PlanRequest<'_>) -> Planned {
    let role = request.template.parameters.role.ok_or("the runbook names no role")?;
    let facts = request.container()?;
    let container = TargetId::container(&facts.name);
    let tunable = request
        .workshop
        .evidence
        .targets
        .get(&container)
        .into_iter()
        .flat_map(|target| &target.tunables)
        .find(|tunable| tunable.role == role)
        .ok_or_else(|| format!("no tunable of role `{}` is declared for it", role.as_str()))?;
    let content = request
        .workshop
        .world
        .files
        .read(&tunable.file)
        .await
        .map_err(|error| error.to_string())?;
    let from = config_file::number(&tunable.file, &content.bytes, &tunable.key)
        .map_err(|error| format!("{}: {error}", tunable.file))?;
    let to = turned(tunable, from, request.template.parameters.factor.unwrap_or(DEFAULT_FACTOR))?;
    let set = ConfigSet {
        target: container,
        file: tunable.file.clone(),
        key: tunable.key.clone(),
        from,
        to,
    };
    let mut steps = vec![repair(Action::ConfigSet(set))];
    match &tunable.apply {
        ApplyMethod::Signal(signal) if facts.is_up() => {
            let (container, signal) = (facts.name.clone(), signal.clone());
            let action = Action::ContainerSignal(ContainerSignal { container, signal });
            steps.push(Step { action, role: StepRole::Activate });
        }
        // A program that does not run reads its settings when it starts.
        ApplyMethod::Restart | ApplyMethod::Signal(_) => steps.push(request.activation()?),
        ApplyMethod::None => {}
    }
    Ok(steps)
}
