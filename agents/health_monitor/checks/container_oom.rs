//! `container.oom`: how often the kernel killed one of its processes for memory.

use std::time::Duration;

use super::super::life::{deaths, oom_episodes};
use super::{Check, Context, Measured};
use crate::model::{TargetState, Verdict};

pub(super) struct ContainerOom;

const WINDOW: Duration = Duration::from_mins(10);
/// Twice within this time is no accident.
const AGAIN_SECS: i64 = 300;

impl Check for ContainerOom {
    fn name(&self) -> &'static str {
        "container.oom"
    }

    fn judge(&self, state: &TargetState, context: &Context<'_>) -> Vec<Measured> {
        let Some(facts) = state.container() else { return vec![] };
        let episodes = oom_episodes(&state.events, context.now, WINDOW);
        // Docker's flag is the only witness where Selfheal was away; it misses children.
        let flagged = facts.oom_killed
            && facts
                .finished_at
                .is_some_and(|at| context.now - at <= chrono::TimeDelta::minutes(10));
        let count = episodes.len().max(usize::from(flagged));
        let again = episodes.windows(2).any(|pair| (pair[1] - pair[0]).num_seconds() <= AGAIN_SECS);
        let down = facts.is_down() && {
            let last = deaths(&state.events).pop();
            facts.oom_killed || last.is_none_or(|death| death.is_crash())
        };
        let verdict = match count {
            0 => Verdict::Ok,
            _ if down || again => Verdict::Critical,
            _ => Verdict::Warning,
        };
        let text = format!("the kernel killed for memory {count} times in ten minutes");
        vec![Measured::count(self.name(), count as f64, "", verdict, text)]
    }
}
