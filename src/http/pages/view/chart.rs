//! A line of values over time: as a drawing with no style or script of its own, and as what the
//! browser draws in its place.
//!
//! A gap in what is known is a gap in the line: nothing is drawn between two values that are far
//! apart. Behind the drawing stand the same values as a table.

use std::fmt::Write;

use selfheal_agents::model::{ObservedValue, Timestamp};

use super::plot::{Look, Plot, Series, seconds};
use super::{When, length};
use crate::coordinator::{ERROR_LINES, Level};

/// The drawing's own units; the page stretches it.
const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 96.0;
/// Left free at its edges, so that the line is not cut off.
const EDGE: f64 = 3.0;
/// Values drawn of one line at most: the highest of each stretch.
const MOST: usize = 300;
/// Values in the table.
const ROWS: usize = 12;
/// Values further apart than this have something unknown between them, in seconds.
const GAP: i64 = 30 * 60;

/// A value and when it was seen.
type Point = (Timestamp, f64);

/// A value of the table.
pub(super) struct Value {
    pub(super) at: When,
    pub(super) text: String,
}

/// A value with nothing known beside it.
pub(super) struct Dot {
    pub(super) x: String,
    pub(super) y: String,
}

/// One line.
pub(super) struct Chart {
    pub(super) name: String,
    /// What it shows, in words.
    pub(super) said: String,
    pub(super) top: String,
    pub(super) bottom: String,
    pub(super) lines: Vec<String>,
    pub(super) dots: Vec<Dot>,
    pub(super) values: Vec<Value>,
    /// The same for the browser to draw.
    pub(super) plot: String,
}

/// One line for each level, by name; those without a value are left out.
pub(super) fn charts(levels: &[Level], now: Timestamp) -> Vec<Chart> {
    let drawn = levels.iter().filter(|level| !level.points.is_empty());
    drawn.map(|level| chart(&name_of(&level.check), &level.unit, &level.points, now)).collect()
}

/// What a person calls it; a check that is not named here is called as it is.
fn name_of(check: &str) -> String {
    let (base, instance) = check.split_once(':').unwrap_or((check, ""));
    let name = match base {
        "container.cpu" => "Processor, of one core",
        "container.memory" | "redis.memory" => "Memory, of its limit",
        "container.deaths" => "Deaths in ten minutes",
        "host.cpu" => "Processors",
        "host.memory" => "Memory",
        "host.disk" => "Disk",
        "host.inodes" => "Inodes",
        "http.latency" | "postgres.latency" | "mysql.latency" | "redis.latency" => "Time to answer",
        "postgres.connections" | "mysql.connections" => "Connections",
        "redis.clients" => "Clients",
        ERROR_LINES => "Error lines in its log",
        _ => return check.to_owned(),
    };
    if instance.is_empty() { name.to_owned() } else { format!("{name} {instance}") }
}

fn chart(name: &str, unit: &str, all: &[Point], now: Timestamp) -> Chart {
    let points: Vec<Point> = all
        .chunks(all.len().div_ceil(MOST).max(1))
        .filter_map(|some| some.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1)))
        .collect();
    let values = || all.iter().map(|(_, value)| *value);
    let (low, high) =
        (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let (bottom, top) = scale(unit, low, high);
    let (from, to) = (all[0].0, all[all.len() - 1].0);
    let place = |(at, value): &Point| {
        let (seconds, span) = ((*at - from).num_seconds() as f64, (to - from).num_seconds() as f64);
        let x = if span > 0.0 { seconds / span } else { 1.0 };
        let y = (top - value) / (top - bottom);
        (EDGE + x * (WIDTH - 2.0 * EDGE), EDGE + y * (HEIGHT - 2.0 * EDGE))
    };
    let pieces = || points.chunk_by(|a, b| (b.0 - a.0).num_seconds() <= GAP);
    let plot = Plot {
        span: (seconds(from), seconds(to)),
        shaded: vec![],
        series: vec![series(name, unit, (bottom, top), pieces())],
    };
    let (single, long): (Vec<_>, Vec<_>) = pieces().partition(|piece| piece.len() == 1);
    let shown = |value: f64| with_unit(value, unit);
    Chart {
        name: name.to_owned(),
        said: format!(
            "{} now, {} to {} in {}",
            shown(all[all.len() - 1].1),
            shown(low),
            shown(high),
            length((to - from).num_seconds().unsigned_abs())
        ),
        top: shown(top),
        bottom: shown(bottom),
        lines: long.into_iter().map(|piece| line(piece.iter().map(place))).collect(),
        dots: single.into_iter().map(|piece| dot(place(&piece[0]))).collect(),
        values: table(&points, &shown, now),
        plot: plot.json(),
    }
}

