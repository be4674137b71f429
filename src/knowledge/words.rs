//! The parts of a runbook in words.

use std::fmt::Write;

use selfheal_agents::model::{
    Condition, FixParameters, FixTemplate, Provenance, Runbook, Scope, Severity, Side, Signature,
};
use serde::Serialize;

/// A value as its word in the file.
pub(crate) fn word<T: Serialize>(value: &T) -> String {
    let text = serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned));
    text.unwrap_or_default()
}

pub(crate) const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

pub(crate) const fn status(runbook: &Runbook) -> &'static str {
    match runbook.status {
        Provenance::Reproduced => "reproduced",
        Provenance::Documented => "documented",
    }
}

/// What a signature looks for.
pub(crate) fn sign(sign: &Signature) -> String {
    if let Some(pattern) = &sign.log {
        let side = if sign.side == Side::Client { ", written by a client of it" } else { "" };
        let often = match sign.at_least {
            Some(least) if least > 1 => format!(", {least} times in ten minutes"),
            _ => String::new(),
        };
        return format!("a log line with  {pattern}{often}{side}");
    }
    let check = sign.check.as_deref().unwrap_or_default();
    let verdict = sign.verdict.map(|v| format!(", at least {}", word(&v))).unwrap_or_default();
    if sign.is.is_empty() {
        format!("the check {check} not well{verdict}")
    } else {
        format!("the check {check} is {}{verdict}", sign.is.join(" or "))
    }
}

/// What has to hold.
pub(crate) fn condition(condition: &Condition) -> String {
    let whose = match condition.on {
        Scope::Target => "",
        Scope::Container => "its container: ",
        Scope::Dependency => "something it needs: ",
        Scope::Dependent => "something that needs it: ",
        Scope::Endpoint => "an endpoint of it: ",
        Scope::Host => "the host: ",
    };
    let mut parts = Vec::new();
    if let Some(check) = &condition.check {
        let mut part = check.clone();
        if !condition.is.is_empty() {
            let _ = write!(part, " is {}", condition.is.join(" or "));
        }
        part += &condition.above.map(|limit| format!(" above {limit}")).unwrap_or_default();
        part += &condition.below.map(|limit| format!(" below {limit}")).unwrap_or_default();
        parts.push(part);
    }
    parts.extend(condition.verdict.map(|verdict| format!("at least {}", word(&verdict))));
    parts.extend(condition.finding.as_ref().map(|id| format!("it shows `{id}`")));
    parts.extend(condition.tunable.map(|role| format!("its {} is declared tunable", word(&role))));
    parts.extend(condition.was_healthy.map(|was| {
        format!("its health check {} before", if was { "succeeded" } else { "never succeeded" })
    }));
    if !condition.changed.is_empty() {
        let kinds: Vec<String> = condition.changed.iter().map(word).collect();
        parts.push(format!("its {} changed within the hour before", kinds.join(" or ")));
    }
    let negated = if condition.not { "not so: " } else { "" };
    format!("{negated}{whose}{}", parts.join(" and "))
}

/// What a fix does, why, and when.
pub(crate) fn fix(fix: &FixTemplate) -> String {
    let with = parameters(&fix.parameters);
    let when = fix.when.as_ref().map(|when| format!(" [only if {}]", condition(when)));
    let adjust =
        if fix.adjust == 0 { String::new() } else { format!(" ({:+} points)", fix.adjust) };
    let quiet = if fix.quiet { " [alone only in a quiet hour]" } else { "" };
    format!("{}{with}: {}{adjust}{}{quiet}", fix.action, fix.why, when.unwrap_or_default())
}

fn parameters(given: &FixParameters) -> String {
    let parts: Vec<String> = [
        given.role.map(|role| word(&role)),
        given.factor.map(|factor| format!("times {factor}")),
        given.signal.clone(),
        given.stop_timeout_secs.map(|secs| format!("{secs} s to stop")),
        given.sessions.clone(),
        given.older_than_secs.map(|secs| format!("older than {secs} s")),
        given.command.clone(),
    ]
    .into_iter()
    .flatten()
    .collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

/// What Selfheal would do about it, one sentence a line.
pub(crate) fn remedies(runbook: &Runbook) -> Vec<String> {
    if runbook.fixes.is_empty() {
        let why = runbook.no_fix.as_deref().unwrap_or("no action mends it");
        return vec![format!("nothing by itself, a person is told: {why}")];
    }
    let mut lines: Vec<String> = runbook.fixes.iter().map(fix).collect();
    if runbook.status == Provenance::Documented {
        lines.push("it is documented only, so a person has to approve".to_owned());
    }
    lines
}
