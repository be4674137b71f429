//! The other nodes by the settings.

use std::sync::Arc;

use selfheal_agents::ports::{self, Alone};

use crate::config::Settings;
use crate::fleet::Fleet;
use crate::store::SqlStore;

/// The fleet that the settings name; `None` where this Selfheal is alone.
pub(super) async fn of(settings: &Settings, store: &SqlStore) -> anyhow::Result<Option<Fleet>> {
    let url = settings.store.postgres().map_err(anyhow::Error::msg)?;
    let Some(url) = url.filter(|_| settings.fleet.is_on()) else { return Ok(None) };
    Ok(Some(Fleet::new(settings, &url, store.history().await?)))
}

/// As the coordinator sees it.
pub(super) fn port(fleet: Option<&Fleet>) -> Arc<dyn ports::Fleet> {
    match fleet {
        Some(fleet) => Arc::new(fleet.clone()),
        None => Arc::new(Alone),
    }
}
