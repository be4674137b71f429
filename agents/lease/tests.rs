//! Schedules played by the real [`Tenure`] against a referee in memory, each from one seed.
//!
//! Three nodes want one target. Messages are late, lost on the way there or back, and arrive after
//! they were given up; nodes are stopped for longer than a lease, end and begin anew, and their
//! clocks run apart and start anywhere; the referee is away at times, and in half of the schedules it
//! is once put back to an older state, or to none. What a node does at the target goes on there when
//! the node is stopped or ends.

mod play;

use super::*;
use play::{Fault, Played, play};

const SEEDS: u64 = 10_000;

fn all(fault: Fault, seeds: u64) -> impl Iterator<Item = (u64, Played)> {
    (0..seeds).map(move |seed| (seed, play(seed, fault)))
}

#[test]
fn in_ten_thousand_schedules_no_two_nodes_are_ever_at_work_on_one_target() {
    let (mut effects, mut holders, mut passed, mut forgotten) = (0, 0, 0, 0);
    for (seed, played) in all(Fault::None, SEEDS) {
        assert_eq!(played.overlap(), None, "seed {seed}, put back at {:?}", played.put_back);
        let grow = played.put_back.is_some() || played.fences_only_grow();
        assert!(grow, "seed {seed}: {:?}", played.effects);
        forgotten += usize::from(played.has_forgotten);
        effects += played.effects.len();
        holders += played.holders();
        passed += played.passed;
    }
    // Else it would hold because nothing happens.
    let seeds = usize::try_from(SEEDS).unwrap();
    assert!(effects > seeds * 5 && holders > seeds * 2, "{effects} effects, {holders} holders");
    assert!(passed > seeds / 10, "passed on {passed} times");
    assert!(forgotten > seeds / 3, "forgotten {forgotten} times");
}

#[test]
fn of_a_referee_that_forgets_unnoticed_there_would_be_two() {
    let mut with_two =
        all(Fault::ForgettingIsNotNoticed, 2000).filter(|(_, p)| p.overlap().is_some());
    assert!(with_two.next().is_some(), "the schedules are too tame to show anything");
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

fn read(row: Option<&Row>) -> Reading<'_> {
    Reading { era: "first", row }
}

/// One that has it from then on, where nobody had it before.
fn holder(name: &str, from: Duration) -> Tenure {
    let mut tenure = Tenure::new(name, USUAL);
    assert_eq!(tenure.after_reading(read(None), from.saturating_sub(at(9))), Ask::Nothing);
    let take = tenure.after_reading(read(None), from);
    assert_eq!(take, Ask::Take { from: None, above: 0, length: USUAL });
    tenure.answered(&take, from, Some(Mark { fence: 1, beat: 0 }));
    tenure
}

fn row(holder: &str, fence: i64, beat: i64) -> Row {
    let mark = Mark { fence, beat };
    Row { holder: holder.to_owned(), mark, length: USUAL, wanted_by: None }
}

#[test]
fn what_another_has_is_taken_over_only_after_it_was_seen_unchanged_for_longer_than_it_lasts() {
    let mut tenure = Tenure::new("b", USUAL);
    assert_eq!(tenure.after_reading(read(Some(&row("a", 3, 7))), at(100)), Ask::Nothing);
    assert_eq!(tenure.holder(), Some("a"));
    assert_eq!(tenure.after_reading(read(Some(&row("a", 3, 8))), at(107)), Ask::Nothing);
    assert_eq!(tenure.after_reading(read(Some(&row("a", 3, 8))), at(115)), Ask::Nothing);
    let take = tenure.after_reading(read(Some(&row("a", 3, 8))), at(116));
    let from = Some(Mark { fence: 3, beat: 8 });
    assert_eq!(take, Ask::Take { from, above: 3, length: USUAL });
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
    tenure = holder("a", at(9));
    let (call, ask) = tenure.before_call(at(60), at(10)).unwrap();
    let Ask::Renew { length, .. } = ask else { panic!("{ask:?}") };
    assert!(length > at(60), "{length:?}");
    assert!(!tenure.may_act(at(60), at(10)), "nobody has answered yet");
    tenure.answered(&ask, at(10), Some(Mark { fence: 1, beat: 1 }));
    assert!(tenure.may_act(at(60), at(11)));
    let again = tenure.after_reading(read(Some(&row("a", 1, 1))), at(30));
    let Ask::Renew { length, .. } = again else { panic!("{again:?}") };
    assert!(at(30) + length > at(70), "{length:?}");
    tenure.ended(call);
    let after = tenure.after_reading(read(Some(&row("a", 1, 1))), at(31));
    assert_eq!(after, Ask::Renew { from: Mark { fence: 1, beat: 1 }, length: USUAL });
    assert!(!tenure.may_act(at(9), at(31)), "others may go by the shorter one already");
}

