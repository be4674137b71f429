//! `postgres.*`: whether a server takes and serves connections, and who is in the way.

use super::{Check, Context, Measured, percent, reason_word};
use crate::model::{Backend, ConfigState, Facts, PostgresFacts, TargetState, Verdict, clean};

pub(super) struct Postgres;

impl Check for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn judge(&self, state: &TargetState, context: &Context<'_>) -> Vec<Measured> {
        let Ok(Facts::Postgres(facts)) = &state.facts else { return vec![] };
        let mut seen = vec![reachable(facts, context)];
        if facts.reachable {
            seen.extend(latency(facts, context));
            seen.extend(connections(facts, context));
            seen.extend(sessions(facts, context));
            seen.extend(facts.config.map(config));
        }
        if facts.reachable || facts.in_recovery {
            seen.push(recovery(facts));
        }
        seen
    }
}

fn reachable(facts: &PostgresFacts, context: &Context<'_>) -> Measured {
    let known = ["refused", "timeout", "starting", "too_many_connections", "auth"];
    let word = match facts.sqlstate.as_deref() {
        _ if facts.reachable => "ok",
        Some("57P03") => "starting",
        Some("53300") => "too_many_connections",
        Some("28P01" | "28000") => "auth",
        _ => reason_word(facts.error.as_deref(), &known, "error"),
    };
    let verdict = match word {
        "ok" => Verdict::Ok,
        // It answers; only we may not come in.
        "auth" => Verdict::Unknown,
        "starting" => Verdict::Warning,
        _ => context.probed(Verdict::Critical),
    };
    let error = clean(facts.error.as_deref().unwrap_or_default(), 200);
    let detail = match word {
        "ok" => "it takes connections and answers".to_owned(),
        "auth" => format!("it answers but refuses Selfheal's login ({error}); declare a password"),
        "starting" => "it is starting up or recovering".to_owned(),
        _ => format!("it cannot be reached: {error}"),
    };
    Measured::word("postgres.reachable", word, verdict, detail).doubtful_under_pressure()
}

fn latency(facts: &PostgresFacts, context: &Context<'_>) -> Option<Measured> {
    let value = facts.latency_ms?;
    let text = format!("it answers in {value:.0} ms");
    let limit = context.thresholds.postgres_latency_ms;
    let measured = Measured::number("postgres.latency", value, "ms", limit, text);
    Some(measured.doubtful_under_pressure())
}

fn connections(facts: &PostgresFacts, context: &Context<'_>) -> Option<Measured> {
    let (used, allowed) = (facts.connections?, facts.max_connections?);
    let share = percent(f64::from(used), f64::from(allowed))?;
    let text = format!("{used} of {allowed} connections are in use");
    let limit = context.thresholds.postgres_connections;
    Some(Measured::number("postgres.connections", share, "%", limit, text))
}

fn named(backend: &Backend) -> String {
    let who = format!("{} of {}", backend.application, backend.user);
    format!("session {} ({})", backend.pid, clean(&who, 120))
}

fn sessions(facts: &PostgresFacts, context: &Context<'_>) -> [Measured; 2] {
    let longest = facts.idle_in_transaction.first();
    let secs = longest.map_or(0.0, |session| session.state_secs);
    let text = longest.map_or_else(
        || "no session idles in a transaction".to_owned(),
        |session| format!("{} idles in a transaction for {secs:.0} s", named(session)),
    );
    let limit = context.thresholds.postgres_idle_in_transaction_secs;
    let idle = Measured::number("postgres.idle_in_transaction", secs, "s", limit, text);
    let blocked = facts.blocked.unwrap_or(0);
    let text = facts.blockers.first().map_or_else(
        || format!("{blocked} sessions wait for a lock"),
        |blocker| format!("{blocked} sessions wait for a lock, most for {}", named(blocker)),
    );
    let limit = context.thresholds.postgres_blocked;
    [idle, Measured::number("postgres.blocked", f64::from(blocked), "", limit, text)]
}

/// No trouble by itself: whoever wrote a file may mean to load it later.
fn config(state: ConfigState) -> Measured {
    let (word, text) = match state {
        ConfigState::Loaded => ("loaded", "it works with its configuration files"),
        ConfigState::RulesWaiting => {
            ("rules_waiting", "pg_hba.conf was written since it was loaded")
        }
        ConfigState::SettingsWaiting => {
            ("settings_waiting", "its settings were written since they were loaded")
        }
        ConfigState::Faulty => ("faulty", "its configuration files have an error"),
    };
    Measured::word("postgres.config", word, Verdict::Ok, text)
}

fn recovery(facts: &PostgresFacts) -> Measured {
    // A standby is in recovery all its life.
    let (word, text) = if facts.in_recovery {
        ("recovery", "it is in recovery: hands off")
    } else {
        ("primary", "it is not in recovery")
    };
    Measured::word("postgres.recovery", word, Verdict::Ok, text)
}
