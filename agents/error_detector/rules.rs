//! What a runbook must obey before it may speak.
//!
//! All faults are found at once, so that an author mends a file in one go. The rules keep
//! knowledge honest (a pattern is proven by examples, a fact has a source, what was never
//! provoked never acts alone) and within bounds (small steps, sane weights). They do not
//! judge whether the knowledge is true.

use super::matcher;
use super::vocabulary::{self, Values};
use crate::fix_engineer::actions::{Action, EvictionPolicy};
use crate::model::{
    Condition, FixParameters, FixTemplate, Provenance, Runbook, ServerSetting, Signature,
};

/// The most a runbook that was never reproduced reaches by itself, percent; one below the
/// default threshold for acting alone.
const DOCUMENTED_CAP: i32 = 84;
/// The largest weight of one piece of evidence, either way.
const MAX_WEIGHT: i32 = 50;
/// Longest id, in characters.
const MAX_ID: usize = 60;

/// Everything that is wrong with a runbook read from `file`.
pub(super) fn faults(file: &str, runbook: &Runbook) -> Vec<String> {
    let mut faults = Vec::new();
    name_faults(file, runbook, &mut faults);
    text_faults(runbook, &mut faults);
    if runbook.signatures.is_empty() {
        faults.push("it has no [[signature]]".to_owned());
    }
    let mut patterns = Vec::new();
    for signature in &runbook.signatures {
        signature_faults(signature, &mut patterns, &mut faults);
    }
    over_faults(runbook, &mut faults);
    example_faults(runbook, &patterns, &mut faults);
    weight_faults(runbook, &mut faults);
    for condition in conditions(runbook) {
        condition_faults(condition, &mut faults);
    }
    for fix in &runbook.fixes {
        fix_faults(fix, &mut faults);
    }
    faults
}

/// Every condition a runbook states.
pub(super) fn conditions(runbook: &Runbook) -> impl Iterator<Item = &Condition> {
    let of_evidence = runbook.evidence.iter().map(|evidence| &evidence.when);
    of_evidence.chain(runbook.fixes.iter().filter_map(|fix| fix.when.as_ref()))
}

/// The file's name without folders and ending: what the id has to be.
pub(super) fn stem(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or_default().trim_end_matches(".toml")
}

fn name_faults(file: &str, runbook: &Runbook, faults: &mut Vec<String>) {
    let id = runbook.id.as_str();
    let well_formed = !id.is_empty()
        && id.len() <= MAX_ID
        && id.split('-').all(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        });
    if !well_formed {
        faults.push(format!("its id `{id}` is not lower-case words joined by hyphens"));
    }
    let mut parts = file.rsplit('/');
    parts.next();
    let stem = stem(file);
    let folder = parts.next().unwrap_or_default();
    if stem != id {
        faults.push(format!("its id `{id}` is not the file's name `{stem}`"));
    }
    if folder != runbook.technology {
        let technology = &runbook.technology;
        faults.push(format!("its technology `{technology}` is not its folder `{folder}`"));
    }
}

fn text_faults(runbook: &Runbook, faults: &mut Vec<String>) {
    for (name, text) in [("title", &runbook.title), ("summary", &runbook.diagnosis.summary)] {
        if text.trim().is_empty() {
            faults.push(format!("its {name} is empty"));
        }
        let bare = text.replace("{target}", "").replace("{value}", "");
        if bare.contains(['{', '}']) {
            faults.push(format!("its {name} holds braces other than {{target}} and {{value}}"));
        }
    }
    if runbook.links.is_empty() {
        faults.push("it names no source in `links`".to_owned());
    }
    for link in &runbook.links {
        if let Some(fault) = link_fault(link) {
            faults.push(format!("the link `{link}` {fault}"));
        }
    }
    if runbook.no_fix.as_ref().is_some_and(|why| why.trim().is_empty() || !runbook.fixes.is_empty())
    {
        faults
            .push("`no_fix` says why there is no [[fix]]: it is empty, or there is one".to_owned());
    }
    let unsaid_evidence = runbook.evidence.iter().any(|evidence| evidence.why.trim().is_empty());
    let unsaid_fix = runbook.fixes.iter().any(|fix| fix.why.trim().is_empty());
    if unsaid_evidence || unsaid_fix {
        faults.push("a `why` is empty".to_owned());
    }
}

/// What keeps a link from being opened.
fn link_fault(link: &str) -> Option<&'static str> {
    let Some(rest) = link.strip_prefix("https://") else {
        return Some("does not begin with https://");
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_name = host.contains('.')
        && host.split('.').all(|label| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        });
    if !is_name {
        return Some("names no host after https://");
    }
    let is_plain = link.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"`{}\\".contains(&b));
    (!is_plain).then_some("holds spaces or signs that a link writes as %XX")
}

/// A log signature that compiles.
struct Pattern<'a> {
    text: &'a str,
    regex: regex::bytes::Regex,
}

