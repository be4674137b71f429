//! `audit`: what was decided and done, and by whom; and whether that is as it was written. It reads
//! the file and, for the newest entry that is known there, the store, beside a daemon or without one.

use std::io::BufRead as _;
use std::path::Path;

use selfheal_agents::model::Timestamp;
use serde::Serialize;

use super::args::{Audit, AuditWhat};
use super::output::{Exit, Failure, Outcome, Output, Style, tell};
use super::table::{Tone, cell, paint, table};
use crate::audit::{Act, Entry, Head, Log, Verdict, append_alone, head_in};
use crate::config::Settings;
use crate::store::{OpenError, open_read_only};

/// What was found.
#[derive(Debug, Serialize)]
struct Examined {
    intact: bool,
    entries: u64,
    begins: Option<u64>,
    head: Option<String>,
    faults: Vec<String>,
    torn_bytes: usize,
}

impl Examined {
    fn of(verdict: Verdict) -> Self {
        let Verdict { entries, begins, head, faults, torn_bytes } = verdict;
        let head = head.map(|head| head.to_string());
        Self { intact: faults.is_empty(), entries, begins, head, faults, torn_bytes }
    }
}

pub(super) async fn run(asked: &Audit, settings: &Settings, out: Output) -> Outcome {
    let dir = &settings.data_dir;
    match &asked.what {
        None => {
            let newest = Log::open(dir).and_then(|log| log.newest(asked.limit));
            let newest = newest.map_err(|error| unreadable(dir, &error))?;
            out.show(&newest, |newest, style| listed(newest, style))?;
            Ok(Exit::Done)
        }
        Some(AuditWhat::Export) => {
            let log = Log::open(dir).map_err(|error| unreadable(dir, &error))?;
            for line in log.text().split(b'\n') {
                let line = line.map_err(|error| unreadable(dir, &error))?;
                if !out.part(&String::from_utf8_lossy(&line))? {
                    break;
                }
            }
            Ok(Exit::Done)
        }
        Some(AuditWhat::Verify { head }) => examine(dir, head.clone(), out).await,
    }
}

async fn examine(dir: &Path, head: Option<Head>, out: Output) -> Outcome {
    let verdict = verdict(dir, head).await?;
    let examined = Examined::of(verdict);
    out.show(&examined, found)?;
    Ok(if examined.intact { Exit::Done } else { Exit::Wrong })
}

/// What is to be said of the log of a data directory.
pub(super) async fn verdict(dir: &Path, head: Option<Head>) -> Result<Verdict, Failure> {
    // First the store: what a daemon writes meanwhile stands behind what it knows.
    let known = match open_read_only(dir).await {
        Ok(store) => head_in(&store).await.map_err(|error| error.to_string()),
        Err(OpenError::Missing { .. }) => Ok(None),
        Err(error) => Err(error.to_string()),
    };
    let known = known.unwrap_or_else(|error| {
        tell(format!("note: which entry is the newest the store does not say: {error}"));
        None
    });
    let witnesses: Vec<Head> = known.into_iter().chain(head).collect();
    let verdict = Log::open(dir).and_then(|log| log.verify(&witnesses));
    verdict.map_err(|error| unreadable(dir, &error))
}

fn unreadable(dir: &Path, error: &std::io::Error) -> Failure {
    let what = format!("the audit log in {} cannot be read: {error}", dir.display());
    Failure::new(Exit::Wrong, what).next("try as the user who runs Selfheal")
}

