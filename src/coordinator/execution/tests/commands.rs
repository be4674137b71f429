//! Commands of a person's own that were interrupted: run once, or told.

use super::*;

fn flush(undo: bool, check: bool) -> Command {
    let argv = |word: &str| vec!["/usr/local/bin/flush".to_owned(), word.to_owned()];
    Command {
        name: "flush".to_owned(),
        target: TargetId::container("worker"),
        argv: argv("--all"),
        undo: undo.then(|| argv("--undo")),
        check: check.then(|| argv("--check")),
        limit: Duration::from_secs(30),
        environment: vec![],
    }
}

/// A world in which the command is declared so, and the fix that runs it.
pub(super) fn case(undo: bool, check: bool) -> Case {
    let command = flush(undo, check);
    let fake = world(|w| {
        w.declares(command.clone());
    });
    let steps = vec![repair(Action::RunCommand(RunCommand { command }))];
    Case { name: "command", fake, steps }
}

/// What became of a fix that was interrupted at its `nth` record: how it was applied by the next
/// start, if it still was to be, and how it was taken back, if that failed.
struct Fate {
    applied: Option<ApplyEnd>,
    taken_back: Option<RollbackEnd>,
    ran: usize,
    is_done: bool,
}

async fn fate(case: &Case, nth: usize, at: Interruption) -> Option<Fate> {
    let run = Run::of(case);
    let mut progress = run.prepared(case).await;
    run.store.interrupt(nth, at);
    if run.executor.apply(&mut progress).await.is_ok() {
        return None;
    }
    let mut found = run.found().await;
    let applied = match found.phase {
        Phase::Applying => Some(run.executor.apply(&mut found).await.unwrap()),
        _ => None,
    };
    let taken_back = match applied {
        Some(ApplyEnd::Failed { .. }) => {
            Some(run.executor.rollback(&mut run.found().await, "a test").await.unwrap())
        }
        _ => None,
    };
    let (ran, is_done) = (run.fake.ran("flush"), run.fake.is_done("flush"));
    Some(Fate { applied, taken_back, ran, is_done })
}

/// Every fate there is.
async fn fates(undo: bool, check: bool) -> Vec<Fate> {
    let mut fates = vec![];
    for at in [Interruption::BeforeWrite, Interruption::AfterWrite] {
        for nth in 0.. {
            match fate(&case(undo, check), nth, at).await {
                Some(fate) => fates.push(fate),
                None => break,
            }
        }
    }
    assert!(fates.len() >= 6, "an intent, a result and an end, before and after each");
    fates
}

