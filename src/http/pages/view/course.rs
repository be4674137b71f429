//! Before and after a fix, drawn: error lines and answers over time, with the validation window
//! shaded, and the same as a table.
//!
//! The drawing is for whoever has no script; the browser draws the same from [`Course::plot`].
//!
//! Nothing is drawn that was not seen: before the fix only what was counted then.

use std::fmt::Write;
use std::time::Duration;

use selfheal_agents::model::{ErrorCount, Timestamp, Validation, ValidationSample};

use super::When;
use super::plot::{Look, Plot, Series, Shade, seconds};

/// The drawing's own units; the page stretches it.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 120.0;
/// Left free at its edges.
const EDGE: f64 = 4.0;
/// Looks in the table at most, the newest.
const MOST_LOOKS: usize = 200;
/// The longest time before the fix that is looked back on, in seconds.
const MOST_BEFORE: f64 = 86_400.0;

/// One look of the window, as a row of the table.
pub(super) struct LookRow {
    pub(super) at: When,
    pub(super) tone: &'static str,
    pub(super) word: &'static str,
    pub(super) errors: u64,
    pub(super) latency: String,
    pub(super) detail: String,
}

/// A value and when it was seen.
type Point = (Timestamp, f64);

/// Whether it was well at a moment.
pub(super) struct Mark {
    pub(super) x: String,
    pub(super) tone: &'static str,
}

/// A stretch of time.
pub(super) struct Stretch {
    pub(super) x: String,
    pub(super) width: String,
}

/// The course of one fix.
pub(super) struct Course {
    /// What it shows, in words.
    pub(super) said: String,
    /// The window, and the part of it in which a start may take its time.
    pub(super) window: Stretch,
    pub(super) grace: Stretch,
    /// Error lines by the minute before the fix and after it, and what is usual.
    pub(super) before: Option<String>,
    pub(super) after: String,
    pub(super) usual: Option<String>,
    /// How long answers took, where they were measured.
    pub(super) latency: Option<String>,
    pub(super) latency_said: String,
    pub(super) marks: Vec<Mark>,
    pub(super) top: String,
    pub(super) looks: Vec<LookRow>,
    /// The same for the browser to draw.
    pub(super) plot: String,
}

/// Times and values, brought into the drawing.
struct Scale {
    from: Timestamp,
    seconds: f64,
    top: f64,
}

impl Scale {
    fn x(&self, at: Timestamp) -> f64 {
        let share = (at - self.from).as_seconds_f64() / self.seconds;
        EDGE + share.clamp(0.0, 1.0) * (WIDTH - 2.0 * EDGE)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - EDGE - (value / self.top).clamp(0.0, 1.0) * (HEIGHT - 4.0 * EDGE)
    }

    fn line(&self, points: &[Point]) -> String {
        let mut line = String::new();
        for (at, value) in points {
            let _ = write!(line, "{:.1},{:.1} ", self.x(*at), self.y(*value));
        }
        line.trim_end().to_owned()
    }

    fn stretch(&self, from: Timestamp, to: Timestamp) -> Stretch {
        let (from, to) = (self.x(from), self.x(to));
        Stretch { x: format!("{from:.1}"), width: format!("{:.1}", (to - from).max(0.0)) }
    }
}

fn per_minute(count: ErrorCount) -> Option<f64> {
    (count.secs > 0.0).then(|| count.lines as f64 * 60.0 / count.secs)
}

/// Error lines by the minute between one look and the next.
fn rates(window: &Validation) -> Vec<Point> {
    let mut last = window.started_at;
    let mut rates = vec![];
    for sample in &window.samples {
        let minutes = (sample.at - last).as_seconds_f64() / 60.0;
        if minutes > 0.0 {
            rates.push((sample.at, sample.error_lines as f64 / minutes));
        }
        last = sample.at;
    }
    rates
}

