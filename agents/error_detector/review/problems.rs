//! What is wrong between runbooks, and what a built-in one must not lack.

use std::collections::{BTreeMap, BTreeSet};

use super::Problem;
use crate::error_detector::catalogue::Catalogue;
use crate::error_detector::{literals, rules};
use crate::model::{Condition, FixTemplate, Runbook, Scope, TargetKind, Verdict, clean};

/// Lines that must match, at least.
const MATCHING: usize = 3;
/// Lines that must not, at least.
const NEAR_MISSES: usize = 2;
/// Length of a quoted line, in characters.
const QUOTED: usize = 160;

/// What runbooks take from each other.
pub(super) fn between(catalogue: &Catalogue) -> Vec<Problem> {
    let mut problems = poached(catalogue);
    problems.extend(catalogue.iter().flat_map(|runbook| unknown_shares(catalogue, runbook)));
    problems.extend(copies(catalogue));
    problems
}

/// Signatures that match another runbook's examples although not both admit it; one problem
/// for each two runbooks.
fn poached(catalogue: &Catalogue) -> Vec<Problem> {
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    for victim in catalogue.iter() {
        for line in &victim.examples.matching {
            for found in catalogue.matches(line).filter(|found| found.runbook.id != victim.id) {
                let poacher = found.runbook;
                let is_new = !shared(poacher, victim) && seen.insert((&poacher.id, &victim.id));
                if is_new {
                    problems.push(poaching(poacher, found.signature, victim, line));
                }
            }
        }
    }
    problems
}

fn poaching(poacher: &Runbook, signature: usize, victim: &Runbook, line: &str) -> Problem {
    let pattern = poacher.signatures[signature].log.as_deref().unwrap_or_default();
    let (mine, theirs) = (&poacher.id, &victim.id);
    let what = format!(
        "its signature `{pattern}` matches the example of `{theirs}`: `{}`",
        clean(line, QUOTED)
    );
    let lacking = match (admits(poacher, victim), admits(victim, poacher)) {
        (true, _) => format!("`shares = [\"{mine}\"]` is missing in `{theirs}`"),
        (_, true) => format!("`shares = [\"{theirs}\"]` is missing in `{mine}`"),
        _ => format!("if both are right, let `{mine}` share `{theirs}` and the other way round"),
    };
    Problem::of(poacher, what, format!("make the pattern precise; {lacking}"))
}

fn shared(one: &Runbook, other: &Runbook) -> bool {
    admits(one, other) && admits(other, one)
}

fn admits(one: &Runbook, other: &Runbook) -> bool {
    one.shares.iter().any(|id| *id == other.id || id == "*")
}

fn unknown_shares<'a>(
    catalogue: &'a Catalogue,
    runbook: &'a Runbook,
) -> impl Iterator<Item = Problem> + 'a {
    let unknown = |id: &&String| *id != "*" && (catalogue.get(id).is_none() || **id == runbook.id);
    runbook.shares.iter().filter(unknown).map(|id| {
        let what = format!("it shares with `{id}`, which is no other runbook");
        Problem::of(runbook, what, "correct the id, or take it out of `shares`")
    })
}

/// Titles and summaries that two runbooks have in common: one diagnosis is one runbook.
fn copies(catalogue: &Catalogue) -> Vec<Problem> {
    let mut first_with: BTreeMap<(&str, &str), &Runbook> = BTreeMap::new();
    let mut problems = Vec::new();
    for runbook in catalogue.iter() {
        for (part, text) in
            [("title", runbook.title.as_str()), ("summary", runbook.diagnosis.summary.as_str())]
        {
            if let Some(first) = first_with.get(&(part, text)) {
                let what = format!("its {part} is that of `{}`, word for word", first.id);
                problems.push(Problem::of(
                    runbook,
                    what,
                    "make one runbook of both, or say how they differ",
                ));
            } else {
                first_with.insert((part, text), runbook);
            }
        }
    }
    problems
}

/// Conditions of a runbook about the host alone that never hold: it has no container, no endpoint
/// of its own, and needs nobody.
pub(super) fn unheard(runbook: &Runbook) -> Vec<Problem> {
    if runbook.applies.kinds != [TargetKind::Host] {
        return vec![];
    }
    let of_others = |when: &&Condition| {
        matches!(when.on, Scope::Container | Scope::Dependency | Scope::Endpoint)
    };
    let unheard = rules::conditions(runbook).filter(of_others);
    unheard
        .map(|when| {
            let whom = format!("{:?}", when.on).to_lowercase();
            let what = format!("it asks about the {whom} of the host, which has none");
            Problem::of(runbook, what, "ask `on = \"host\"`, or leave it out")
        })
        .collect()
}

