//! `host.disk:MOUNT`, `host.inodes:MOUNT`: room on each file system.
//!
//! Judged by space rather than by failed writes: those come seconds after the disk is full.

use super::{Check, Context, Measured, percent};
use crate::model::{DiskFacts, Facts, TargetState, clean};

pub(super) struct HostDisk;

impl Check for HostDisk {
    fn name(&self) -> &'static str {
        "host.disk"
    }

    fn judge(&self, state: &TargetState, context: &Context<'_>) -> Vec<Measured> {
        let Ok(Facts::Host(facts)) = &state.facts else { return vec![] };
        facts.disks.iter().flat_map(|disk| of_disk(disk, context)).collect()
    }
}

fn of_disk(disk: &DiskFacts, context: &Context<'_>) -> Vec<Measured> {
    let mount = clean(&disk.mount, 200);
    let used = |total: u64, free: u64| percent(total.saturating_sub(free) as f64, total as f64);
    let space = used(disk.total_bytes, disk.available_bytes).map(|share| {
        let text =
            format!("{share:.1}% of {mount} is in use, {} MiB free", disk.available_bytes >> 20);
        let check = format!("host.disk:{mount}");
        Measured::number(&check, share, "%", context.thresholds.host_disk, text)
    });
    let inodes = disk.total_inodes.zip(disk.free_inodes).and_then(|(total, free)| {
        let share = used(total, free)?;
        let text = format!("{share:.1}% of the inodes of {mount} are in use, {free} free");
        let check = format!("host.inodes:{mount}");
        Some(Measured::number(&check, share, "%", context.thresholds.host_inodes, text))
    });
    space.into_iter().chain(inodes).collect()
}