impl Course {
    /// Of the window of an incident that began at `onset`; nothing before the first look.
    pub(super) fn of(window: &Validation, onset: Timestamp, now: Timestamp) -> Option<Self> {
        let last = window.samples.last()?.at;
        let end = if window.verdict.is_some() { last } else { last.max(window.ends_at) };
        let after = rates(window);
        let before = window.before.and_then(|trouble| per_minute(trouble.errors));
        let usual = window.baseline_errors_per_minute;
        // It was counted from before it was found. A fault that lasted for days would leave no room
        // for the window.
        let counted = window.before.map_or(0.0, |trouble| trouble.errors.secs);
        let counted = Duration::from_secs_f64(counted.clamp(0.0, MOST_BEFORE));
        let counted_from = window.started_at - counted;
        let from = onset.min(counted_from).max(window.started_at - (end - window.started_at));
        let highest = after.iter().map(|(_, rate)| *rate).chain(before).chain(usual);
        let scale = Scale {
            from,
            seconds: (end - from).as_seconds_f64().max(1.0),
            top: highest.fold(1.0, f64::max),
        };
        let flat = |from, to, rate: f64| vec![(from, rate), (to, rate)];
        let before_it = before.map(|rate| flat(counted_from.max(from), window.started_at, rate));
        let usual = usual.map(|rate| flat(from, end, rate));
        let latency = latency(window);
        let slowest = latency.iter().map(|(_, ms)| *ms).fold(1.0, f64::max);
        let drawn = |points: &Vec<Point>| scale.line(points);
        let (whole, grace) = ((window.started_at, end), window.grace_until.min(end));
        let lines = [
            before_it.as_ref().map(|line| rate("before", "critical", Look::Line, scale.top, line)),
            Some(rate("after", "accent", Look::Line, scale.top, &after)),
            usual.as_ref().map(|line| rate("usual", "soft", Look::Dashed, scale.top, line)),
            (!latency.is_empty()).then(|| answers(slowest, &latency)),
        ];
        let plot = Plot {
            span: (seconds(from), seconds(end)),
            shaded: vec![shade("calm-back", whole), shade("line", (window.started_at, grace))],
            series: lines.into_iter().flatten().chain(marks(window)).collect(),
        };
        Some(Self {
            said: said(window, before, &after),
            window: scale.stretch(window.started_at, end),
            grace: scale.stretch(window.started_at, grace),
            before: before_it.as_ref().map(drawn),
            after: drawn(&after),
            usual: usual.as_ref().map(drawn),
            latency_said: latency.last().map_or_else(String::new, |(_, last)| {
                format!("Answers took at most {slowest:.0} ms, at last {last:.0} ms.")
            }),
            latency: (!latency.is_empty()).then(|| Scale { top: slowest, ..scale }.line(&latency)),
            marks: window.samples.iter().map(|sample| mark(sample, &scale)).collect(),
            top: format!("{:.0}", scale.top),
            looks: window.samples.iter().rev().take(MOST_LOOKS).map(|s| look(s, now)).collect(),
            plot: plot.json(),
        })
    }
}

/// How long answers took, where they were measured.
fn latency(window: &Validation) -> Vec<Point> {
    window.samples.iter().filter_map(|s| Some((s.at, s.latency_ms?))).collect()
}

fn shade(tone: &'static str, (from, to): (Timestamp, Timestamp)) -> Shade {
    Shade { tone, from: seconds(from), to: seconds(to) }
}

/// Error lines by the minute, for the browser to draw.
fn rate(name: &str, tone: &'static str, look: Look, top: f64, line: &[Point]) -> Series {
    let name = format!("Error lines a minute, {name}");
    series(name, "", (0.0, top), tone, look, line.iter().copied())
}

fn answers(top: f64, line: &[Point]) -> Series {
    let name = "Time to answer".to_owned();
    series(name, "ms", (0.0, top), "warning", Look::Dashed, line.iter().copied())
}

/// Each look, as a mark.
fn marks(window: &Validation) -> impl Iterator<Item = Series> + '_ {
    [("well", "ok", true), ("not well", "critical", false)].into_iter().filter_map(
        |(word, tone, healthy)| {
            let of = window.samples.iter().filter(|sample| sample.healthy == healthy);
            let name = format!("A look: {word}");
            let row = series(name, "look", (0.0, 1.0), tone, Look::Marks, of.map(|s| (s.at, 0.0)));
            (!row.at.is_empty()).then_some(row)
        },
    )
}

fn series(
    name: String,
    unit: &str,
    range: (f64, f64),
    tone: &'static str,
    look: Look,
    points: impl Iterator<Item = Point>,
) -> Series {
    let (at, values) = points.map(|(at, value)| (seconds(at), Some(value))).unzip();
    Series { name, unit: unit.to_owned(), range, tone, look, at, values }
}

