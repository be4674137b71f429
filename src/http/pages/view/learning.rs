//! The page of what outcomes have taught.

use askama::Template;
use selfheal_agents::learning_engine::{
    CalibrationBin, ENOUGH, ShadowReport, ShadowRow, TypeStatistics, wilson_lower_bound,
};
use selfheal_agents::model::{Autonomy, Timestamp};

use super::chart::{Chart, charts};
use super::{Frame, When, length};
use crate::coordinator::Level;
use crate::http::results::Results;

/// The side of the calibration's square, in the drawing's units.
const SIDE: f64 = 200.0;

/// One fix type; places are shares of the drawing's width, in percent.
struct FixType {
    name: String,
    helped: String,
    rate: String,
    interval: String,
    repair: String,
    from: String,
    width: String,
    at: String,
}

struct Bin {
    range: String,
    fixes: usize,
    predicted: String,
    achieved: String,
    x: String,
    y: String,
}

struct Shadowed {
    target: String,
    what: String,
    since: When,
    would: usize,
    came: String,
    confirmed: usize,
}

/// `/learning`.
#[derive(Template)]
#[template(path = "learning.html")]
pub(in crate::http::pages) struct LearningPage {
    frame: Frame,
    summary: String,
    enough: usize,
    types: Vec<FixType>,
    bins: Vec<Bin>,
    /// Time to repair, over time.
    charts: Vec<Chart>,
    earned: bool,
    needed: usize,
    shadows: Vec<Shadowed>,
}

impl LearningPage {
    pub(in crate::http::pages) fn new(
        results: &Results,
        shadow: &ShadowReport,
        now: Timestamp,
    ) -> Self {
        let statistics = &results.statistics;
        let summary = match statistics.last_updated {
            None => "No fix was applied yet.".to_owned(),
            Some(at) => format!(
                "{} of {} helped; the last one was judged {}.",
                percent(statistics.success_rate),
                if statistics.total_fixes == 1 {
                    "1 fix".to_owned()
                } else {
                    format!("{} fixes", statistics.total_fixes)
                },
                When::new(at, now).ago
            ),
        };
        Self {
            frame: Frame::on("/learning"),
            summary,
            enough: ENOUGH,
            types: statistics.by_type.iter().map(|(name, its)| fix_type(name, its)).collect(),
            bins: statistics.calibration.iter().map(bin).collect(),
            charts: charts(&[repairs(results)], now),
            earned: shadow.autonomy == Autonomy::Earned,
            needed: shadow.needed,
            shadows: shadow.rows.iter().map(|row| shadowed(row, now)).collect(),
        }
    }
}

/// How long each repair took that helped.
fn repairs(results: &Results) -> Level {
    Level {
        check: "Time to repair".to_owned(),
        unit: "s".to_owned(),
        points: results.repairs.clone(),
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn fix_type(name: &str, its: &TypeStatistics) -> FixType {
    // The upper end for what helped is one less the lower end for what did not.
    let upper = 1.0 - wilson_lower_bound(its.total - its.successes, its.total);
    let place = |share: f64| format!("{:.1}", share * 100.0);
    FixType {
        name: name.to_owned(),
        helped: format!("{} of {}", its.successes, its.total),
        rate: percent(its.success_rate),
        interval: format!("{} to {}", percent(its.lower_bound), percent(upper)),
        repair: its.median_repair_secs.map_or_else(|| "–".to_owned(), said),
        from: place(its.lower_bound),
        width: place(upper - its.lower_bound),
        at: place(its.success_rate),
    }
}

/// A length in seconds, in words.
fn said(seconds: f64) -> String {
    match seconds {
        ..10.0 => format!("{seconds:.1} s"),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "ten or more, and what is too large is the largest"
        )]
        _ => length(seconds as u64),
    }
}

fn bin(bin: &CalibrationBin) -> Bin {
    Bin {
        range: format!("{} to {} %", bin.from, bin.to),
        fixes: bin.total,
        predicted: percent(bin.predicted),
        achieved: percent(bin.achieved),
        x: format!("{:.1}", bin.predicted * SIDE),
        y: format!("{:.1}", (1.0 - bin.achieved) * SIDE),
    }
}

fn shadowed(row: &ShadowRow, now: Timestamp) -> Shadowed {
    let came = [
        (row.same_way, "mended in the same way"),
        (row.came_back, "came back after that"),
        (row.by_itself, "well again without it"),
        (row.approved, "approved"),
        (row.dismissed, "dismissed"),
        (row.under_way, "still open"),
    ];
    let told = came.iter().filter(|(times, _)| *times > 0);
    Shadowed {
        target: row.target.to_string(),
        what: format!("{} for {}", row.fix_type, row.issue_type),
        since: When::new(row.since, now),
        would: row.would_have_acted,
        came: told.map(|(times, what)| format!("{times} {what}")).collect::<Vec<_>>().join(", "),
        confirmed: row.confirmed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_holds_the_rate_and_stays_within_the_drawing() {
        for (successes, total) in [(0, 1), (1, 1), (3, 7), (99, 100)] {
            let rate = successes as f64 / total as f64;
            let its = TypeStatistics {
                total,
                successes,
                success_rate: rate,
                lower_bound: wilson_lower_bound(successes, total),
                median_repair_secs: None,
            };
            let shown = fix_type("container.restart", &its);
            let number = |text: &str| text.parse::<f64>().unwrap();
            let (from, width, at) = (number(&shown.from), number(&shown.width), number(&shown.at));
            assert!(from >= 0.0 && from + width <= 100.11, "{from} {width}");
            assert!(from <= at + 0.11 && at <= from + width + 0.11, "{from} {at} {width}");
        }
    }

    #[test]
    fn what_is_as_sure_as_it_is_good_lies_on_the_line() {
        let seen =
            bin(&CalibrationBin { from: 80, to: 89, total: 4, predicted: 0.75, achieved: 0.75 });
        assert_eq!((seen.x.as_str(), seen.y.as_str()), ("150.0", "50.0"));
    }
}
