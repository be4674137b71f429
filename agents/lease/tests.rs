//! Schedules played by the real [`Tenure`] against a referee in memory, each from one seed.
//!
//! Three nodes want one target. Messages are late, lost on the way there or back, and arrive after
//! they were given up; nodes are stopped for longer than a lease, end and begin anew, and their
//! clocks run apart and start anywhere; the referee is away at times. What a node does at the target
//! goes on there when the node is stopped or ends.

mod play;

use super::*;
use play::{Fault, Played, play};

const SEEDS: u64 = 10_000;

fn all(fault: Fault, seeds: u64) -> impl Iterator<Item = (u64, Played)> {
    (0..seeds).map(move |seed| (seed, play(seed, fault)))
}

#[test]
fn in_ten_thousand_schedules_no_two_nodes_are_ever_at_work_on_one_target() {
    let (mut effects, mut holders, mut passed) = (0, 0, 0);
    for (seed, played) in all(Fault::None, SEEDS) {
        assert_eq!(played.overlap(), None, "seed {seed}");
        assert!(played.fences_only_grow(), "seed {seed}: {:?}", played.effects);
        effects += played.effects.len();
        holders += played.holders();
        passed += played.passed;
    }
    // Else it would hold because nothing happens.
    let seeds = usize::try_from(SEEDS).unwrap();
    assert!(effects > seeds * 5 && holders > seeds * 2, "{effects} effects, {holders} holders");
    assert!(passed > seeds / 10, "passed on {passed} times");
}

#[test]
fn without_the_marks_of_rows_there_would_be_two() {
    let mut with_two = all(Fault::MarksAreNotCompared, 500).filter(|(_, p)| p.overlap().is_some());
    assert!(with_two.next().is_some(), "the schedules are too tame to show anything");
}

#[test]
fn without_a_look_at_the_time_left_there_would_be_two() {
    let mut with_two = all(Fault::TimeLeftIsNotAsked, 500).filter(|(_, p)| p.overlap().is_some());
    assert!(with_two.next().is_some(), "the schedules are too tame to show anything");
}

#[test]
fn one_that_takes_over_without_waiting_would_make_two() {
    let mut with_two = all(Fault::NobodyWaits, 500).filter(|(_, p)| p.overlap().is_some());
    assert!(with_two.next().is_some(), "the schedules are too tame to show anything");
}

const USUAL: Duration = Duration::from_secs(8);
const fn at(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn row(holder: &str, fence: i64, beat: i64) -> Row {
    let mark = Mark { fence, beat };
    Row { holder: holder.to_owned(), mark, length: USUAL, wanted_by: None }
}

#[test]
fn what_another_has_is_taken_over_only_after_it_was_seen_unchanged_for_longer_than_it_lasts() {
    let mut tenure = Tenure::new("b", USUAL);
    assert_eq!(tenure.after_reading(Some(&row("a", 3, 7)), at(100)), Ask::Nothing);
    assert_eq!(tenure.holder(), Some("a"));
    assert_eq!(tenure.after_reading(Some(&row("a", 3, 8)), at(107)), Ask::Nothing);
    assert_eq!(tenure.after_reading(Some(&row("a", 3, 8)), at(115)), Ask::Nothing);
    let take = tenure.after_reading(Some(&row("a", 3, 8)), at(116));
    let from = Some(Mark { fence: 3, beat: 8 });
    assert_eq!(take, Ask::Take { from, length: USUAL });
    tenure.answered(&take, at(116), None);
    assert!(!tenure.is_held(at(116)), "another was faster");
    tenure.answered(&take, at(116), Some(Mark { fence: 4, beat: 0 }));
    assert!(tenure.may_act(at(7), at(116)) && !tenure.may_act(at(7), at(117)));
    assert_eq!(tenure.fence(), Some(4));
}

#[test]
fn a_long_call_is_asked_for_first_and_nothing_shortens_the_lease_until_it_has_ended() {
    let mut tenure = Tenure::new("a", USUAL);
    assert!(tenure.before_call(at(60), at(0)).is_none(), "nothing is had yet");
    let take = tenure.after_reading(None, at(0));
    tenure.answered(&take, at(0), Some(Mark { fence: 1, beat: 0 }));
    let (call, ask) = tenure.before_call(at(60), at(1)).unwrap();
    let Ask::Renew { length, .. } = ask else { panic!("{ask:?}") };
    assert!(length > at(60), "{length:?}");
    assert!(!tenure.may_act(at(60), at(1)), "nobody has answered yet");
    tenure.answered(&ask, at(1), Some(Mark { fence: 1, beat: 1 }));
    assert!(tenure.may_act(at(60), at(2)));
    let again = tenure.after_reading(Some(&row("a", 1, 1)), at(21));
    let Ask::Renew { length, .. } = again else { panic!("{again:?}") };
    assert!(at(21) + length > at(61), "{length:?}");
    tenure.ended(call);
    let after = tenure.after_reading(Some(&row("a", 1, 1)), at(22));
    assert_eq!(after, Ask::Renew { from: Mark { fence: 1, beat: 1 }, length: USUAL });
    assert!(!tenure.may_act(at(9), at(22)), "others may go by the shorter one already");
}

#[test]
fn who_has_begun_something_waits_in_turn_and_is_given_it_when_the_other_is_idle() {
    let (mut a, mut b) = (Tenure::new("a", USUAL), Tenure::new("b", USUAL));
    a.set_wanted(true);
    let ask = a.after_reading(Some(&row("b", 4, 2)), at(0));
    assert_eq!(ask, Ask::Want { from: Mark { fence: 4, beat: 2 } });
    let wanted = Row { wanted_by: Some("a".to_owned()), ..row("b", 4, 2) };
    assert_eq!(a.after_reading(Some(&wanted), at(2)), Ask::Nothing, "it is said once");
    b.set_busy(true);
    assert!(matches!(b.after_reading(Some(&wanted), at(3)), Ask::Renew { .. }));
    b.set_busy(false);
    let pass = b.after_reading(Some(&wanted), at(4));
    assert_eq!(pass, Ask::Pass { from: Mark { fence: 4, beat: 2 }, to: "a".to_owned() });
    assert!(!b.is_held(at(4)), "not even until somebody answers");
    let adopt = a.after_reading(Some(&row("a", 5, 0)), at(5));
    a.answered(&adopt, at(5), Some(Mark { fence: 5, beat: 1 }));
    assert!(a.is_held(at(5)));
}