fn found(examined: &Examined, style: &Style) -> String {
    let count = match examined.entries {
        1 => "1 entry".to_owned(),
        count => format!("{count} entries"),
    };
    let mut lines = vec![];
    if examined.intact {
        let word = paint(style, "intact", Tone::Good);
        lines.push(format!("{word}: {count}, none altered or removed"));
    } else {
        let word = paint(style, "altered", Tone::Bad);
        lines.push(format!("{word}; as written: {count}"));
        lines.extend(examined.faults.iter().map(|fault| format!("  - {fault}")));
    }
    lines.extend(examined.begins.map(|begins| {
        format!("it begins with entry {begins}; those before were removed, which stands in it")
    }));
    if examined.torn_bytes > 0 {
        lines.push(
            "the last line was cut off by a crash; the next entry puts that right".to_owned(),
        );
    }
    lines.extend(examined.head.as_ref().map(|head| format!("newest entry  {head}")));
    lines.join("\n")
}

fn listed(newest: &[Entry], style: &Style) -> String {
    if newest.is_empty() {
        return "Nothing was decided or done yet".to_owned();
    }
    let rows: Vec<_> = newest
        .iter()
        .map(|entry| {
            let who = match entry.via.as_str() {
                via if via == entry.who => entry.who.clone(),
                via => format!("{} ({via})", entry.who),
            };
            let incident = entry.incident.map(|id| id.to_string());
            // The rightmost part of an id is what tells two of a minute apart.
            let incident = incident.map(|id| {
                if style.terminal { id.chars().skip(id.len() - 8).collect() } else { id }
            });
            vec![
                cell(entry.seq),
                cell(moment(entry.at)),
                cell(who),
                cell(&entry.act),
                cell(entry.target.as_deref().unwrap_or("")),
                cell(incident.unwrap_or_default()),
                cell(&entry.detail),
            ]
        })
        .collect();
    table(style, &["ENTRY", "AT", "WHO", "ACT", "TARGET", "INCIDENT", "DETAIL"], &rows)
}

fn moment(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// Writes down what was done on the command line beside a daemon or without one. Where there is no
/// data directory, there is no Selfheal yet that it could matter to.
pub(super) fn note(settings: &Settings, act: &Act) {
    if !settings.data_dir.is_dir() {
        return;
    }
    if let Err(error) = append_alone(&settings.data_dir, act) {
        tell(format!("note: this is not in the audit log, which cannot be written: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{By, Via};

    const STYLE: Style =
        Style { terminal: true, color: false, width: 120, now: Timestamp::UNIX_EPOCH };

    fn log(dir: &Path) {
        let at = |second: u32| format!("2026-11-22T12:00:{second:02}Z").parse().unwrap();
        let anna = By { who: "anna".to_owned(), via: Via::Page };
        for act in [
            Act::of_selfheal(at(0), "held").on("container:web").saying("not done automatically"),
            Act::new(at(1), anna, "approve")
                .about("01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap()),
            Act::of_selfheal(at(2), "kept").on("container:web").saying("kept: it \u{1b}[2Janswers"),
        ] {
            append_alone(dir, &act).unwrap();
        }
    }

    #[test]
    fn the_newest_entries_are_listed_first() {
        let dir = tempfile::tempdir().unwrap();
        log(dir.path());
        let newest = Log::open(dir.path()).and_then(|log| log.newest(10)).unwrap();
        insta::assert_snapshot!(listed(&newest, &STYLE));
    }

    #[test]
    fn what_was_altered_is_named() {
        let dir = tempfile::tempdir().unwrap();
        log(dir.path());
        let text = |head: &Head| {
            let verdict =
                Log::open(dir.path()).and_then(|log| log.verify(std::slice::from_ref(head)));
            found(&Examined::of(verdict.unwrap()), &STYLE)
        };
        let newest = Log::open(dir.path()).and_then(|log| log.newest(1)).unwrap();
        let head = newest[0].head();
        let whole = text(&head);
        let path = dir.path().join(crate::audit::FILE);
        let altered = std::fs::read_to_string(&path).unwrap().replace("anna", "otto");
        let altered: Vec<&str> = altered.split_inclusive('\n').take(2).collect();
        std::fs::write(path, altered.concat()).unwrap();
        insta::assert_snapshot!(format!("{whole}\n\n{}", text(&head)));
    }
}
