//! `config.set`: turns one declared setting in a file, within its declared limits.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Act, Reversal};
use crate::fix_engineer::config_file;
use crate::model::{Captured, FileContent, TargetId};
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
