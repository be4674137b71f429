//! `container.deaths`, `container.exit_code`, `container.start_error`: how it ended.
//!
//! They carry evidence; the verdict on an end is that of `container.state`.

use std::time::Duration;

use super::super::life::deaths;
use super::{Check, Context, Measured};
use crate::model::{TargetState, Verdict, clean};

pub(super) struct ContainerDeaths;

/// Deaths are counted for so long.
const WINDOW: Duration = Duration::from_mins(10);

impl Check for ContainerDeaths {
    fn name(&self) -> &'static str {
        "container.deaths"
    }

    fn judge(&self, state: &TargetState, context: &Context<'_>) -> Vec<Measured> {
        let Some(facts) = state.container() else { return vec![] };
        let from = context.now - WINDOW;
        let crashes = deaths(&state.events).iter().filter(|d| d.is_crash() && d.at >= from).count();
        let text = format!("it died {crashes} times in ten minutes without being asked");
        let mut seen = vec![Measured::count(self.name(), crashes as f64, "", Verdict::Ok, text)];
        if let Some(code) = facts.exit_code.filter(|_| facts.is_down()) {
            let text = format!("its last exit code is {code}");
            let code = code as f64;
            seen.push(Measured::count("container.exit_code", code, "", Verdict::Ok, text));
        }
        if !facts.start_error.is_empty() {
            let error = clean(&facts.start_error, 300);
            let up = facts.is_up();
            let verdict = if up { Verdict::Ok } else { Verdict::Critical };
            seen.push(Measured::word("container.start_error", &error, verdict, error.clone()));
        }
        seen
    }
}
