//! Backups: all of it is in the vault, nothing in the database, so that a damaged
//! database leaves every backup listed and usable.

use std::sync::Arc;

use async_trait::async_trait;
use selfheal_agents::model::{Backup, BackupId};
use selfheal_agents::ports::{Backups, StoreError, StoreResult};

use super::SqlStore;
use crate::store::vault::Vault;

impl SqlStore {
    pub(super) async fn in_vault<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Vault) -> StoreResult<T> + Send + 'static,
    ) -> StoreResult<T> {
        let vault = Arc::clone(&self.vault);
        tokio::task::spawn_blocking(move || work(&vault))
            .await
            .unwrap_or_else(|error| Err(StoreError::Unavailable(error.to_string())))
    }
}

#[async_trait]
impl Backups for SqlStore {
    async fn save_backup(&self, backup: &Backup) -> StoreResult<BackupId> {
        self.write_time()?;
        let backup = backup.clone();
        self.in_vault(move |vault| vault.save(&backup)).await
    }

    async fn backup(&self, id: &BackupId) -> StoreResult<Option<Backup>> {
        let id = id.clone();
        self.in_vault(move |vault| vault.load(&id)).await
    }

    async fn backups(&self, limit: usize) -> StoreResult<Vec<Backup>> {
        self.in_vault(move |vault| vault.list(limit)).await
    }

    async fn update_backup(&self, backup: &Backup) -> StoreResult<()> {
        self.write_time()?;
        let reserve = self.reserve();
        let backup = backup.clone();
        self.in_vault(move |vault| match vault.update(&backup) {
            // That a fix was taken back must be known even on a full disk.
            Err(StoreError::Unavailable(_))
                if reserve.as_ref().is_some_and(|reserve| reserve.release()) =>
            {
                vault.update(&backup)
            }
            done => done,
        })
        .await
    }
}
