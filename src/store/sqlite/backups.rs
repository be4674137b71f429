//! Backups: all of it is in the vault, nothing in the database, so that a damaged
//! database leaves every backup listed and usable.

use std::sync::Arc;

use async_trait::async_trait;
use selfheal_agents::model::{Backup, BackupId};
use selfheal_agents::ports::{Backups, StoreError, StoreResult};

use super::SqliteStore;
use crate::store::vault::Vault;

impl SqliteStore {
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
impl Backups for SqliteStore {
    async fn save_backup(&self, backup: &Backup) -> StoreResult<BackupId> {
        self.writer()?;
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
        let reserve = Arc::clone(&self.writer()?.reserve);
        let backup = backup.clone();
        self.in_vault(move |vault| match vault.update(&backup) {
            // That a fix was taken back must be known even on a full disk.
            Err(StoreError::Unavailable(_)) if reserve.release() => vault.update(&backup),
            done => done,
        })
        .await
    }
}
