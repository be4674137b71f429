//! `container.health_check`: whether Docker's health check itself can run.
//!
//! A check whose program is missing, may not be run or crashes says nothing about the
//! service, however often it fails. Exit codes: 126 and 127 are a shell's "cannot execute"
//! and "not found" (POSIX, "Exit Status for Commands"), 128 and above an end by signal; Docker
//! gives -1 where the program could not be started at all.

use super::{Check, Context, Measured};
use crate::model::{HealthStatus, ProbeOutput, TargetState, Verdict};

pub(super) struct ContainerHealthCheck;

impl Check for ContainerHealthCheck {
    fn name(&self) -> &'static str {
        "container.health_check"
    }

    fn judge(&self, state: &TargetState, _context: &Context<'_>) -> Vec<Measured> {
        let Some(facts) = state.container().filter(|facts| facts.is_up()) else { return vec![] };
        if facts.health != Some(HealthStatus::Unhealthy) {
            return vec![];
        }
        let failed: Vec<&ProbeOutput> =
            facts.health_log.iter().filter(|probe| probe.exit_code != 0).collect();
        let broken = !failed.is_empty() && failed.iter().all(|probe| cannot_run(probe));
        let (word, detail) = if broken {
            ("broken", "the health check itself cannot run, so it says nothing about the service")
        } else {
            ("works", "the health check runs")
        };
        // Its failing is `container.health`'s finding; this only says what that is worth.
        vec![Measured::word(self.name(), word, Verdict::Ok, detail)]
    }
}

/// A probe that Docker ended for being slow exits with -1 as well, and says so: that is the
/// service's slowness.
fn cannot_run(probe: &ProbeOutput) -> bool {
    match probe.exit_code {
        126 | 127 | 128.. => true,
        -1 => !probe.output.contains("exceeded timeout"),
        _ => false,
    }
}
