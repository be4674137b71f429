//! `fleet`.

use std::fmt::Write;

use selfheal_agents::model::{Verdict, clean};

use super::verdict_word;
use crate::cli::output::Style;
use crate::cli::table::{Cell, Tone, cell, table, word};
use crate::fleet::Member;
use crate::http::body::FleetView;

const HEADS: [&str; 7] =
    ["NODE", "STATE", "MODE", "TARGETS", "NOT WELL", "OPEN INCIDENTS", "LOOKS AFTER"];

/// Every node.
pub(crate) fn fleet(view: &FleetView, style: &Style) -> String {
    let Some(this) = &view.node else {
        return "This Selfheal is alone: fleet.node gives it a name among others.".to_owned();
    };
    let rows: Vec<Vec<Cell>> = view.nodes.iter().map(|node| cells(node, this)).collect();
    let mut text = table(style, &HEADS, &rows);
    for node in &view.nodes {
        for blind in &node.summary.blind {
            let _ = write!(text, "\n{}  not seen: {}", node.name, clean(blind, 300));
        }
        for incident in &node.summary.incidents {
            let _ = write!(
                text,
                "\n{}  {}  {}  {}: {}",
                incident.id,
                node.name,
                incident.state.as_str(),
                incident.target,
                incident.title
            );
        }
    }
    text
}

fn cells(node: &Member, this: &str) -> Vec<Cell> {
    let summary = &node.summary;
    let name = if node.name == this { format!("{} (this)", node.name) } else { node.name.clone() };
    let state = match (node.is_silent, summary.blind.is_empty()) {
        (true, _) => word("silent", Tone::Bad),
        (false, false) => word("blind", Tone::Bad),
        (false, true) => word("here", Tone::Good),
    };
    let unwell: Vec<String> = summary
        .targets
        .iter()
        .filter(|target| !matches!(target.verdict, Verdict::Ok))
        .map(|target| format!("{} {}", target.id, verdict_word(target.verdict)))
        .collect();
    let mode = match &summary.frozen {
        Some(frozen) => word(&format!("{}, {frozen}", node.mode), Tone::Bad),
        None => cell(&node.mode),
    };
    let leases: Vec<&str> = summary.leases.iter().map(|lease| lease.target.as_str()).collect();
    vec![
        cell(name),
        state,
        mode,
        cell(summary.targets.len()),
        cell(unwell.join(", ")),
        cell(summary.incidents.len()),
        cell(leases.join(", ")),
    ]
}
