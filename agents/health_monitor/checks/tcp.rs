//! `tcp.reachable`: whether a port accepts.

use super::{Check, Context, Measured, reason_word};
use crate::model::{Facts, TargetState, Verdict, clean};

pub(super) struct Tcp;

impl Check for Tcp {
    fn name(&self) -> &'static str {
        "tcp.reachable"
    }

    fn judge(&self, state: &TargetState, context: &Context<'_>) -> Vec<Measured> {
        let Ok(Facts::Tcp(facts)) = &state.facts else { return vec![] };
        let seen = if facts.reachable {
            Measured::word(self.name(), "ok", Verdict::Ok, "it accepts connections")
        } else {
            let error = facts.error.as_deref();
            let word = reason_word(error, &["refused", "timeout", "dns"], "error");
            let verdict = context.probed(Verdict::Critical);
            let error = clean(error.unwrap_or_default(), 200);
            Measured::word(self.name(), word, verdict, format!("it cannot be reached: {error}"))
        };
        vec![seen.doubtful_under_pressure()]
    }
}
