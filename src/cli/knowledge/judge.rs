//! `knowledge test` without a line: judges all runbooks and shows what to mend.

use std::fmt::Write;
use std::path::Path;

use selfheal_agents::error_detector::review::{Coverage, Problem, Review, Score, review};
use selfheal_agents::error_detector::{BrokenRunbook, Catalogue};
use serde::Serialize;

use super::super::output::{Exit, Failure, Outcome, Output, Style};
use super::super::table::{Cell, Tone, cell, table, word};
use crate::knowledge::captured::{Captured, built_in_healthy, captured, healthy};
use crate::knowledge::{broken_built_in, is_built_in};

/// Scores shown to a person; JSON has all.
const WORST: usize = 10;

/// Everything that was found.
#[derive(Debug, Serialize)]
struct Judgement {
    /// Runbooks in force.
    runbooks: usize,
    /// Mean of all points.
    mean_points: usize,
    refused: Vec<Refused>,
    #[serde(flatten)]
    review: Review,
    #[serde(skip_serializing_if = "Option::is_none")]
    captured: Option<Captured>,
}

/// A file that is not in force.
#[derive(Debug, Serialize)]
struct Refused {
    file: String,
    faults: Vec<String>,
}

pub(super) fn judge(
    catalogue: &Catalogue,
    broken: &[BrokenRunbook],
    provoked: Option<&Path>,
    healthy_logs: Option<&Path>,
    out: Output,
) -> Outcome {
    let mut review = review(catalogue, &is_built_in);
    let unreadable = |path: &Path, error: std::io::Error| {
        Failure::new(Exit::Usage, format!("{}: {error}", path.display()))
    };
    let captured = match provoked {
        Some(folder) => Some(captured(catalogue, folder).map_err(|e| unreadable(folder, e))?),
        None => None,
    };
    review.problems.extend(captured.iter().flat_map(|captured| captured.problems.clone()));
    review.problems.extend(built_in_healthy(catalogue));
    if let Some(path) = healthy_logs {
        review.problems.extend(healthy(catalogue, path).map_err(|e| unreadable(path, e))?);
    }
    let points: usize = review.scores.iter().map(|score| usize::from(score.points)).sum();
    let mut refused: Vec<Refused> = Vec::new();
    for one in broken.iter().chain(&broken_built_in()) {
        if refused.iter().all(|known| known.file != one.file) {
            refused.push(Refused { file: one.file.clone(), faults: one.faults.clone() });
        }
    }
    let judgement = Judgement {
        runbooks: catalogue.len(),
        mean_points: points / catalogue.len().max(1),
        refused,
        review,
        captured,
    };
    out.show(&judgement, text)?;
    let is_well = judgement.refused.is_empty() && judgement.review.problems.is_empty();
    Ok(if is_well { Exit::Done } else { Exit::Wrong })
}

fn text(judgement: &Judgement, style: &Style) -> String {
    let review = &judgement.review;
    let refused = judgement
        .refused
        .iter()
        .map(|r| format!("{} was refused: {}", r.file, r.faults.join("; ")));
    let refused: Vec<String> = refused.collect();
    let mut parts = vec![coverage(&review.coverage, style), worst(&review.scores, style)];
    parts.extend(judgement.captured.as_ref().map(captures));
    if !refused.is_empty() {
        parts.push(refused.join("\n"));
    }
    if !review.problems.is_empty() {
        parts.push(problems(&review.problems));
    }
    parts.push(last_line(judgement));
    parts.join("\n\n")
}

fn coverage(rows: &[Coverage], style: &Style) -> String {
    let row = |name: &str, counts: [usize; 6]| -> Vec<Cell> {
        std::iter::once(cell(name)).chain(counts.into_iter().map(cell)).collect()
    };
    let counts = |c: &Coverage| {
        [c.runbooks, c.reproduced, c.server_patterns, c.client_patterns, c.checks, c.with_fix]
    };
    let sum = rows.iter().map(counts).fold([0; 6], |mut sum, row| {
        sum.iter_mut().zip(row).for_each(|(sum, count)| *sum += count);
        sum
    });
    let mut cells: Vec<_> = rows.iter().map(|c| row(&c.technology, counts(c))).collect();
    cells.push(row("all", sum));
    let heads = ["TECHNOLOGY", "RUNBOOKS", "REPRODUCED", "PATTERNS", "CLIENT", "CHECKS", "FIXES"];
    table(style, &heads, &cells)
}

fn worst(scores: &[Score], style: &Style) -> String {
    let incomplete = scores.iter().filter(|score| score.points < 100).take(WORST);
    let rows: Vec<_> = incomplete
        .map(|score| {
            let tone = if score.points < 60 { Tone::Warning } else { Tone::Plain };
            let points = word(&score.points.to_string(), tone);
            vec![cell(&score.runbook), points, cell(score.missing.join("; "))]
        })
        .collect();
    table(style, &["LEAST COMPLETE", "POINTS", "MISSING"], &rows)
}

fn captures(captured: &Captured) -> String {
    let mut text = format!(
        "{} captures of {} are known by their runbooks.",
        captured.known,
        captured.technologies.join(", ")
    );
    if !captured.without_capture.is_empty() {
        let list = captured.without_capture.join("\n  ");
        let _ = write!(text, "\nReproduced in these technologies, but not captured:\n  {list}");
    }
    if captured.elsewhere > 0 {
        let _ = write!(text, "\n{} more in technologies without captures.", captured.elsewhere);
    }
    text
}

fn problems(problems: &[Problem]) -> String {
    let lines: Vec<String> =
        problems.iter().map(|p| format!("{}: {}\n  -> {}", p.file, p.what, p.remedy)).collect();
    lines.join("\n")
}

fn last_line(judgement: &Judgement) -> String {
    let Judgement { runbooks, mean_points, .. } = judgement;
    let problems = judgement.review.problems.len();
    let refused = judgement.refused.len();
    format!(
        "{runbooks} runbooks, {mean_points} points on average; {problems} problems, {refused} files refused"
    )
}