/// Fixes that follow from a log line and need more than it: words may be quoted, out of date, or
/// a stranger's.
pub(super) fn unguarded(runbook: &Runbook) -> Vec<Problem> {
    if runbook.signatures.iter().all(|signature| signature.log.is_none()) {
        return vec![];
    }
    runbook.fixes.iter().filter_map(|fix| unguarded_fix(runbook, fix)).collect()
}

fn unguarded_fix(runbook: &Runbook, fix: &FixTemplate) -> Option<Problem> {
    let required = runbook.evidence.iter().filter(|e| e.required).map(|e| &e.when);
    let mut asked = fix.when.iter().chain(required);
    match fix.action.as_str() {
        "config.restore" if !asked.any(is_down) => {
            let what = "it restores a configuration although the container may run".to_owned();
            let remedy = "give the fix `when = { check = \"container.state\", is = [\"exited\", \"crash_loop\", \"restarting\"] }`";
            Some(Problem::of(runbook, what, remedy))
        }
        "container.restart" => {
            let lacking: Vec<&str> = GUARDS
                .iter()
                .filter(|(_, guards)| {
                    !runbook.evidence.iter().any(|e| e.weight < 0 && guards(&e.when))
                })
                .map(|(name, _)| *name)
                .collect();
            let what = "it restarts on the word of a log line and of the health check".to_owned();
            let remedy = format!("let evidence speak against it: {}", lacking.join(", "));
            (!lacking.is_empty()).then(|| Problem::of(runbook, what, remedy))
        }
        _ => None,
    }
}

/// A guard in words, and whether a condition is it.
type Guard = (&'static str, fn(&Condition) -> bool);

/// What has to speak against a restart that a log line and a failing health check call for.
const GUARDS: [Guard; 4] = [
    ("`was_healthy = false`", |when| when.was_healthy == Some(false) && !when.not),
    ("`container.health_check` is `broken`", |when| {
        asks(when, "container.health_check") && when.is.iter().any(|value| value == "broken")
    }),
    ("a critical dependency", |when| {
        when.on == Scope::Dependency && when.verdict == Some(Verdict::Critical) && !when.not
    }),
    ("an endpoint that answers well", |when| {
        when.on == Scope::Endpoint && when.is.iter().any(|value| value == "ok") && !when.not
    }),
];

/// Whether a condition holds only of a container that does not run.
fn is_down(when: &Condition) -> bool {
    let runs = |value: &String| matches!(value.as_str(), "running" | "paused");
    asks(when, "container.state") && !when.is.is_empty() && !when.is.iter().any(runs)
}

fn asks(when: &Condition, check: &str) -> bool {
    when.check.as_deref() == Some(check) && !when.not
}

/// What a built-in runbook must not lack.
pub(super) fn gaps(runbook: &Runbook) -> Vec<Problem> {
    let mut problems = Vec::new();
    let patterns: Vec<&String> = runbook.signatures.iter().filter_map(|s| s.log.as_ref()).collect();
    let (matching, misses) = (runbook.examples.matching.len(), runbook.examples.near_miss.len());
    if !patterns.is_empty() && matching < MATCHING {
        let what = format!("it has {matching} `match` examples of {MATCHING}");
        problems.push(Problem::of(runbook, what, "add lines as the program writes them"));
    }
    if !patterns.is_empty() && misses < NEAR_MISSES {
        let what = format!("it has {misses} `near_miss` examples of {NEAR_MISSES}");
        problems.push(Problem::of(
            runbook,
            what,
            "add lines that look alike and mean something else",
        ));
    }
    if !runbook.fixes.is_empty() && runbook.avoid.is_empty() {
        let what = "it mends, and warns of nothing".to_owned();
        problems.push(Problem::of(runbook, what, "say in `avoid` what not to do, and why"));
    }
    for pattern in patterns.into_iter().filter(|pattern| literals::required(pattern).is_none()) {
        let what = format!("its signature `{pattern}` has no text that must be there");
        let remedy = format!(
            "let each alternative hold {} or more plain letters in a row, so that it is found quickly",
            literals::MIN_LITERAL
        );
        problems.push(Problem::of(runbook, what, remedy));
    }
    problems
}