fn signature_faults<'a>(
    signature: &'a Signature,
    patterns: &mut Vec<Pattern<'a>>,
    faults: &mut Vec<String>,
) {
    match (&signature.log, &signature.check) {
        (Some(text), None) => {
            match matcher::compile(text) {
                Ok(regex) if regex.is_match(b"") => {
                    faults.push(format!("the log signature `{text}` matches an empty line"));
                }
                Ok(regex) => patterns.push(Pattern { text, regex }),
                Err(error) => {
                    let why = error.to_string();
                    let reason = why.lines().last().unwrap_or_default().trim();
                    faults.push(format!("the log signature `{text}` is no pattern: {reason}"));
                }
            }
            if !signature.is.is_empty() || signature.verdict.is_some() {
                faults
                    .push(format!("`is` and `verdict` do not go with the log signature `{text}`"));
            }
            if signature.at_least == Some(0) {
                faults.push(format!("`at_least` of `{text}` is 0; 1 is the least"));
            }
        }
        (None, Some(check)) => {
            word_faults(check, &signature.is, faults);
            if signature.at_least.is_some() {
                faults.push(format!("`at_least` does not go with the check `{check}`"));
            }
            if !signature.side.is_server() {
                faults.push(format!("`side` does not go with the check `{check}`: it is for logs"));
            }
        }
        _ => faults.push("a [[signature]] needs exactly one of `log` and `check`".to_owned()),
    }
}

/// What shows that lines are over must be able to, and there must be lines.
fn over_faults(runbook: &Runbook, faults: &mut Vec<String>) {
    let Some(over) = &runbook.over_when else { return };
    word_faults(&over.check, &over.is, faults);
    if over.is.is_empty() {
        faults.push("`over_when` names no words in `is`".to_owned());
    }
    let speaks = |signature: &Signature| signature.log.is_some() && signature.side.is_server();
    if !runbook.signatures.iter().any(speaks) {
        faults.push(
            "`over_when` is for lines of the program itself, and there is no `log` of it"
                .to_owned(),
        );
    }
}

fn word_faults(check: &str, words: &[String], faults: &mut Vec<String>) {
    let Some(values) = vocabulary::values_of(check) else {
        faults.push(format!("there is no check `{check}`{}", nearest(check)));
        return;
    };
    for word in words.iter().filter(|word| !values.admit(word)) {
        faults.push(format!("the check `{check}` never says `{word}`"));
    }
}

/// A suggestion: the check of the same kind that shares the longest beginning.
fn nearest(check: &str) -> String {
    let shared = |name: &str| name.bytes().zip(check.bytes()).take_while(|(a, b)| a == b).count();
    let best = vocabulary::CHECKS.iter().map(|(name, _)| *name).max_by_key(|name| shared(name));
    match best {
        Some(name) if shared(name) > 3 => format!("; did you mean `{name}`?"),
        _ => String::new(),
    }
}

fn example_faults(runbook: &Runbook, patterns: &[Pattern<'_>], faults: &mut Vec<String>) {
    let hit = |line: &String| patterns.iter().any(|p| p.regex.is_match(line.as_bytes()));
    for line in runbook.examples.matching.iter().filter(|line| !hit(line)) {
        faults.push(format!("no log signature matches the example `{line}`"));
    }
    for line in runbook.examples.near_miss.iter().filter(|line| hit(line)) {
        faults.push(format!("a log signature matches the near miss `{line}`"));
    }
    for pattern in patterns {
        let proven =
            runbook.examples.matching.iter().any(|line| pattern.regex.is_match(line.as_bytes()));
        if !proven {
            faults.push(format!("no example proves the log signature `{}`", pattern.text));
        }
    }
    if !patterns.is_empty() && runbook.examples.near_miss.is_empty() {
        faults.push("it has log signatures but no near miss among its examples".to_owned());
    }
}

fn weight_faults(runbook: &Runbook, faults: &mut Vec<String>) {
    let base = runbook.diagnosis.base;
    if !(1..=100).contains(&base) {
        faults.push(format!("its base {base} is not between 1 and 100"));
    }
    for evidence in &runbook.evidence {
        if evidence.weight.abs() > MAX_WEIGHT {
            let weight = evidence.weight;
            faults.push(format!("the weight {weight} is beyond {MAX_WEIGHT} either way"));
        }
        if evidence.weight == 0 && !evidence.required {
            faults.push(format!("the evidence `{}` weighs nothing", evidence.why));
        }
    }
    for fix in &runbook.fixes {
        if fix.adjust.abs() > MAX_WEIGHT {
            faults.push(format!("`adjust` {} is beyond {MAX_WEIGHT} either way", fix.adjust));
        }
        let reaches = i32::from(base) + fix.adjust.max(0);
        if runbook.status == Provenance::Documented && reaches > DOCUMENTED_CAP {
            faults.push(format!(
                "a documented runbook may reach {DOCUMENTED_CAP} by itself; base and `{}` make {reaches}",
                fix.action
            ));
        }
    }
}

fn condition_faults(condition: &Condition, faults: &mut Vec<String>) {
    let numeric = condition.above.is_some() || condition.below.is_some();
    let says_nothing = condition.check.is_none()
        && condition.verdict.is_none()
        && condition.finding.is_none()
        && condition.tunable.is_none()
        && condition.was_healthy.is_none()
        && condition.changed.is_empty()
        && condition.since_well.is_empty()
        && condition.never_well.is_none();
    if says_nothing {
        faults.push(
            "a condition needs one of check, verdict, finding, tunable, was_healthy, changed, \
             since_well and never_well"
                .to_owned(),
        );
    }
    if condition.in_nothing_else && condition.since_well.is_empty() {
        faults.push("`in_nothing_else` needs a `since_well`".to_owned());
    }
    let Some(check) = &condition.check else {
        if numeric || !condition.is.is_empty() {
            faults.push("`is`, `above` and `below` need a `check`".to_owned());
        }
        return;
    };
    word_faults(check, &condition.is, faults);
    if numeric && vocabulary::values_of(check).is_some_and(|values| values != Values::Number) {
        faults.push(format!("the check `{check}` is no number: `above` and `below` do not fit"));
    }
}

/// Which arguments an action takes; `true` marks those it cannot do without.
fn parameters_of(action: &str) -> &'static [(&'static str, bool)] {
    match action {
        "config.set" => &[("role", true), ("factor", true)],
        "container.set_memory" | "container.set_cpu" | "redis.set_memory" => &[("factor", true)],
        "container.signal" => &[("signal", true)],
        "container.restart" => &[("stop_timeout_secs", false)],
        "container.recreate" => &[("restores", true)],
        "postgres.terminate_backends" | "mysql.kill_connections" => {
            &[("sessions", true), ("older_than_secs", false)]
        }
        "postgres.alter_system" => &[("setting", true), ("factor", false)],
        "redis.set_policy" => &[("policy", true)],
        "redis.kill_clients" => &[("older_than_secs", true)],
        "command" => &[("command", true)],
        _ => &[],
    }
}

