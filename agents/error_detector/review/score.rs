//! How good a runbook is, in points of 100, and what it lacks.

use serde::Serialize;

use crate::model::{Blames, Provenance, Runbook, Side};

/// A runbook's points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Score {
    /// Its id.
    pub runbook: String,
    /// The file, as `TECHNOLOGY/ID.toml`.
    pub file: String,
    /// 0 to 100.
    pub points: u8,
    /// What it lacks, with what each would bring, the dearest first.
    pub missing: Vec<String>,
}

/// One thing a good runbook has.
struct Virtue {
    points: u8,
    has: fn(&Runbook) -> bool,
    /// What to add where it is missing.
    lack: &'static str,
}

/// What makes 100 points.
const VIRTUES: &[Virtue] = &[
    Virtue {
        points: 20,
        has: |r| r.status == Provenance::Reproduced,
        lack: "it was never provoked in the real program",
    },
    Virtue { points: 15, has: refutes, lack: "no evidence speaks against it" },
    Virtue { points: 10, has: confirms, lack: "no evidence confirms it" },
    Virtue { points: 10, has: |r| !r.avoid.is_empty(), lack: "`avoid` is empty" },
    Virtue { points: 10, has: is_mended, lack: "neither a [[fix]] nor a `no_fix` that says why" },
    Virtue {
        points: 10,
        has: |r| !has_pattern(r) || r.examples.matching.len() >= 3,
        lack: "fewer than three `match` examples",
    },
    Virtue {
        points: 10,
        has: |r| !has_pattern(r) || r.examples.near_miss.len() >= 2,
        lack: "fewer than two `near_miss` examples",
    },
    Virtue { points: 5, has: links_deep, lack: "a link to the page itself, not to a whole site" },
    Virtue { points: 5, has: advises, lack: "a summary that goes on to say what to look at" },
    Virtue { points: 5, has: places, lack: "`applies`, or `side = \"client\"`" },
];

const _: () = {
    let (mut sum, mut index) = (0, 0);
    while index < VIRTUES.len() {
        sum += VIRTUES[index].points;
        index += 1;
    }
    assert!(sum == 100, "all virtues make 100 points");
};

/// Counts a runbook's points.
pub(super) fn of(runbook: &Runbook) -> Score {
    let (had, lacked): (Vec<_>, Vec<_>) = VIRTUES.iter().partition(|virtue| (virtue.has)(runbook));
    Score {
        runbook: runbook.id.clone(),
        file: super::file_of(runbook),
        points: had.iter().map(|virtue| virtue.points).sum(),
        missing: lacked.iter().map(|v| format!("{} ({})", v.lack, v.points)).collect(),
    }
}

fn has_pattern(runbook: &Runbook) -> bool {
    runbook.signatures.iter().any(|signature| signature.log.is_some())
}

fn refutes(runbook: &Runbook) -> bool {
    runbook.evidence.iter().any(|evidence| evidence.weight < 0 || evidence.required)
}

fn confirms(runbook: &Runbook) -> bool {
    runbook.evidence.iter().any(|evidence| evidence.weight > 0)
}

/// Whether it mends, or says why it cannot; what is at fault elsewhere is mended there.
fn is_mended(runbook: &Runbook) -> bool {
    let elsewhere = matches!(runbook.diagnosis.blames, Blames::Dependency | Blames::Outside);
    !runbook.fixes.is_empty() || runbook.no_fix.is_some() || elsewhere
}

fn links_deep(runbook: &Runbook) -> bool {
    let is_deep = |link: &String| {
        let path = link.trim_start_matches("https://").split_once('/').map_or("", |(_, path)| path);
        !path.trim_matches('/').is_empty()
    };
    runbook.links.iter().any(is_deep)
}

/// Whether the summary has a second sentence, or a long one.
fn advises(runbook: &Runbook) -> bool {
    let summary = runbook.diagnosis.summary.trim();
    let sentences =
        summary.split(['.', ':', ';']).filter(|part| part.split_whitespace().count() > 2);
    sentences.count() >= 2
}

fn places(runbook: &Runbook) -> bool {
    let applies = &runbook.applies;
    let is_client = runbook.signatures.iter().any(|signature| signature.side == Side::Client);
    is_client
        || !(applies.kinds.is_empty() && applies.images.is_empty() && applies.ports.is_empty())
}