fn said(window: &Validation, before: Option<f64>, after: &[Point]) -> String {
    let well = window.samples.iter().filter(|sample| sample.healthy).count();
    let before =
        before.map_or_else(|| "not counted before".to_owned(), |n| format!("{n:.1} before"));
    let last = after.last().map_or(0.0, |(_, rate)| *rate);
    let usual = window
        .baseline_errors_per_minute
        .map_or_else(String::new, |rate| format!(", usually {rate:.1}"));
    format!(
        "Error lines a minute: {before} the fix, {last:.1} at last{usual}; well at {well} of {} looks",
        window.samples.len()
    )
}

fn mark(sample: &ValidationSample, scale: &Scale) -> Mark {
    let tone = if sample.healthy { "ok" } else { "critical" };
    Mark { x: format!("{:.1}", scale.x(sample.at)), tone }
}

fn look(sample: &ValidationSample, now: Timestamp) -> LookRow {
    LookRow {
        at: When::new(sample.at, now),
        tone: if sample.healthy { "ok" } else { "critical" },
        word: if sample.healthy { "well" } else { "not well" },
        errors: sample.error_lines,
        latency: sample.latency_ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.0} ms")),
        detail: sample.detail.clone(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::json;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn window(samples: &[(i64, bool, u64)]) -> Validation {
        let samples: Vec<_> = samples
            .iter()
            .map(|(seconds, healthy, lines)| {
                json!({ "at": at(*seconds), "healthy": healthy, "error_lines": lines,
                    "latency_ms": seconds, "detail": "" })
            })
            .collect();
        let window = json!({
            "started_at": at(60), "ends_at": at(120), "grace_until": at(75), "window_secs": 60,
            "baseline_errors_per_minute": 0.5, "recovered_at": null, "failing_in_a_row": 0,
            "before": { "said": { "lines": 0, "secs": 60.0 }, "errors": { "lines": 20, "secs": 60.0 } },
            "deaths": 0, "samples": samples, "verdict": "kept", "why": null
        });
        serde_json::from_value(window).expect("it is a window")
    }

    #[test]
    fn the_window_begins_where_the_fix_was_and_what_was_before_stands_before_it() {
        // It was found when it was fixed, and counted from a minute before that.
        let course =
            Course::of(&window(&[(90, false, 5), (120, true, 0)]), at(60), at(130)).unwrap();
        assert_eq!((course.window.x.as_str(), course.window.width.as_str()), ("320.0", "316.0"));
        assert_eq!((course.grace.x.as_str(), course.grace.width.as_str()), ("320.0", "79.0"));
        assert_eq!(course.before.unwrap(), "4.0,12.0 320.0,12.0", "it was the highest");
        assert_eq!(course.after, "478.0,64.0 636.0,116.0", "ten a minute, then none");
        assert_eq!(course.marks.iter().map(|m| m.tone).collect::<Vec<_>>(), ["critical", "ok"]);
        assert_eq!(
            course.said,
            "Error lines a minute: 20.0 before the fix, 0.0 at last, usually 0.5; well at 1 of 2 looks"
        );
        assert!(course.latency_said.contains("at most 120 ms"), "{}", course.latency_said);
        let plot: serde_json::Value = serde_json::from_str(&course.plot).unwrap();
        assert_eq!(
            (&plot["span"], &plot["series"][0]["at"]),
            (&json!([0.0, 120.0]), &json!([0.0, 60.0]))
        );
        let shaded = &plot["shaded"];
        assert_eq!((&shaded[0]["from"], &shaded[0]["to"]), (&json!(60.0), &json!(120.0)));
        assert_eq!((&shaded[1]["from"], &shaded[1]["to"]), (&json!(60.0), &json!(75.0)));
        let names = plot["series"].as_array().unwrap().iter().map(|series| &series["name"]);
        assert_eq!(
            names.collect::<Vec<_>>(),
            [
                "Error lines a minute, before",
                "Error lines a minute, after",
                "Error lines a minute, usual",
                "Time to answer",
                "A look: well",
                "A look: not well"
            ]
        );
    }

    #[test]
    fn a_fault_of_days_leaves_room_for_the_window_and_no_look_draws_nothing() {
        let course = Course::of(&window(&[(120, true, 0)]), at(-99_999), at(130)).unwrap();
        assert_eq!(course.window.x, "320.0");
        assert!(Course::of(&window(&[]), at(0), at(130)).is_none());
    }
}