#[tokio::test(start_paused = true)]
async fn a_command_that_nobody_can_ask_is_never_run_twice_and_its_interruption_is_told() {
    let mut stuck = 0;
    for fate in fates(false, false).await {
        assert!(fate.ran <= 1, "it was run {} times", fate.ran);
        match (fate.applied, fate.taken_back) {
            (None | Some(ApplyEnd::Applied), None) => assert!(fate.is_done),
            (Some(ApplyEnd::Failed { .. }), Some(RollbackEnd::Stuck { reason, .. })) => {
                assert!(reason.contains("flush"), "{reason}");
                stuck += 1;
            }
            (applied, taken_back) => panic!("{applied:?} {taken_back:?}"),
        }
    }
    assert!(stuck >= 2, "interrupted between its intent and its result");
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_command_with_an_undo_and_no_check_is_taken_back() {
    let mut undone = 0;
    for fate in fates(true, false).await {
        assert!(fate.ran <= 1, "it was run {} times", fate.ran);
        if let Some(end) = fate.taken_back {
            assert!(matches!(end, RollbackEnd::RolledBack { .. }), "{end:?}");
            assert!(!fate.is_done);
            undone += 1;
        }
    }
    assert!(undone >= 2);
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_command_that_can_be_asked_is_finished() {
    for fate in fates(false, true).await {
        assert!(fate.taken_back.is_none() && fate.is_done && fate.ran == 1, "{}", fate.ran);
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_ended_badly_is_known_to_have_and_is_not_stuck() {
    let case = case(false, false);
    let run = Run::of(&case);
    let mut progress = run.prepared(&case).await;
    run.fake.fail_next("command", &Failure::Refused("it ended with 3: no route".to_owned()), 1);
    let end = run.executor.apply(&mut progress).await.unwrap();
    let ApplyEnd::Failed { why } = end else { panic!("{end:?}") };
    assert!(why.contains("it ended with 3: no route"), "{why}");
    let end = run.executor.rollback(&mut run.found().await, "a test").await.unwrap();
    assert!(matches!(end, RollbackEnd::RolledBack { .. }), "{end:?}");
    assert_eq!(run.fake.ran("flush"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_command_whose_answer_was_lost_is_not_run_again_without_a_check() {
    for (check, is_finished) in [(true, true), (false, false)] {
        let case = case(false, check);
        let run = Run::of(&case);
        let mut progress = run.prepared(&case).await;
        run.fake.fail_next("command", &Failure::TimedOutAfterwards, 1);
        let end = run.executor.apply(&mut progress).await.unwrap();
        assert_eq!(end == ApplyEnd::Applied, is_finished, "{end:?}");
        assert_eq!(run.fake.ran("flush"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_was_taken_out_of_the_settings_is_not_undone_by_itself() {
    let case = case(true, true);
    let run = Run::of(&case);
    let mut progress = run.prepared(&case).await;
    run.executor.apply(&mut progress).await.unwrap();
    run.fake.declares(Command { argv: vec!["/bin/other".to_owned()], ..flush(true, true) });
    let end = run.executor.rollback(&mut progress, "a test").await.unwrap();
    assert!(matches!(end, RollbackEnd::Stuck { .. }), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn a_command_that_may_take_longer_now_is_undone_as_before() {
    let case = case(true, true);
    let run = Run::of(&case);
    let mut progress = run.prepared(&case).await;
    run.executor.apply(&mut progress).await.unwrap();
    let (limit, environment) = (Duration::from_mins(1), vec!["HOME".to_owned()]);
    run.fake.declares(Command { limit, environment, ..flush(true, true) });
    let end = run.executor.rollback(&mut progress, "a test").await.unwrap();
    assert!(matches!(end, RollbackEnd::RolledBack { .. }), "{end:?}");
    assert!(!run.fake.is_done("flush"));
}

#[tokio::test(start_paused = true)]
async fn a_command_that_was_cut_off_is_not_told_as_if_it_had_done_nothing() {
    let cut_off = Failure::Untold("it had not ended after 30s, and was ended".to_owned());
    for (undo, check) in [(false, false), (true, false), (false, true), (true, true)] {
        let case = case(undo, check);
        let run = Run::of(&case);
        let mut progress = run.prepared(&case).await;
        run.fake.fail_next("command", &cut_off, 1);
        let end = run.executor.apply(&mut progress).await.unwrap();
        assert!(matches!(end, ApplyEnd::Failed { .. }), "{end:?}");
        let end = run.executor.rollback(&mut run.found().await, "a test").await.unwrap();
        match end {
            RollbackEnd::Stuck { reason, .. } => {
                assert!(!undo && !check, "{reason}");
                assert!(reason.contains("it had not ended after 30s"), "{reason}");
            }
            RollbackEnd::RolledBack { .. } => assert!(undo || check),
        }
        assert_eq!(run.fake.ran("flush"), 0, "nor is it tried again");
    }
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_command_whose_check_cannot_be_asked_is_not_run_again_and_told() {
    let case = case(false, true);
    let run = Run::of(&case);
    let mut progress = run.prepared(&case).await;
    // After its intent: the command ran, and its result was not written.
    run.store.interrupt(1, Interruption::BeforeWrite);
    assert!(run.executor.apply(&mut progress).await.is_err());
    assert_eq!(run.fake.ran("flush"), 1);
    let busy = Failure::Refused("an earlier run of it is still going".to_owned());
    run.fake.fail_next("check command", &busy, 1);
    let end = run.executor.apply(&mut run.found().await).await.unwrap();
    assert!(matches!(end, ApplyEnd::Failed { .. }), "{end:?}");
    let end = run.executor.rollback(&mut run.found().await, "a test").await.unwrap();
    let RollbackEnd::Stuck { reason, .. } = end else { panic!("{end:?}") };
    assert!(reason.contains("an earlier run of it is still going"), "{reason}");
    assert_eq!(run.fake.ran("flush"), 1);
}