/// The line for the browser, with nothing between two pieces of it.
fn series<'a>(
    name: &str,
    unit: &str,
    range: (f64, f64),
    pieces: impl Iterator<Item = &'a [Point]>,
) -> Series {
    let (mut at, mut values) = (vec![], vec![]);
    for piece in pieces {
        if let Some(last) = at.last() {
            at.push((last + seconds(piece[0].0)) / 2.0);
            values.push(None);
        }
        at.extend(piece.iter().map(|(when, _)| seconds(*when)));
        values.extend(piece.iter().map(|(_, value)| Some(*value)));
    }
    let (name, unit) = (name.to_owned(), unit.to_owned());
    Series { name, unit, range, tone: "accent", look: Look::Line, at, values }
}

/// What the lower and the upper edge stand for: a share always from nothing to all of it.
fn scale(unit: &str, low: f64, high: f64) -> (f64, f64) {
    let bottom = low.min(0.0);
    if unit == "%" {
        return (bottom, high.max(100.0));
    }
    (bottom, if high > bottom { high } else { bottom + 1.0 })
}

fn with_unit(value: f64, unit: &str) -> String {
    let space = if unit.is_empty() { "" } else { " " };
    format!("{}{space}{unit}", ObservedValue::Number(value))
}

fn line(places: impl Iterator<Item = (f64, f64)>) -> String {
    let mut points = String::new();
    for (x, y) in places {
        let _ = write!(points, "{x:.1},{y:.1} ");
    }
    points.trim_end().to_owned()
}

fn dot((x, y): (f64, f64)) -> Dot {
    Dot { x: format!("{x:.1}"), y: format!("{y:.1}") }
}

/// Some of the values, the newest first.
fn table(points: &[Point], shown: &impl Fn(f64) -> String, now: Timestamp) -> Vec<Value> {
    let step = points.len().div_ceil(ROWS).max(1);
    let value = |(at, value): &Point| Value { at: When::new(*at, now), text: shown(*value) };
    points.iter().rev().step_by(step).map(value).collect()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn drawn(values: &[(i64, f64)], unit: &str) -> Chart {
        let at = |minutes: i64| Timestamp::UNIX_EPOCH + TimeDelta::minutes(minutes);
        let level = Level {
            check: "host.memory".to_owned(),
            unit: unit.to_owned(),
            points: values.iter().map(|(minutes, value)| (at(*minutes), *value)).collect(),
        };
        let empty = Level { points: vec![], ..level.clone() };
        let mut charts = charts(&[level, empty], at(180));
        assert_eq!(charts.len(), 1, "and none of what has no value");
        charts.remove(0)
    }

    #[test]
    fn a_share_is_drawn_between_nothing_and_all_of_it() {
        let chart = drawn(&[(0, 50.0), (10, 100.0), (20, 0.0)], "%");
        assert_eq!(chart.lines, ["3.0,48.0 160.0,3.0 317.0,93.0"]);
        assert_eq!((chart.bottom.as_str(), chart.top.as_str()), ("0 %", "100 %"));
        assert_eq!(chart.said, "0 % now, 0 % to 100 % in 20 min");
    }

    #[test]
    fn nothing_is_drawn_where_nothing_is_known() {
        let chart = drawn(&[(0, 1.0), (5, 1.0), (100, 1.0), (160, 1.0), (165, 1.0)], "");
        assert_eq!((chart.lines.len(), chart.dots.len()), (2, 1));
        let plot: serde_json::Value = serde_json::from_str(&chart.plot).unwrap();
        let series = &plot["series"][0];
        assert_eq!(series["values"], serde_json::json!([1.0, 1.0, null, 1.0, null, 1.0, 1.0]));
        assert_eq!(series["at"][2], 52.5 * 60.0, "between the two that are known");
    }

    #[test]
    fn a_single_value_and_values_that_are_all_the_same_have_a_place() {
        for values in [&[(0, 0.0)][..], &[(0, 7.0), (0, 7.0)], &[(0, -3.0), (5, -3.0)]] {
            let chart = drawn(values, "ms");
            let drawn = format!("{}{}", chart.lines.join(" "), chart.dots.len());
            assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        }
    }

    #[test]
    fn the_highest_of_many_values_is_never_left_out() {
        let mut values: Vec<(i64, f64)> = (0..5000).map(|minute| (minute, 10.0)).collect();
        values[2501].1 = 100.0;
        let chart = drawn(&values, "%");
        assert!(chart.lines[0].contains(",3.0"), "the peak reaches the upper edge");
        assert!(chart.lines[0].split(' ').count() <= MOST);
        assert!(chart.values.len() <= ROWS);
    }
}
