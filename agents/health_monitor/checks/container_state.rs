//! `container.state`: what a container does, and if it ended, who ended it.

use std::time::Duration;

use chrono::TimeDelta;

use super::super::life::{DeathCause, last_death, unanswered_crashes};
use super::{Check, Context, Measured};
use crate::model::{
    ContainerFacts, ContainerStatus, HealthStatus, Maker, RestartPolicy, RuntimeEvent, TargetState,
    Verdict, clean,
};

/// So soon after its end a container that somebody makes again is there anew, unless its maker waits
/// on purpose, since it keeps ending.
const MADE_ANEW: TimeDelta = TimeDelta::minutes(1);

pub(super) struct ContainerState;

impl Check for ContainerState {
    fn name(&self) -> &'static str {
        "container.state"
    }

    fn judge(&self, state: &TargetState, context: &Context<'_>) -> Vec<Measured> {
        let Some(facts) = state.container() else { return vec![] };
        let word = word(facts, &state.events, context);
        if word == "exited" && is_made_anew(facts, context) {
            let detail = format!("{}; whoever made it makes a new one", detail(word, facts));
            return vec![Measured::word(self.name(), word, Verdict::Ok, detail)];
        }
        vec![Measured::word(self.name(), word, verdict(word), detail(word, facts))]
    }
}

fn verdict(word: &str) -> Verdict {
    match word {
        "exited" | "crash_loop" | "start_failed" | "dead" => Verdict::Critical,
        "paused" | "restarting" => Verdict::Warning,
        "unknown" => Verdict::Unknown,
        // Whether a stopped or completed one is missed is told by those who need it.
        _ => Verdict::Ok,
    }
}

/// Whether whoever makes it again may still be about to; until then it is no trouble of anybody's.
fn is_made_anew(facts: &ContainerFacts, context: &Context<'_>) -> bool {
    let lately = facts.finished_at.is_some_and(|at| context.now - at < MADE_ANEW);
    lately && Maker::of(facts).is_some()
}

fn detail(word: &str, facts: &ContainerFacts) -> String {
    let code =
        facts.exit_code.map_or_else(|| "an unknown code".to_owned(), |c| format!("code {c}"));
    match word {
        "running" => "it runs".to_owned(),
        "starting" => "it runs and has not had its time to start".to_owned(),
        "completed" => "it ended by itself with code 0".to_owned(),
        "stopped" => "somebody stopped it".to_owned(),
        "exited" => format!("it ended by itself with {code}"),
        "crash_loop" => format!("it starts and dies again and again, last with {code}"),
        "restarting" => format!("it ended with {code} and waits to be restarted"),
        "paused" => "it is frozen".to_owned(),
        "created" => "it was never started".to_owned(),
        "start_failed" => format!("it cannot be started: {}", clean(&facts.start_error, 300)),
        "dead" => "it could not be removed".to_owned(),
        "removing" => "it is being removed".to_owned(),
        _ => "the runtime does not say, or uses a word this version does not know".to_owned(),
    }
}

fn word(facts: &ContainerFacts, events: &[RuntimeEvent], context: &Context<'_>) -> &'static str {
    match facts.status {
        ContainerStatus::Created if facts.start_error.is_empty() => "created",
        ContainerStatus::Created => "start_failed",
        ContainerStatus::Paused => "paused",
        ContainerStatus::Removing => "removing",
        ContainerStatus::Dead => "dead",
        ContainerStatus::Unknown => "unknown",
        ContainerStatus::Running | ContainerStatus::Restarting if loops(facts, events, context) => {
            "crash_loop"
        }
        ContainerStatus::Running if facts.health == Some(HealthStatus::Starting) => "starting",
        ContainerStatus::Running => "running",
        ContainerStatus::Restarting => "restarting",
        ContainerStatus::Exited => ended(facts, events, context),
    }
}

fn ended(facts: &ContainerFacts, events: &[RuntimeEvent], context: &Context<'_>) -> &'static str {
    if !facts.start_error.is_empty() {
        return "start_failed";
    }
    let seen = last_death(facts, events).map(|death| death.cause);
    match seen.or(context.remembered_end) {
        Some(DeathCause::Person) => "stopped",
        Some(_) if loops(facts, events, context) => "crash_loop",
        // We stopped it for the one that has its port now.
        Some(DeathCause::Selfheal) if context.replaced => "stopped",
        // We stopped it and did not get to start it again: it is down, and nobody wants that.
        Some(DeathCause::Selfheal) => "exited",
        Some(DeathCause::Itself) => by_exit_code(facts),
        None => unwitnessed(facts),
    }
}

fn restarts(facts: &ContainerFacts) -> bool {
    matches!(facts.restart_policy, RestartPolicy::Always | RestartPolicy::UnlessStopped)
}

fn by_exit_code(facts: &ContainerFacts) -> &'static str {
    if facts.exit_code == Some(0) && !restarts(facts) { "completed" } else { "exited" }
}

/// Selfheal was not there when it ended. A service that is stopped politely often ends with
/// 0, and Docker itself restarts what has such a policy unless a person stopped it.
fn unwitnessed(facts: &ContainerFacts) -> &'static str {
    match facts.exit_code {
        Some(0) if restarts(facts) => "stopped",
        Some(0) => "completed",
        Some(137 | 143) if !facts.oom_killed => "stopped",
        _ => "exited",
    }
}

/// Whether it keeps dying. A life that lasts twice as long as any before it, and a minute,
/// ends the suspicion.
fn loops(facts: &ContainerFacts, events: &[RuntimeEvent], context: &Context<'_>) -> bool {
    let thresholds = context.thresholds;
    let window = Duration::from_secs(thresholds.crash_loop_window_secs);
    let crashes = unanswered_crashes(events, context.now, window);
    if (crashes.len() as u64) < u64::from(thresholds.crash_loop_deaths) {
        return false;
    }
    let Some(started) = facts.started_at.filter(|_| facts.is_up()) else { return true };
    let longest_gap =
        crashes.windows(2).map(|pair| (pair[1].at - pair[0].at).num_seconds()).max().unwrap_or(0);
    (context.now - started).num_seconds() < (2 * longest_gap).max(60)
}
