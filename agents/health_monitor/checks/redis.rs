//! `redis.*`: whether a server answers, takes writes and has room.

use super::{Check, Context, Measured, percent, reason_word};
use crate::model::{Facts, RedisFacts, TargetState, Verdict, clean};

pub(super) struct Redis;

impl Check for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn judge(&self, state: &TargetState, context: &Context<'_>) -> Vec<Measured> {
        let Ok(Facts::Redis(facts)) = &state.facts else { return vec![] };
        let mut seen = vec![reachable(facts, context)];
        if facts.reachable || facts.loading {
            seen.extend([writes(facts), loading(facts)]);
            seen.extend(numbers(facts, context));
        }
        seen
    }
}

fn reachable(facts: &RedisFacts, context: &Context<'_>) -> Measured {
    let known = ["refused", "timeout", "auth"];
    let word = if facts.reachable || facts.loading {
        "ok"
    } else {
        reason_word(facts.error.as_deref(), &known, "error")
    };
    let verdict = match word {
        "ok" => Verdict::Ok,
        // It answers; only we may not come in.
        "auth" => Verdict::Unknown,
        _ => context.probed(Verdict::Critical),
    };
    let error = clean(facts.error.as_deref().unwrap_or_default(), 200);
    let detail = match word {
        "ok" => "it answers".to_owned(),
        "auth" => format!("it answers but refuses Selfheal's login ({error}); declare a password"),
        _ => format!("it cannot be reached: {error}"),
    };
    Measured::word("redis.reachable", word, verdict, detail).doubtful_under_pressure()
}

fn writes(facts: &RedisFacts) -> Measured {
    if facts.writes_rejected {
        let policy = clean(facts.maxmemory_policy.as_deref().unwrap_or("unknown"), 40);
        let text = format!("it refuses writes (policy {policy})");
        return Measured::word("redis.writes", "rejected", Verdict::Critical, text);
    }
    Measured::word("redis.writes", "accepted", Verdict::Ok, "it takes writes")
}

fn loading(facts: &RedisFacts) -> Measured {
    if facts.loading {
        return Measured::word("redis.loading", "loading", Verdict::Warning, "it loads its data");
    }
    Measured::word("redis.loading", "ready", Verdict::Ok, "its data is loaded")
}

fn numbers(facts: &RedisFacts, context: &Context<'_>) -> Vec<Measured> {
    let thresholds = context.thresholds;
    let latency = facts.latency_ms.map(|value| {
        let text = format!("it answers in {value:.0} ms");
        Measured::number("redis.latency", value, "ms", thresholds.redis_latency_ms, text)
            .doubtful_under_pressure()
    });
    let memory = facts.used_memory_bytes.zip(facts.maxmemory_bytes).and_then(|(used, most)| {
        let share = percent(used as f64, most as f64)?;
        let text = format!("it uses {} MiB of {} MiB", used >> 20, most >> 20);
        Some(match eviction(facts) {
            // Such a cache is full when it does its work; that it finds nothing to evict, refused
            // writes tell.
            Some(policy) => {
                let text = format!("{text} and evicts what it may ({policy})");
                Measured::count("redis.memory", share, "%", Verdict::Ok, text)
            }
            None => Measured::number("redis.memory", share, "%", thresholds.redis_memory, text),
        })
    });
    let clients = facts.clients.zip(facts.max_clients).and_then(|(used, most)| {
        let share = percent(f64::from(used), f64::from(most))?;
        let text = format!("{used} of {most} clients are connected");
        Some(Measured::number("redis.clients", share, "%", thresholds.redis_clients, text))
    });
    latency.into_iter().chain(memory).chain(clients).collect()
}

/// The policy by which it makes room for what is written, if it does.
fn eviction(facts: &RedisFacts) -> Option<String> {
    let policy = facts.maxmemory_policy.as_deref().filter(|_| facts.evicts() == Some(true))?;
    Some(clean(policy, 40))
}
