//! `shadow`.

use selfheal_agents::learning_engine::{ShadowReport, ShadowRow};
use selfheal_agents::model::Autonomy;

use super::ago;
use crate::cli::output::Style;
use crate::cli::table::{Cell, Tone, cell, table, word};

const HEADS: [&str; 10] = [
    "TARGET",
    "ISSUE",
    "FIX",
    "SINCE",
    "WOULD ACT",
    "SAME WAY",
    "CAME BACK",
    "BY ITSELF",
    "DISMISSED",
    "EARNED",
];

/// What would have been done, and what came without it.
pub(crate) fn shadow(report: &ShadowReport, style: &Style) -> String {
    if report.rows.is_empty() && style.terminal {
        return "Nothing yet: no fix waited for the mode or for trust alone.".to_owned();
    }
    let rows: Vec<_> = report.rows.iter().map(|row| cells(row, report, style)).collect();
    let mut text = table(style, &HEADS, &rows);
    if style.terminal {
        for row in &report.rows {
            text.push_str(&sentence(row));
        }
    }
    text
}

fn cells(row: &ShadowRow, report: &ShadowReport, style: &Style) -> Vec<Cell> {
    let earned = match report.autonomy {
        Autonomy::Full => cell(row.confirmed),
        Autonomy::Earned if row.confirmed >= report.needed => word("yes", Tone::Good),
        Autonomy::Earned => cell(format!("{} of {}", row.confirmed, report.needed)),
    };
    vec![
        cell(&row.target),
        cell(&row.issue_type),
        cell(&row.fix_type),
        cell(ago(row.since, style.now)),
        cell(row.would_have_acted),
        cell(row.same_way),
        cell(row.came_back),
        cell(row.by_itself),
        cell(row.dismissed),
        earned,
    ]
}

fn sentence(row: &ShadowRow) -> String {
    format!(
        "\n{}: `{}` would have acted {}, {} recovered the same way without it",
        row.target,
        row.fix_type,
        times(row.would_have_acted),
        row.same_way
    )
}

fn times(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}