fn fix_faults(fix: &FixTemplate, faults: &mut Vec<String>) {
    let action = fix.action.as_str();
    if !Action::NAMES.contains(&action) {
        let known = Action::NAMES.join(", ");
        faults.push(format!("there is no action `{action}`; there are {known}"));
        return;
    }
    let wanted = parameters_of(action);
    for (name, given) in given(&fix.parameters) {
        let known = wanted.iter().find(|(wanted, _)| *wanted == name);
        match known {
            None if given => faults.push(format!("`{action}` takes no `{name}`")),
            Some((_, true)) if !given => faults.push(format!("`{action}` needs `{name}`")),
            _ => {}
        }
    }
    value_faults(action, &fix.parameters, faults);
}

fn given(parameters: &FixParameters) -> [(&'static str, bool); 10] {
    [
        ("role", parameters.role.is_some()),
        ("factor", parameters.factor.is_some()),
        ("signal", parameters.signal.is_some()),
        ("stop_timeout_secs", parameters.stop_timeout_secs.is_some()),
        ("sessions", parameters.sessions.is_some()),
        ("older_than_secs", parameters.older_than_secs.is_some()),
        ("setting", parameters.setting.is_some()),
        ("policy", parameters.policy.is_some()),
        ("restores", parameters.restores.is_some()),
        ("command", parameters.command.is_some()),
    ]
}

fn value_faults(action: &str, parameters: &FixParameters, faults: &mut Vec<String>) {
    if let Some(factor) = parameters.factor {
        // Memory only grows: lowering it below the use is refused by the kernel.
        let range = match action {
            "container.set_memory" => 1.0..=2.0,
            "container.set_cpu" => 0.25..=2.0,
            "redis.set_memory" | "postgres.alter_system" => 1.0..=1.5,
            _ => 0.67..=1.5,
        };
        let moves = (factor - 1.0).abs() > f64::EPSILON;
        if !range.contains(&factor) || !moves {
            let (low, high) = (range.start(), range.end());
            faults.push(format!(
                "the factor {factor} of `{action}` is not within {low} to {high}, or is 1"
            ));
        }
    }
    if let Some(signal) = &parameters.signal {
        let plain = !signal.is_empty()
            && signal.len() <= 12
            && signal.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if !plain {
            faults.push(format!("`{signal}` is no signal; write it such as HUP"));
        }
    }
    if let Some(policy) = &parameters.policy
        && EvictionPolicy::named(policy).is_none()
    {
        let known = EvictionPolicy::ALL.map(EvictionPolicy::as_str).join(", ");
        faults.push(format!(
            "`policy` is one of {known}, which take only what expires; not `{policy}`"
        ));
    }
    if let Some(setting) = &parameters.setting
        && ServerSetting::of_postgres(setting).is_none()
    {
        let known = ServerSetting::POSTGRES.map(ServerSetting::name).join(", ");
        faults.push(format!("`setting` is one of {known}, which take no restart; not `{setting}`"));
    }
    let known_sessions: &[&str] = match action {
        "mysql.kill_connections" => &["idle_in_transaction", "blocker", "idle"],
        _ => &["idle_in_transaction", "blocker"],
    };
    if let Some(sessions) = &parameters.sessions
        && !known_sessions.contains(&sessions.as_str())
    {
        let known = known_sessions.join(" or ");
        faults.push(format!("`sessions` is {known}, not `{sessions}`"));
    }
}
