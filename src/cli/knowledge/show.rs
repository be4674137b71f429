//! `knowledge show`: everything one runbook says.

use std::fmt::Write;

use selfheal_agents::error_detector::Catalogue;
use selfheal_agents::model::Runbook;

use super::super::output::{Exit, Failure, Outcome, Output};
use crate::knowledge::search::nearest;
use crate::knowledge::words::{condition, fix, severity, sign, status, word};

pub(super) fn show(catalogue: &Catalogue, id: &str, out: Output) -> Outcome {
    let runbook = catalogue.get(id).ok_or_else(|| {
        let like = nearest(catalogue, id).map(|id| format!("; did you mean `{id}`?"));
        let what = format!("no runbook `{id}`{}", like.unwrap_or_default());
        Failure::new(Exit::Usage, what).next("selfheal knowledge list")
    })?;
    out.show(runbook, |runbook, _| described(runbook))?;
    Ok(Exit::Done)
}

fn described(runbook: &Runbook) -> String {
    let mut text = format!(
        "{}: {}\n{}, {}, {}, {}, base confidence {} %, blames {}\n\n{}",
        runbook.id,
        runbook.title,
        runbook.technology,
        runbook.category.as_str(),
        severity(runbook.severity),
        status(runbook),
        runbook.diagnosis.base,
        word(&runbook.diagnosis.blames),
        runbook.diagnosis.summary.trim(),
    );
    let evidence = runbook.evidence.iter().map(|evidence| {
        let must = if evidence.required { ", or it is not this" } else { "" };
        format!("{:>+4}  {}  [{}{must}]", evidence.weight, evidence.why, condition(&evidence.when))
    });
    let fixes = runbook
        .fixes
        .iter()
        .map(fix)
        .chain(runbook.no_fix.clone().map(|why| format!("none: {why}")));
    list(&mut text, "Applies to", applies(runbook));
    list(&mut text, "Signs, one is enough", runbook.signatures.iter().map(sign).collect());
    list(&mut text, "Evidence", evidence.collect());
    list(&mut text, "Fixes, best first", fixes.collect());
    list(&mut text, "Never", runbook.avoid.clone());
    list(&mut text, "Lines it knows", runbook.examples.matching.clone());
    list(&mut text, "Lines it leaves alone", runbook.examples.near_miss.clone());
    list(&mut text, "Shares lines with", runbook.shares.clone());
    list(&mut text, "Sources", runbook.links.clone());
    text
}

fn applies(runbook: &Runbook) -> Vec<String> {
    let applies = &runbook.applies;
    let kinds: Vec<String> = applies.kinds.iter().map(word).collect();
    let ports: Vec<String> = applies.ports.iter().map(ToString::to_string).collect();
    [("kinds of target", kinds), ("images with", applies.images.clone()), ("ports", ports)]
        .into_iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(name, values)| format!("{name} {}", values.join(", ")))
        .collect()
}

fn list(text: &mut String, head: &str, items: Vec<String>) {
    if items.is_empty() {
        return;
    }
    let _ = write!(text, "\n\n{head}");
    for item in items {
        let _ = write!(text, "\n  - {item}");
    }
}
