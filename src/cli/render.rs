//! Texts for people, made of the API's bodies. Pure.

mod fleet;
mod incident;
mod overview;
mod shadow;

pub(super) use fleet::fleet;
pub(super) use incident::{incident, incident_line, incidents, short};
pub(super) use overview::{
    Overview, backups, checked, freeze_state, live_line, overview, target, targets,
};
pub(super) use shadow::shadow;

use selfheal_agents::model::{IncidentState, Timestamp, Verdict};

use super::table::Tone;

/// `3 min ago`, `in 2 min`.
fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = (now - at).num_seconds();
    let amount = seconds.unsigned_abs();
    let length = match amount {
        0..=59 => format!("{amount} s"),
        60..=3599 => format!("{} min", amount / 60),
        3600..=172_799 => format!("{} h", amount / 3600),
        _ => format!("{} days", amount / 86_400),
    };
    if seconds < 0 { format!("in {length}") } else { format!("{length} ago") }
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

const fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Unknown => "unknown",
        Verdict::Warning => "warning",
        Verdict::Critical => "critical",
    }
}

const fn state_tone(state: IncidentState) -> Tone {
    match state {
        IncidentState::Resolved => Tone::Good,
        IncidentState::Stuck => Tone::Bad,
        IncidentState::Fixing | IncidentState::Validating => Tone::Plain,
        _ => Tone::Warning,
    }
}

#[cfg(test)]
mod tests;
