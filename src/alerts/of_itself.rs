//! Says what is wrong with Selfheal itself, or what it cannot see: about no incident.
//!
//! As in `compose` the first line alone is enough, everything is pure, and what strangers wrote is
//! cleaned once more. It does not decide when to tell.

use std::path::Path;

use selfheal_agents::model::{Backup, Severity, Timestamp, clean};
use selfheal_agents::ports::Alert;

use super::compose::{TITLE_CHARS, without_stop};

/// The alert that a part of the world cannot be seen since `since`; `what` names it with
/// its reason and remedy.
pub fn blind(what: &str, since: Timestamp) -> Alert {
    let what = without_stop(&clean(what, TITLE_CHARS - 120)).to_owned();
    Alert {
        key: format!("blind {} {what}", since.to_rfc3339()),
        event: "blind".to_owned(),
        severity: Severity::Critical,
        title: format!(
            "Selfheal cannot see: {what}. Nothing can be healed there until it can. \
             It tries again by itself; you must remove the cause."
        ),
        body: format!("{what}\n\nWhat to do\n  selfheal doctor   says what is missing"),
        incident: None,
        target: None,
        holds: vec![],
        at: since,
    }
}

/// The alert that a person asks for to see whether a channel works.
pub fn of_test(at: Timestamp) -> Alert {
    Alert {
        key: format!("test {}", at.to_rfc3339()),
        event: "test".to_owned(),
        severity: Severity::Info,
        title: "This is a test by `selfheal alert test`. Nothing is broken, nothing was done, you \
                need not do anything."
            .to_owned(),
        body: "An alert looks like this: its first line says what broke, what was done, the \
               result, and what you must do.\n\nWhat to do\n  \
               selfheal status   how everything stands"
            .to_owned(),
        incident: None,
        target: None,
        holds: vec![],
        at,
    }
}

/// The alert that the database was damaged and set aside at a start, or gone, and a snapshot
/// restored, if there was one, with all that was written until `taken_at`.
///
/// `begun` are the backups of fixes of which nothing else is known.
pub fn damaged(
    set_aside: Option<&Path>,
    taken_at: Option<Timestamp>,
    begun: &[Backup],
    at: Timestamp,
) -> Alert {
    let aside = set_aside.map(|aside| clean(&aside.display().to_string(), TITLE_CHARS - 260));
    let (key, what) = match &aside {
        Some(aside) => {
            (format!("damaged {aside}"), format!("was damaged; it is set aside as {aside}"))
        }
        None => (format!("damaged {}", at.to_rfc3339()), "was gone".to_owned()),
    };
    let (instead, lost) = match taken_at {
        Some(taken_at) => (
            format!(
                "the snapshot of {} is restored, and what happened since is not known",
                taken_at.format("%Y-%m-%d %H:%M:%S UTC")
            ),
            "The history and the journal end there: a fix may have been applied, kept or taken back \
             since. Those that were under way then are stuck, each with what takes it back by hand, \
             and nothing was done about them. The backups are kept.",
        ),
        None => (
            "a new one is begun".to_owned(),
            "The history and the journal were in it: which fixes were under way is not known. The \
             backups are kept.",
        ),
    };
    Alert {
        key,
        event: "damaged".to_owned(),
        severity: Severity::Critical,
        title: format!(
            "Selfheal's database {what}; {instead}. \
             Nothing is healed until you have looked and typed `selfheal unfreeze`."
        ),
        body: format!(
            "{lost}{}\n\nWhat to do\n  \
             look whether every service works, and whether the disk does\n  \
             selfheal incidents   what was going on{}\n  \
             selfheal backups     what was saved before each fix\n  \
             selfheal unfreeze    heal again",
            named(begun),
            if taken_at.is_some() { " until then" } else { "" }
        ),
        incident: None,
        target: None,
        holds: vec![],
        at,
    }
}