#[test]
fn who_has_begun_something_waits_in_turn_and_is_given_it_when_the_other_is_idle() {
    let (mut a, mut b) = (Tenure::new("a", USUAL), Tenure::new("b", USUAL));
    a.set_wanted(true);
    let ask = a.after_reading(read(Some(&row("b", 4, 2))), at(0));
    assert_eq!(ask, Ask::Want { from: Mark { fence: 4, beat: 2 } });
    let wanted = Row { wanted_by: Some("a".to_owned()), ..row("b", 4, 2) };
    assert_eq!(a.after_reading(read(Some(&wanted)), at(2)), Ask::Nothing, "it is said once");
    b.set_busy(true);
    assert_eq!(b.after_reading(read(Some(&wanted)), at(3)), Ask::Nothing, "it has just begun");
    assert!(matches!(b.after_reading(read(Some(&wanted)), at(12)), Ask::Renew { .. }));
    b.set_busy(false);
    let pass = b.after_reading(read(Some(&wanted)), at(13));
    assert_eq!(pass, Ask::Pass { from: Mark { fence: 4, beat: 2 }, to: "a".to_owned() });
    assert!(!b.is_held(at(13)), "not even until somebody answers");
    let adopt = a.after_reading(read(Some(&row("a", 5, 0))), at(14));
    a.answered(&adopt, at(14), Some(Mark { fence: 5, beat: 1 }));
    assert!(a.is_held(at(14)));
}

#[test]
fn what_the_referee_forgot_is_written_down_again_by_who_has_it_and_left_alone_by_the_others() {
    let (mut a, mut b) = (holder("a", at(9)), Tenure::new("b", USUAL));
    let (call, ask) = a.before_call(at(60), at(10)).unwrap();
    a.answered(&ask, at(10), Some(Mark { fence: 1, beat: 1 }));
    let Ask::Renew { length, .. } = ask else { panic!("{ask:?}") };
    let long = Row { length, ..row("a", 1, 1) };
    assert_eq!(b.after_reading(read(Some(&long)), at(12)), Ask::Nothing);
    for now in 20..80 {
        let ask = b.after_reading(read(None), at(now));
        assert_eq!(ask, Ask::Nothing, "{now}: as long as the longest that was seen");
    }
    let take = b.after_reading(read(None), at(20 + 71));
    assert!(matches!(take, Ask::Take { from: None, above: 1, .. }), "{take:?}");
    let again = a.after_reading(read(None), at(20));
    let Ask::Take { from: None, above: 1, length } = again else { panic!("{again:?}") };
    assert!(length > at(50), "{length:?}");
    a.ended(call);
}

#[test]
fn of_a_referee_that_began_anew_a_row_is_believed_only_after_it_was_waited_for() {
    let mut tenure = Tenure::new("b", USUAL);
    let others = row("a", 3, 8);
    let reading = |era| Reading { era, row: Some(&others) };
    assert_eq!(tenure.after_reading(reading("first"), at(0)), Ask::Nothing);
    assert_eq!(tenure.after_reading(reading("second"), at(8)), Ask::Nothing);
    assert_eq!(tenure.after_reading(reading("second"), at(16)), Ask::Nothing);
    assert!(matches!(tenure.after_reading(reading("second"), at(17)), Ask::Take { .. }));
    // Its own from long ago: another may have taken it over in what was forgotten.
    let mut old = holder("a", at(9));
    let own = Reading { era: "second", row: Some(&row("a", 1, 0)) };
    assert_eq!(old.after_reading(own, at(30)), Ask::Nothing);
    assert!(matches!(old.after_reading(own, at(39)), Ask::Renew { .. }));
}
