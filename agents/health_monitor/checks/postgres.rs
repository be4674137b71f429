//! `postgres.*`: what every database server is asked, and what only PostgreSQL tells.

use super::database::{Limits, Names};
use super::{Check, Context, Measured};
use crate::model::{ConfigState, DatabaseFacts, Facts, TargetState, Verdict};

pub(super) struct Postgres;

const NAMES: Names = Names {
    reachable: "postgres.reachable",
    latency: "postgres.latency",
    connections: "postgres.connections",
    idle_in_transaction: "postgres.idle_in_transaction",
    blocked: "postgres.blocked",
    limits: |context| Limits {
        latency_ms: context.thresholds.postgres_latency_ms,
        connections: context.thresholds.postgres_connections,
        idle_in_transaction_secs: context.thresholds.postgres_idle_in_transaction_secs,
        blocked: context.thresholds.postgres_blocked,
    },
};

impl Check for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn judge(&self, state: &TargetState, context: &Context<'_>) -> Vec<Measured> {
        let Ok(Facts::Postgres(facts)) = &state.facts else { return vec![] };
        let mut seen = NAMES.judge(facts, context);
        if facts.reachable {
            seen.extend(facts.config.map(config));
        }
        if facts.reachable || facts.in_recovery {
            seen.push(recovery(facts));
        }
        seen
    }
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

fn recovery(facts: &DatabaseFacts) -> Measured {
    // A standby is in recovery all its life.
    let (word, text) = if facts.in_recovery {
        ("recovery", "it is in recovery: hands off")
    } else {
        ("primary", "it is not in recovery")
    };
    Measured::word("postgres.recovery", word, Verdict::Ok, text)
}
