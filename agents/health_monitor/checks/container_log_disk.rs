//! `container.log_disk`: whether its own logs have filled the disk that they are on.
//!
//! A disk that something else fills is the host's trouble (`host.disk`), not the container's.

use super::{Check, Context, Measured};
use crate::model::{LogDisk, LogSurvey, TargetState, Verdict, clean};

pub(super) struct ContainerLogDisk;

/// A disk fuller than this is full, share of 1: the next burst of lines finds no room.
const FULL: f64 = 0.97;

impl Check for ContainerLogDisk {
    fn name(&self) -> &'static str {
        "container.log_disk"
    }

    fn judge(&self, state: &TargetState, _: &Context<'_>) -> Vec<Measured> {
        let Some(facts) = state.container() else { return vec![] };
        let fullest = facts.log_disks.iter().max_by(|a, b| {
            is_full(a).cmp(&is_full(b)).then(a.survey.used().total_cmp(&b.survey.used()))
        });
        let Some(disk) = fullest else { return vec![] };
        let text = format!(
            "its logs hold {} MiB of the {} MiB of the disk of {}, {} MiB are free",
            disk.survey.logs_bytes() >> 20,
            disk.survey.total_bytes >> 20,
            clean(&disk.folder, 200),
            disk.survey.available_bytes >> 20
        );
        let (word, verdict) =
            if is_full(disk) { ("full", Verdict::Critical) } else { ("ok", Verdict::Ok) };
        vec![Measured::word(self.name(), word, verdict, &text)]
    }
}

fn is_full(disk: &LogDisk) -> bool {
    let survey = &disk.survey;
    let own = survey.logs_bytes() as f64 >= LogSurvey::WORTHWHILE * survey.total_bytes as f64;
    survey.total_bytes > 0 && own && survey.used() >= FULL
}
