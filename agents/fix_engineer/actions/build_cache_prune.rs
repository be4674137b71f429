//! `build_cache.prune`: removes what the image builder kept and nobody needs any more.
//!
//! Only what is dangling, that is what no image and no build in progress uses, and only what nobody
//! used for a week: what somebody builds with each day stays. Images, containers and volumes are
//! not touched.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Act, Action, Reversal};
use crate::fix_engineer::plan::{PlanRequest, Planned, repair};
use crate::model::{Captured, DiskFacts, Facts, TargetId};
use crate::ports::{World, WorldResult};

/// Prunes the dangling cache of the image builder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildCachePrune {
    /// What was used within this time stays, in hours.
    pub unused_hours: u32,
    /// How much it held when it was planned, in bytes.
    pub bytes: u64,
}

const MIB: u64 = 1024 * 1024;

impl BuildCachePrune {
    fn unused_for(&self) -> Duration {
        Duration::from_hours(self.unused_hours.into())
    }
}

#[async_trait]
impl Act for BuildCachePrune {
    fn target(&self) -> TargetId {
        TargetId::host()
    }

    fn describe(&self) -> String {
        format!(
            "prune the image builder's dangling cache that nobody used for {} days ({} MiB)",
            self.unused_hours / 24,
            self.bytes / MIB
        )
    }

    fn reversal(&self) -> Reversal {
        Reversal::PostCondition("the image builder's dangling cache takes less room than before")
    }

    fn by_hand(&self) -> String {
        format!("docker builder prune --filter until={}h", self.unused_hours)
    }

    fn interruption_secs(&self) -> u64 {
        0
    }

    async fn capture(&self, world: &World) -> WorldResult<Captured> {
        let bytes = world.runtime.build_cache(self.unused_for()).await?.bytes;
        Ok(Captured::BuildCache { bytes })
    }

    async fn is_applied(&self, world: &World, before: &Captured) -> WorldResult<bool> {
        let Captured::BuildCache { bytes } = before else {
            return Err(super::wrong_capture("the size of a cache"));
        };
        let now = world.runtime.build_cache(self.unused_for()).await?.bytes;
        Ok(now == 0 || now < *bytes)
    }

    async fn apply(&self, world: &World, _before: &Captured) -> WorldResult<Option<String>> {
        let freed = world.runtime.prune_build_cache(self.unused_for()).await?;
        Ok(Some(format!("{} MiB were freed", freed / MIB)))
    }

    async fn undo(&self, _world: &World, _before: &Captured) -> WorldResult<()> {
        Ok(())
    }
}

/// What was used within this time stays.
const UNUSED_HOURS: u32 = 7 * 24;
/// A disk fuller than this is full, share of 1.
const FULL: f64 = 0.85;
/// Less is not worth a build that has to begin from nothing, in bytes.
const LEAST: u64 = 512 * MIB;

pub(super) async fn plan(request: &PlanRequest<'_>) -> Planned {
    if request.diagnosis.blamed != TargetId::host() {
        return Err("only the host has a build cache".to_owned());
    }
    let mut prune = BuildCachePrune { unused_hours: UNUSED_HOURS, bytes: 0 };
    let asked = request.workshop.world.runtime.build_cache(prune.unused_for()).await;
    let cache = asked.map_err(|error| error.to_string())?;
    if !is_full(request, &cache.folder) {
        return Err(format!("the disk of {}, which Docker keeps all in, has room", cache.folder));
    }
    prune.bytes = cache.bytes;
    if prune.bytes < LEAST {
        return Err(format!(
            "the image builder's cache has only {} MiB that nobody used for a week",
            prune.bytes / MIB
        ));
    }
    Ok(vec![repair(Action::BuildCachePrune(prune))])
}

/// Whether there is hardly any room where that folder is; not where nobody sees that disk.
fn is_full(request: &PlanRequest<'_>, folder: &str) -> bool {
    let report = request.workshop.evidence.report.target(&TargetId::host());
    let Some(Ok(Facts::Host(host))) = report.map(|report| &report.state.facts) else {
        return false;
    };
    let holds = |disk: &&DiskFacts| Path::new(folder).starts_with(&disk.mount);
    let disk = host.disks.iter().filter(holds).max_by_key(|disk| disk.mount.len());
    disk.is_some_and(|disk| {
        let free = disk.available_bytes as f64;
        disk.total_bytes > 0 && free < (1.0 - FULL) * disk.total_bytes as f64
    })
}
