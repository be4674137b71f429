//! The score card: one row a drill, and one sentence. Pure.

use std::time::Duration;

use selfheal_agents::model::TargetId;
use serde::Serialize;

use super::kinds::Kind;
use super::verdict::{Did, Verdict};
use crate::cli::output::{Exit, Style};
use crate::cli::table::{Cell, Tone, cell, paint, table, word};

/// One drill.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    /// The container.
    pub(super) container: TargetId,
    /// What was broken.
    pub(super) drill: Kind,
    /// What should have happened.
    pub(super) expected: &'static str,
    /// What Selfheal did, by its own account.
    pub(super) did: Option<Did>,
    /// From the fault until everything worked again.
    #[serde(rename = "well_after_secs", serialize_with = "seconds")]
    pub(super) well_after: Option<Duration>,
    /// How it went.
    pub(super) verdict: Verdict,
    /// Why, where the verdict alone does not say it.
    pub(super) why: Option<String>,
    /// What the drill itself had to put back.
    pub(super) put_back: Option<String>,
    /// What could not be put back, with what to type.
    pub(super) left_broken: Option<String>,
}

#[expect(clippy::ref_option, reason = "serde hands over a reference")]
fn seconds<S: serde::Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(to)
}

impl Row {
    /// A drill that was not done.
    pub(super) const fn undone(
        container: TargetId,
        drill: Kind,
        expected: &'static str,
        why: String,
    ) -> Self {
        Self {
            container,
            drill,
            expected,
            did: None,
            well_after: None,
            verdict: Verdict::NotPossible,
            why: Some(why),
            put_back: None,
            left_broken: None,
        }
    }

    fn is_wrong(&self) -> bool {
        self.verdict.is_wrong() || self.left_broken.is_some()
    }
}

/// All drills.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Card {
    /// In the order in which they were done.
    pub(super) drills: Vec<Row>,
    /// The totals in words.
    pub(super) summary: String,
    /// Whether all that was done went as it should.
    pub(super) passed: bool,
}

impl Card {
    /// Sums up. Nothing done is nothing proved.
    pub(super) fn of(drills: Vec<Row>) -> Self {
        let done = drills.iter().filter(|row| row.verdict != Verdict::NotPossible).count();
        let wrong = drills.iter().filter(|row| row.is_wrong()).count();
        let passed = done > 0 && wrong == 0;
        Self { summary: summary(&drills, done, wrong), passed, drills }
    }

    /// 0 when all is as it should be.
    pub(super) const fn exit(&self) -> Exit {
        if self.passed { Exit::Done } else { Exit::Wrong }
    }
}

fn summary(drills: &[Row], done: usize, wrong: usize) -> String {
    if done == 0 {
        return "No drill was done.".to_owned();
    }
    let with = |verdict| drills.iter().filter(|row| row.verdict == verdict).count();
    let counts = [
        (with(Verdict::Healed), "healed by Selfheal"),
        (with(Verdict::HealedByDocker), "by Docker"),
        (with(Verdict::HealedByItself), "by itself"),
        (with(Verdict::LeftAlone) + with(Verdict::Told), "rightly left alone"),
        (with(Verdict::NotHealed), "not healed"),
        (with(Verdict::TouchedWrongly), "touched wrongly"),
        (with(Verdict::BrokenOff), "broken off"),
    ];
    let counts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!("{count} {words}"))
        .collect();
    let drills_word = if done == 1 { "drill" } else { "drills" };
    let as_it_should = match wrong {
        0 => "all as it should be",
        1 => "1 not as it should be",
        _ => {
            return format!(
                "{done} {drills_word}, {wrong} not as they should be: {}.",
                counts.join(", ")
            );
        }
    };
    let median = median(drills)
        .map(|time| format!(" Half of what Selfheal healed was well within {time:.1} s."));
    let median = median.unwrap_or_default();
    format!("{done} {drills_word}, {as_it_should}: {}.{median}", counts.join(", "))
}

/// Of what Selfheal healed, in seconds.
fn median(drills: &[Row]) -> Option<f64> {
    let healed = drills.iter().filter(|row| row.verdict == Verdict::Healed);
    let mut times: Vec<Duration> = healed.filter_map(|row| row.well_after).collect();
    times.sort_unstable();
    times.get(times.len().saturating_sub(1) / 2).map(Duration::as_secs_f64)
}

const HEADS: [&str; 7] =
    ["CONTAINER", "DRILL", "EXPECTED", "SELFHEAL", "WELL AFTER", "VERDICT", "WHY"];

/// The card as a person reads it.
pub(super) fn shown(card: &Card, style: &Style) -> String {
    let rows: Vec<Vec<Cell>> = card.drills.iter().map(cells).collect();
    let tone = if card.passed { Tone::Good } else { Tone::Bad };
    format!("{}\n\n{}", table(style, &HEADS, &rows), paint(style, &card.summary, tone))
}

