//! What is asked of every database server: whether it takes and serves connections, and who is in
//! the way.

use super::{Context, Measured, percent, reason_word};
use crate::health_monitor::Limit;
use crate::model::{Backend, DatabaseFacts, Observation, Verdict, clean};

/// What the values are called, and what they are held against.
pub(super) struct Names {
    pub(super) reachable: &'static str,
    pub(super) latency: &'static str,
    pub(super) connections: &'static str,
    pub(super) idle_in_transaction: &'static str,
    pub(super) blocked: &'static str,
    pub(super) limits: fn(&Context<'_>) -> Limits,
}

pub(super) struct Limits {
    pub(super) latency_ms: Limit,
    pub(super) connections: Limit,
    pub(super) idle_in_transaction_secs: Limit,
    pub(super) blocked: Limit,
}

impl Names {
    fn limits(&self, context: &Context<'_>) -> Limits {
        (self.limits)(context)
    }

    pub(super) fn judge(&self, facts: &DatabaseFacts, context: &Context<'_>) -> Vec<Measured> {
        let mut seen = vec![reachable(self, facts, context)];
        if facts.reachable {
            seen.extend(latency(self, facts, context));
            seen.extend(connections(self, facts, context));
            seen.extend(sessions(self, facts, context));
        }
        seen
    }
}

fn reachable(names: &Names, facts: &DatabaseFacts, context: &Context<'_>) -> Measured {
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
    Measured::word(names.reachable, word, verdict, detail).doubtful_under_pressure()
}

fn latency(names: &Names, facts: &DatabaseFacts, context: &Context<'_>) -> Option<Measured> {
    let value = facts.latency_ms?;
    let text = format!("it answers in {value:.0} ms");
    let limit = names.limits(context).latency_ms;
    let measured = Measured::number(names.latency, value, "ms", limit, text);
    Some(measured.doubtful_under_pressure())
}

fn connections(names: &Names, facts: &DatabaseFacts, context: &Context<'_>) -> Option<Measured> {
    let (used, allowed) = (facts.connections?, facts.max_connections?);
    let share = percent(f64::from(used), f64::from(allowed))?;
    let text = format!("{used} of {allowed} connections are in use");
    let limit = names.limits(context).connections;
    Some(Measured::number(names.connections, share, "%", limit, text))
}

fn named(backend: &Backend) -> String {
    let who = format!("{} of {}", backend.application, backend.user);
    format!("session {} ({})", backend.pid, clean(&who, 120))
}

/// Who may not see others, or was not answered in time, learns nothing of what stands in the way:
/// then nothing is told of it.
fn sessions(names: &Names, facts: &DatabaseFacts, context: &Context<'_>) -> Vec<Measured> {
    let blocked = facts.blocked.map(|blocked| waiting(names, facts, blocked, context));
    let is_known = blocked.is_some() || !facts.idle_in_transaction.is_empty();
    let idle = is_known.then(|| idling(names, facts, context));
    idle.into_iter().chain(blocked).collect()
}

fn idling(names: &Names, facts: &DatabaseFacts, context: &Context<'_>) -> Measured {
    let longest = facts.idle_in_transaction.first();
    let secs = longest.map_or(0.0, |session| session.state_secs);
    let text = longest.map_or_else(
        || "no session idles in a transaction".to_owned(),
        |session| format!("{} idles in a transaction for {secs:.0} s", named(session)),
    );
    let limit = names.limits(context).idle_in_transaction_secs;
    Measured::number(names.idle_in_transaction, secs, Observation::AGE, limit, text)
}

fn waiting(names: &Names, facts: &DatabaseFacts, blocked: u32, context: &Context<'_>) -> Measured {
    let text = facts.blockers.first().map_or_else(
        || format!("{blocked} sessions wait for a lock"),
        |blocker| format!("{blocked} sessions wait for a lock, most for {}", named(blocker)),
    );
    let limit = names.limits(context).blocked;
    Measured::number(names.blocked, f64::from(blocked), "", limit, text)
}
