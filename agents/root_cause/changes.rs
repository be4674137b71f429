//! What changed shortly before the trouble began: the nearer, the more it says.
//!
//! It speaks for blaming the changed container among equals, and no more: how near in time
//! two things are proves nothing by itself, so it never lifts a diagnosis that was not sure
//! enough over the line for acting alone ([`NEVER_ABOVE`]). What Selfheal changed itself is
//! shown, but counts nothing.

use chrono::TimeDelta;

use super::{DOCUMENTED_LIMIT, Evidence};
use crate::model::{
    ChangeKind, Confidence, Ledger, LedgerSource, RecentChange, TargetId, Timestamp,
};

/// The most that nearness in time may lift a diagnosis or fix to.
pub const NEVER_ABOVE: Confidence = DOCUMENTED_LIMIT;
/// A change longer ago than this says nothing.
pub const CHANGES_BACK: TimeDelta = TimeDelta::hours(1);
/// Signs are seen late, and files have whole seconds: a change this much later may still
/// have come first.
const SLACK: TimeDelta = TimeDelta::seconds(1);
/// Changes shown of one diagnosis.
const MOST_SHOWN: usize = 10;

/// Percentage points by kind: within a minute, ten minutes, an hour before the first sign.
const fn points_by_nearness(kind: ChangeKind) -> [i32; 3] {
    match kind {
        ChangeKind::Image
        | ChangeKind::File
        | ChangeKind::Environment
        | ChangeKind::Command
        | ChangeKind::Mounts
        | ChangeKind::Networks
        | ChangeKind::Limits
        | ChangeKind::Ports
        | ChangeKind::HealthCheck
        | ChangeKind::Deployed => [6, 4, 2],
        // The same program with the same settings begins anew; labels are read by others.
        ChangeKind::Started | ChangeKind::Labels | ChangeKind::RestartPolicy => [2, 1, 0],
    }
}

/// When the trouble of a target began, as far as anybody saw.
pub(super) fn onset(evidence: &Evidence<'_>, id: &TargetId) -> Option<Timestamp> {
    let container = evidence.container_of(id).unwrap_or_else(|| id.clone());
    let shown = evidence
        .findings
        .iter()
        .filter(|f| f.target == *id || f.target == container)
        .map(|finding| finding.first_seen);
    let remembered = [id, &container].into_iter().filter_map(|id| evidence.onsets.get(id)).copied();
    let facts = evidence.report.target(&container).and_then(|report| report.state.container());
    let ended = facts.filter(|facts| facts.is_down()).and_then(|facts| facts.finished_at);
    shown.chain(remembered).chain(ended).min()
}

/// What changed on the container of `id` within the hour before its trouble began; the most
/// telling first, then the nearest.
pub(super) fn before_trouble(evidence: &Evidence<'_>, id: &TargetId) -> Vec<RecentChange> {
    let Some(container) = evidence.container_of(id) else { return vec![] };
    let Some(onset) = onset(evidence, id) else { return vec![] };
    let mut recent: Vec<RecentChange> = evidence
        .changes
        .iter()
        .filter(|change| change.target == container)
        .filter(|change| change.at <= onset + SLACK && onset - change.at <= CHANGES_BACK)
        .map(|change| {
            let millis = u64::try_from((onset - change.at).num_milliseconds()).unwrap_or(0);
            let before_secs = (millis + 500) / 1000;
            let by_nearness = points_by_nearness(change.kind);
            let points = match before_secs {
                _ if change.by_selfheal => 0,
                0..=60 => by_nearness[0],
                61..=600 => by_nearness[1],
                _ => by_nearness[2],
            };
            RecentChange { change: change.clone(), before_secs, points }
        })
        .collect();
    recent.sort_by_key(|r| (std::cmp::Reverse(r.points), r.change.kind, r.before_secs));
    recent.truncate(MOST_SHOWN);
    recent
}

/// Whether something of these kinds changed there within the hour before its trouble began,
/// by somebody else's hand.
pub(super) fn changed(evidence: &Evidence<'_>, id: &TargetId, kinds: &[ChangeKind]) -> bool {
    before_trouble(evidence, id)
        .iter()
        .any(|recent| !recent.change.by_selfheal && kinds.contains(&recent.change.kind))
}

/// Writes the strongest change down. Several changes of one deployment are one event, so they
/// do not add up.
pub(super) fn write_down(ledger: &mut Ledger, recent: &[RecentChange]) {
    let Some(strongest) = recent.first().filter(|recent| recent.points > 0) else { return };
    let sure = i32::from(ledger.total().percent());
    let limit = i32::from(NEVER_ABOVE.percent());
    let points = if sure > limit { strongest.points } else { strongest.points.min(limit - sure) };
    ledger.add(points, strongest.to_string(), LedgerSource::Change);
}