fn cells(row: &Row) -> Vec<Cell> {
    let after = row.well_after.map(|time| format!("{:.1} s", time.as_secs_f64()));
    let tone = match row.verdict {
        _ if row.is_wrong() => Tone::Bad,
        Verdict::NotPossible => Tone::Plain,
        _ => Tone::Good,
    };
    let idle = if row.verdict == Verdict::NotPossible { "-" } else { "nothing" };
    let put_back = row.put_back.as_ref().map(|what| format!("the drill put it back: {what}"));
    let why = [&row.why, &put_back, &row.left_broken].into_iter().flatten();
    let why: Vec<&str> = why.map(String::as_str).collect();
    vec![
        cell(row.container.name()),
        cell(row.drill.word()),
        cell(row.expected),
        cell(row.did.as_ref().map_or_else(|| idle.to_owned(), deed)),
        cell(after.as_deref().unwrap_or("-")),
        word(row.verdict.words(), tone),
        cell(why.join("; ")),
    ]
}

fn deed(did: &Did) -> String {
    match did.fix_type.as_ref().filter(|_| did.applied_at.is_some()) {
        Some(fix) => format!("{fix}, {}", did.state.as_str()),
        None => format!("no fix, {}", did.state.as_str()),
    }
}

/// One kind of drill, for people who want to know before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Listed {
    drill: Kind,
    breaks: &'static str,
    must_happen: &'static str,
    would_be_wrong: &'static str,
}

impl From<Kind> for Listed {
    fn from(drill: Kind) -> Self {
        Self {
            drill,
            breaks: drill.breaks(),
            must_happen: drill.must(),
            would_be_wrong: drill.wrong(),
        }
    }
}

/// What there is to drill.
pub(super) fn list(kinds: &[Listed], style: &Style) -> String {
    let line = |one: &Listed| {
        let texts = [one.drill.word(), one.breaks, one.must_happen, one.would_be_wrong];
        texts.into_iter().map(cell).collect::<Vec<_>>()
    };
    let rows: Vec<_> = kinds.iter().map(line).collect();
    table(style, &["DRILL", "BREAKS", "MUST HAPPEN", "WOULD BE WRONG"], &rows)
}

#[cfg(test)]
mod tests {
    use selfheal_agents::model::{IncidentId, IncidentState, Timestamp};

    use super::*;

    fn row(drill: Kind, verdict: Verdict, well_after: Option<f64>) -> Row {
        let container = TargetId::container("web");
        let undone = Row::undone(container, drill, "started again", String::new());
        let well_after = well_after.map(Duration::from_secs_f64);
        Row { verdict, well_after, why: None, ..undone }
    }

    fn healed(after: f64) -> Row {
        let did = Did {
            incident: IncidentId(uuid::Uuid::nil()),
            target: TargetId::container("web"),
            title: "it ended".to_owned(),
            state: IncidentState::Resolved,
            fix_type: Some("container.start".to_owned()),
            fix_target: Some(TargetId::container("web")),
            applied_at: Some(Timestamp::UNIX_EPOCH),
            holds: vec![],
        };
        Row { did: Some(did), ..row(Kind::Crash, Verdict::Healed, Some(after)) }
    }

    fn impossible() -> Row {
        Row {
            why: Some("it does not run".to_owned()),
            ..row(Kind::Hang, Verdict::NotPossible, None)
        }
    }

    #[test]
    fn a_card_passes_when_all_that_was_done_went_as_it_should() {
        let card = Card::of(vec![
            healed(1.25),
            impossible(),
            Row {
                put_back: Some("started it".to_owned()),
                ..row(Kind::Stop, Verdict::LeftAlone, None)
            },
        ]);
        assert_eq!(card.exit(), Exit::Done);
        let style = Style { terminal: false, color: false, width: 100, now: Timestamp::UNIX_EPOCH };
        insta::assert_snapshot!(shown(&card, &style));
    }

    #[test]
    fn nothing_done_is_nothing_proved() {
        assert_eq!(Card::of(vec![impossible()]).exit(), Exit::Wrong);
        assert_eq!(Card::of(vec![]).exit(), Exit::Wrong);
    }

    #[test]
    fn what_is_wrong_or_left_broken_fails_the_card() {
        for verdict in [Verdict::NotHealed, Verdict::TouchedWrongly, Verdict::BrokenOff] {
            let card = Card::of(vec![healed(1.0), row(Kind::Hang, verdict, None)]);
            assert!(
                card.exit() == Exit::Wrong && card.summary.contains("1 not"),
                "{}",
                card.summary
            );
        }
        let left = Row { left_broken: Some("docker start web".to_owned()), ..healed(1.0) };
        assert_eq!(Card::of(vec![left]).exit(), Exit::Wrong);
    }

    #[test]
    fn the_time_in_the_summary_is_the_middle_one_of_what_selfheal_healed() {
        let times = [9.0, 1.0, 4.0];
        let mut rows: Vec<Row> = times.into_iter().map(healed).collect();
        rows.push(row(Kind::Crash, Verdict::HealedByDocker, Some(0.1)));
        assert!(Card::of(rows).summary.ends_with("was well within 4.0 s."));
    }

    #[test]
    fn every_drill_is_listed_with_what_must_happen() {
        let style = Style { terminal: false, color: false, width: 100, now: Timestamp::UNIX_EPOCH };
        let text = list(&Kind::ALL.map(Listed::from), &style);
        assert_eq!(text.lines().count(), 1 + Kind::ALL.len());
        assert!(text.lines().all(|line| line.split('\t').all(|cell| !cell.is_empty())), "{text}");
    }
}
