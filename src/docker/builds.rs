//! What the image builder keeps: how much of it nobody needs, and its removal.
//!
//! Only what is dangling, as Docker calls it: no image, no other record and no build in progress
//! uses it, and it is neither the builder's own nor a frontend's.

use std::collections::HashMap;
use std::time::Duration;

use bollard::query_parameters::PruneBuildOptionsBuilder;
use chrono::Utc;
use selfheal_agents::model::Timestamp;
use selfheal_agents::ports::{BuildCache, WorldError, WorldResult};
use serde::Deserialize;

use super::Docker;
use super::address::Address;

/// Only the builder's cache, where the engine can choose; the rest takes long to add up.
const USAGE: &str = "/system/df?type=build-cache&verbose=1";
/// Kinds of records that an ordinary prune leaves.
/// Source: BuildKit, `cache/manager.go`, as of the engine's release 20.10.
const KEPT: [&str; 2] = ["internal", "frontend"];

/// What the engine tells of itself.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    docker_root_dir: String,
}

/// The answer, as engines up to 28 give it, and later ones.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Usage {
    build_cache: Option<Vec<Cached>>,
    build_cache_usage: Option<Items>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Items {
    items: Option<Vec<Cached>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Cached {
    r#type: String,
    in_use: bool,
    shared: bool,
    size: i64,
    created_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
}

impl Docker {
    /// What nobody needs and nobody used for this long.
    pub(super) async fn builds_unused_for(&self, unused_for: Duration) -> WorldResult<BuildCache> {
        let what = "the size of the build cache";
        if !matches!(self.wire.address, Address::Unix(_)) {
            let why = "its engine is on another machine, whose disks are not seen".to_owned();
            return Err(WorldError::Refused { what: what.to_owned(), why });
        }
        let asked = self.wire.get_json::<Info>("/info");
        let folder = self.within(what, self.limits.read, asked).await?.docker_root_dir;
        let asked = self.wire.get_json::<Usage>(USAGE);
        let usage = self.within(what, self.limits.read, asked).await?;
        Ok(BuildCache { bytes: unneeded(&usage, Utc::now() - unused_for), folder })
    }

    /// Removes that; answers how many bytes it freed.
    pub(super) async fn prune_builds(&self, unused_for: Duration) -> WorldResult<u64> {
        let until = format!("{}s", unused_for.as_secs());
        let filters = HashMap::from([("until", vec![until.as_str()])]);
        let options = PruneBuildOptionsBuilder::default().filters(&filters).build();
        let what = "the pruning of the build cache";
        let pruned = self.client.prune_build(Some(options));
        let answer = self.changing(what, self.limits.change, pruned).await?;
        Ok(answer.space_reclaimed.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0))
    }
}

fn unneeded(usage: &Usage, before: Timestamp) -> u64 {
    let later = usage.build_cache_usage.as_ref().and_then(|usage| usage.items.as_ref());
    let records = usage.build_cache.as_ref().or(later).into_iter().flatten();
    let is_unneeded = |record: &&Cached| {
        let used_at = record.last_used_at.or(record.created_at);
        !record.in_use
            && !record.shared
            && !KEPT.contains(&record.r#type.as_str())
            && used_at.is_none_or(|at| at <= before)
    };
    records.filter(is_unneeded).filter_map(|record| u64::try_from(record.size).ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDS: &str = r#"[
        {"ID": "a", "Type": "regular", "InUse": false, "Shared": false, "Size": 1000,
         "CreatedAt": "2026-11-01T08:00:00Z", "LastUsedAt": "2026-11-02T08:00:00Z"},
        {"ID": "b", "Type": "source.local", "Size": 500, "CreatedAt": "2026-11-01T08:00:00Z",
         "LastUsedAt": null},
        {"ID": "c", "Type": "regular", "Size": 7, "LastUsedAt": "2026-11-21T08:00:00Z"},
        {"ID": "d", "Type": "regular", "InUse": true, "Size": 7},
        {"ID": "e", "Type": "regular", "Shared": true, "Size": 7},
        {"ID": "f", "Type": "internal", "Size": 7}
    ]"#;

    fn of(answer: &str) -> u64 {
        let before = "2026-11-14T08:00:00Z".parse().unwrap();
        unneeded(&serde_json::from_str(answer).unwrap(), before)
    }

    #[test]
    fn what_no_image_needs_and_nobody_used_is_added_up_in_both_forms_of_the_answer() {
        assert_eq!(of(&format!(r#"{{"BuildCache": {RECORDS}}}"#)), 1500);
        assert_eq!(of(&format!(r#"{{"BuildCacheUsage": {{"Items": {RECORDS}}}}}"#)), 1500);
        assert_eq!(of(r#"{"BuildCache": null, "LayersSize": 12}"#), 0);
    }
}