/// Fixes of which only the backup is left, and how each is taken back.
fn named(begun: &[Backup]) -> String {
    if begun.is_empty() {
        return String::new();
    }
    let line = |backup: &Backup| {
        let reason = clean(&backup.reason, 200);
        format!(
            "\n  {}   {reason}   $ selfheal rollback {}",
            backup.at.format("%H:%M:%S UTC"),
            backup.id
        )
    };
    let lines: String = begun.iter().map(line).collect();
    format!("\n\nBegun since, and what became of it is not known{lines}")
}

/// The alert that the database turned out to be damaged while Selfheal runs on it.
pub fn spoilt(why: &str, at: Timestamp) -> Alert {
    let why = without_stop(&clean(why, TITLE_CHARS - 260)).to_owned();
    Alert {
        key: format!("damaged {}", at.to_rfc3339()),
        event: "damaged".to_owned(),
        severity: Severity::Critical,
        title: format!(
            "Selfheal's database is damaged: {why}. No snapshot of it is taken any more, so what is \
             written from now on may be lost. You must stop Selfheal and start it again."
        ),
        body:
            "A start examines it, sets it aside and puts the newest snapshot in its place; nothing \
               is healed then until you have looked.\n\nWhat to do\n  \
               look whether the disk works\n  \
               selfheal doctor      of when the newest snapshot is\n  \
               stop Selfheal and start it again"
                .to_owned(),
        incident: None,
        target: None,
        holds: vec![],
        at,
    }
}

/// The alert that a part of Selfheal does not do its work.
pub fn part_fails(part: &str, what: &str, at: Timestamp) -> Alert {
    let what = without_stop(&clean(what, TITLE_CHARS - 200)).to_owned();
    Alert {
        key: format!("part_fails {part} {}", at.to_rfc3339()),
        event: "part_fails".to_owned(),
        severity: Severity::Critical,
        title: format!("A part of Selfheal does not do its work, {part}: {what}."),
        body: "That is a fault of Selfheal's own. What it does without that part goes on.\n\n\
               What to do\n  \
               restart Selfheal\n  \
               report it with the lines of its log that begin with \"a fault of Selfheal's own\""
            .to_owned(),
        incident: None,
        target: None,
        holds: vec![],
        at,
    }
}

/// The alert that too many fixes failed, the last of them `at` that time, and nothing is healed
/// any more.
pub fn stopped(why: &str, at: Timestamp) -> Alert {
    let why = without_stop(&clean(why, TITLE_CHARS - 200)).to_owned();
    Alert {
        key: format!("safety_stop {}", at.to_rfc3339()),
        event: "safety_stop".to_owned(),
        severity: Severity::Critical,
        title: format!(
            "Selfheal has stopped healing: {why}. It watches and reports, and nothing is changed \
             until you have looked and typed `selfheal unfreeze`."
        ),
        body: "It may understand something wrongly that all of them share.\n\nWhat to do\n  \
               look whether every service works\n  \
               selfheal incidents        what was tried and why it failed\n  \
               selfheal approve ID       apply one fix all the same\n  \
               selfheal unfreeze         heal again; the count of failures begins anew"
            .to_owned(),
        incident: None,
        target: None,
        holds: vec![],
        at,
    }
}

/// The alert that the journal cannot be read at a start: nothing is looked at or healed. Said
/// again the next day, should it still be so at a start then.
pub fn unreadable(why: &str, at: Timestamp) -> Alert {
    let why = without_stop(&clean(why, TITLE_CHARS - 200)).to_owned();
    Alert {
        key: format!("unreadable {} {why}", at.format("%Y-%m-%d")),
        event: "unreadable".to_owned(),
        severity: Severity::Critical,
        title: format!(
            "Selfheal cannot read its journal: {why}. Nothing is watched or healed. You must \
             repair that and start it again."
        ),
        body: "Which fixes were under way when it ended is not known.\n\nWhat to do\n  \
               look whether every service works, and whether the disk does\n  \
               start the version of Selfheal that wrote it, if another one did\n  \
               else stop Selfheal and move selfheal.db* away: the newest snapshot takes its place \
               (move snapshots/ away too, and it begins a new one); the backups are kept"
            .to_owned(),
        incident: None,
        target: None,
        holds: vec![],
        at,
    }
}
