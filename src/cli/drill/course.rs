//! The course of one drill as seen from outside, look by look, and when it is over. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use selfheal_agents::model::TargetId;

use super::kinds::Kind;

/// It must be well for so long before that is believed: a restart policy may bring up what dies
/// again at once.
const STAYS: Duration = Duration::from_secs(2);
/// How long what should be left alone is watched.
pub(super) const QUIET: Duration = Duration::from_secs(15);

/// One look.
#[derive(Debug, Clone, Default)]
pub(super) struct Look {
    /// Since it was broken.
    pub(super) after: Duration,
    /// Whether the very thing that was broken is whole again.
    pub(super) mended: bool,
    /// Whether everything of the stack works, the broken one too.
    pub(super) well: bool,
    /// Who else does not work: other containers, and whatever asks from outside.
    pub(super) suffering: BTreeSet<TargetId>,
    /// Whether Selfheal told a person and does nothing.
    pub(super) told: bool,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Everything works again, for the first time so long after it was broken.
    WellAgain(Duration),
    /// Nobody did anything, and nobody missed it.
    Untouched,
    /// It is broken and the time is over.
    TimeOver,
}

/// All looks up to now.
#[derive(Debug, Clone)]
pub(super) struct Course {
    kind: Kind,
    patience: Duration,
    well_since: Option<Duration>,
    suffered: BTreeSet<TargetId>,
}

impl Course {
    /// Of a drill for whose cure is waited so long.
    pub(super) const fn new(kind: Kind, patience: Duration) -> Self {
        Self { kind, patience, well_since: None, suffered: BTreeSet::new() }
    }

    /// Who else did not work at some time.
    pub(super) const fn suffered(&self) -> &BTreeSet<TargetId> {
        &self.suffered
    }

    /// Takes one more look; answers the end once there is one.
    pub(super) fn look(&mut self, look: &Look) -> Option<End> {
        self.suffered.extend(look.suffering.iter().cloned());
        if look.mended && look.well {
            let since = *self.well_since.get_or_insert(look.after);
            return (look.after >= since + STAYS).then_some(End::WellAgain(since));
        }
        self.well_since = None;
        let may_stay = match self.kind {
            Kind::Crash | Kind::Hang => false,
            Kind::Network => look.told && self.suffered.is_empty(),
            Kind::Stop => look.suffering.is_empty(),
        };
        if may_stay && !look.mended && look.after >= QUIET {
            return Some(End::Untouched);
        }
        (look.after >= self.patience).then_some(End::TimeOver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_mins(1);

    /// Looks at these seconds, until the end.
    fn end(kind: Kind, look: impl Fn(u64) -> Look) -> Option<(u64, End)> {
        let mut course = Course::new(kind, PATIENCE);
        (0..=90).find_map(|second| {
            let after = Duration::from_secs(second);
            course.look(&Look { after, ..look(second) }).map(|end| (second, end))
        })
    }

    fn app() -> BTreeSet<TargetId> {
        BTreeSet::from([TargetId::container("app")])
    }

    #[test]
    fn it_is_well_again_from_the_first_look_of_those_that_last() {
        // It comes up, dies again and comes up for good.
        let seen = |second| {
            let up = second == 3 || second >= 7;
            Look { mended: up, well: up, ..Look::default() }
        };
        let wanted = End::WellAgain(Duration::from_secs(7));
        assert_eq!(end(Kind::Crash, seen), Some((9, wanted)));
    }

    #[test]
    fn the_broken_one_alone_is_not_enough_while_others_still_fail() {
        let seen = |second| Look { mended: second > 1, well: second > 20, ..Look::default() };
        let wanted = End::WellAgain(Duration::from_secs(21));
        assert_eq!(end(Kind::Hang, seen), Some((23, wanted)));
    }

    #[test]
    fn a_look_before_the_fault_shows_is_not_taken_for_health() {
        let hidden = |_| Look { mended: false, well: true, ..Look::default() };
        assert_eq!(end(Kind::Crash, hidden), Some((60, End::TimeOver)));
    }

    #[test]
    fn a_stop_is_watched_for_a_while_and_longer_while_somebody_fails() {
        let stopped = |_| Look::default();
        assert_eq!(end(Kind::Stop, stopped), Some((QUIET.as_secs(), End::Untouched)));
        let missed = |_| Look { suffering: app(), ..Look::default() };
        assert_eq!(end(Kind::Stop, missed), Some((60, End::TimeOver)));
    }

    #[test]
    fn off_its_network_it_may_stay_only_if_that_was_told_and_nobody_ever_failed() {
        let silent = |_| Look { well: true, ..Look::default() };
        assert_eq!(end(Kind::Network, silent), Some((60, End::TimeOver)));
        let told = |_| Look { told: true, well: true, ..Look::default() };
        assert_eq!(end(Kind::Network, told), Some((QUIET.as_secs(), End::Untouched)));
        let missed = |second| {
            let suffering = if second == 2 { app() } else { BTreeSet::new() };
            Look { told: true, suffering, ..Look::default() }
        };
        assert_eq!(end(Kind::Network, missed), Some((60, End::TimeOver)));
    }
}
