//! Stories of repairs that were decided on and cannot begin, and where each reason to hold is
//! tested.

use std::collections::BTreeSet;

use selfheal_agents::fakes::Failure;
use selfheal_agents::fix_engineer::actions::{Act as _, Action, ConfigSet, ContainerRestart};
use selfheal_agents::model::{Actor, Confidence, Fix, FixId, IncidentId, Ledger, Step, StepRole};
use uuid::Uuid;

use super::*;
use crate::coordinator::policy::ApprovedFix;

fn restart(container: &str) -> Action {
    let container = container.to_owned();
    Action::ContainerRestart(ContainerRestart { container, stop_timeout_secs: 1, signal: None })
}

fn turn() -> Action {
    Action::ConfigSet(ConfigSet {
        target: TargetId::container("worker"),
        file: "/srv/worker/config.json".to_owned(),
        key: "delay_s".to_owned(),
        from: 1.0,
        to: 1.5,
    })
}

fn fix(nth: u128, action: Action, at: Timestamp) -> Fix {
    Fix {
        id: FixId(Uuid::from_u128(nth)),
        fix_type: action.name().to_owned(),
        target: action.target(),
        issue_type: "a-test".to_owned(),
        summary: action.describe(),
        steps: vec![Step { action, role: StepRole::Repair }],
        ledger: Ledger::with_base(90, "base"),
        original_confidence: Confidence::literal(90),
        confidence: Confidence::literal(90),
        interruption_secs: 0,
        quiet: false,
        course: selfheal_agents::model::Course::First,
        warnings: vec![],
        proposed_at: at,
    }
}

/// Begins the repair of an incident of its own, which the gate has let through; answers the
/// incident a moment later.
async fn begun(stage: &Stage, nth: u128, action: Action) -> Incident {
    let now = stage.fake.clock().now();
    let (id, fix) = (IncidentId(Uuid::from_u128(nth)), fix(nth, action, now));
    let mut incident = Incident::open(id, fix.target.clone(), vec![], now);
    incident.become_state(IncidentState::Diagnosed, now, Actor::RootCause, "a test").unwrap();
    incident.fix = Some(fix.clone());
    stage.coordinator.inner.begin_repair(incident, ApprovedFix::for_test(fix)).await;
    stage.pass(1).await;
    stage.store.incident(id).await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn two_repairs_are_never_at_work_on_one_target_and_on_two_they_are() {
    let stage = Stage::new(
        old_world(|w| {
            w.add(healthy("web")).add(healthy("db"));
        }),
        Rules::default(),
    );
    stage.look().await;
    answers_after(&stage.fake, "restart web", Duration::from_secs(5));
    assert_eq!(begun(&stage, 1, restart("web")).await.state(), IncidentState::Fixing);
    let second = begun(&stage, 2, restart("web")).await;
    let target = TargetId::container("web");
    assert_eq!(second.holds, [Hold::RepairUnderWay { target }]);
    assert_eq!(second.state(), IncidentState::Held);
    assert_eq!(begun(&stage, 3, restart("db")).await.state(), IncidentState::Validating);
    stage.pass(5).await;
    assert_eq!(stage.fake.effects(), ["restart db", "restart web"]);
    let later = begun(&stage, 4, restart("web")).await;
    assert_eq!(later.holds, [], "the first is not at work any more, only watched");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_backed_up_or_planned_is_not_touched_and_later_it_is() {
    let (fake, rules) = rate_limited();
    let stage = Stage::new(fake.clone(), rules);
    stage.look().await;
    fake.fail_next("read", &Failure::Unreachable, 1);
    let first = begun(&stage, 1, turn()).await;
    stage.store.interrupt(0, Interruption::BeforeWrite);
    let second = begun(&stage, 2, turn()).await;
    for (held, said) in [(first, "backed up"), (second, "without a backup and a journal")] {
        assert_eq!(held.state(), IncidentState::Held, "{:#?}", held.timeline);
        let [Hold::CouldNotApply { why }] = held.holds.as_slice() else {
            panic!("{:?}", held.holds)
        };
        assert!(why.contains(said), "{why}");
    }
    assert_eq!(fake.effects(), Vec::<String>::new());
    assert_eq!(begun(&stage, 3, turn()).await.holds, []);
    assert_eq!(fake.text("/srv/worker/config.json"), "{\"delay_s\": 1.5}\n");
}

#[tokio::test(start_paused = true)]
async fn where_no_setting_is_declared_no_fix_is_known_and_where_one_is_it_is_turned() {
    for is_declared in [true, false] {
        let (fake, mut rules) = rate_limited();
        rules.declared.tunables.retain(|_| is_declared);
        let stage = Stage::new(fake, rules);
        stage.look().await;
        complain(&stage).await;
        stage.look().await;
        stage.pass(2).await;
        let incidents = stage.incidents().await;
        let holds: Vec<&str> = only(&incidents).holds.iter().map(Hold::name).collect();
        let expected: &[&str] = if is_declared { &[] } else { &["no_fix_known"] };
        assert_eq!(holds, expected);
        assert_eq!(stage.fake.effects().is_empty(), !is_declared);
    }
}

/// Where each reason is tested both ways: that it holds when it should, and not when not.
const BOTH_WAYS: &[(&str, &str, &[&str])] = &[
    ("mode", GATE, &["labels_exclude_a_target_or_make_it_somebody_elses"]),
    ("confidence_too_low", POLICY, &[DISTURBED, JUST_SHORT]),
    (
        "no_fix_known",
        HERE,
        &["where_no_setting_is_declared_no_fix_is_known_and_where_one_is_it_is_turned"],
    ),
    ("target_excluded", GATE, &["labels_exclude_a_target_or_make_it_somebody_elses"]),
    ("target_external", GATE, &["labels_exclude_a_target_or_make_it_somebody_elses"]),
    ("stopped_by_person", POLICY, &[DISTURBED, JUST_SHORT]),
    ("in_start_period", GATE, &["in_its_start_period_a_container_is_left_and_then_restarted"]),
    (
        "deployment_under_way",
        OTHERS,
        &[
            "what_was_made_within_the_minute_may_take_that_long_to_be_well",
            "what_restart_policies_and_one_person_alone_start_is_no_deployment",
        ],
    ),
    (
        "backup_under_way",
        OTHERS,
        &["nothing_is_restarted_under_a_backup_and_all_is_when_it_is_over"],
    ),
    (
        "other_healer",
        OTHERS,
        &["what_another_healer_watches_is_left_to_it_while_it_runs_and_not_when_it_is_down"],
    ),
    (
        "managed_elsewhere",
        include_str!("managed.rs"),
        &["what_a_kubelet_or_a_swarm_keeps_making_again_is_told_and_never_touched"],
    ),
    ("frozen", GATE, &["a_freeze_holds_for_its_target_and_its_time"]),
    ("maintenance_window", GATE, &["in_a_maintenance_window_nothing_of_it_is_touched"]),
    (
        "quiet_hour",
        POLICY,
        &["what_can_wait_runs_alone_only_in_a_quiet_hour_and_a_person_need_not_wait"],
    ),
    (
        "leased_elsewhere",
        include_str!("fleet.rs"),
        &["what_another_node_looks_after_is_left_to_it_in_silence_until_that_one_is_gone"],
    ),
    (
        "repair_under_way",
        HERE,
        &["two_repairs_are_never_at_work_on_one_target_and_on_two_they_are"],
    ),
    ("budget_spent", POLICY, &[DISTURBED, JUST_SHORT]),
    (
        "flapping",
        include_str!("flapping.rs"),
        &[
            "what_flaps_is_told_once_and_left_alone_until_it_calms_down_also_after_a_new_start",
            "what_breaks_a_few_times_does_not_flap",
        ],
    ),
    (
        "common_cause",
        GATE,
        &["a_few_of_many_that_fail_at_once_are_mended_and_two_of_five_are_the_most"],
    ),
    (
        "safety_stop",
        STOPPED,
        &["after_failures_in_a_row_a_target_alone_is_left_until_a_person_approves_a_fix_there"],
    ),
    (
        "safety_stop_in_all",
        STOPPED,
        &["half_of_the_last_ten_fixes_stop_everything_and_fewer_or_nine_do_not"],
    ),
    (
        "stale_diagnosis",
        include_str!("stale.rs"),
        &[
            "a_plan_that_waited_too_long_for_a_person_is_made_anew_before_it_is_carried_out",
            "a_decision_that_the_machine_slept_over_is_not_carried_out_but_made_anew",
        ],
    ),
    (
        "database_in_recovery",
        GATE,
        &[
            "a_database_that_recovers_is_not_restarted",
            "a_cache_that_loads_its_data_is_not_restarted",
            "a_database_that_takes_nobody_while_it_recovers_is_believed_by_its_own_lines",
        ],
    ),
    ("quarantined", STORIES, &["what_does_not_help_is_taken_back_and_given_up_after_two_failures"]),
    (
        "shadow",
        include_str!("shadow.rs"),
        &["what_is_not_earned_is_only_told_and_what_people_did_instead_earns_it"],
    ),
    ("touches_selfheal", GATE, &["selfheal_does_not_touch_the_container_it_runs_in"]),
    ("under_pressure", POLICY, &["a_recovery_and_an_overload_do_not_keep_from_what_helps_them"]),
    (
        "irreversible",
        include_str!("commands.rs"),
        &[
            "a_command_without_undo_and_check_is_run_only_with_a_persons_word",
            "a_declared_command_is_run_proven_and_told",
        ],
    ),
    ("facts_missing", POLICY, &[DISTURBED, "a_sure_fix_in_calm_circumstances_is_approved"]),
    (
        "waits_for_dependency",
        GATE,
        &["who_needs_what_has_just_come_back_gets_its_time_and_is_then_restarted"],
    ),
    (
        "too_early",
        include_str!("early.rs"),
        &[
            "what_is_too_young_to_be_ended_is_looked_at_when_it_is_old_enough_and_not_by_chance",
            "what_is_always_young_is_told_to_a_person",
        ],
    ),
    (
        "could_not_apply",
        HERE,
        &["what_cannot_be_backed_up_or_planned_is_not_touched_and_later_it_is"],
    ),
    (
        "rehearsal_failed",
        include_str!("rehearsals.rs"),
        &[
            "what_fails_on_a_clone_as_it_does_in_life_is_held_once_and_a_person_decides",
            "what_works_on_a_clone_is_applied_and_the_clone_is_gone_and_never_was_a_target",
        ],
    ),
    ("dry_run", POLICY, &[DISTURBED, "a_sure_fix_in_calm_circumstances_is_approved"]),
];

const HERE: &str = include_str!("beginnings.rs");
const GATE: &str = include_str!("gate.rs");
const OTHERS: &str = include_str!("others.rs");
const STOPPED: &str = include_str!("stopped.rs");
const STORIES: &str = include_str!("../tests.rs");
const POLICY: &str = include_str!("../policy/tests.rs");
const DISTURBED: &str = "every_guard_holds_for_its_own_reason_and_no_other";
const JUST_SHORT: &str = "circumstances_just_short_of_a_guard_do_not_hold";

#[test]
fn every_reason_to_hold_names_its_tests() {
    let schema = serde_json::to_value(schemars::schema_for!(Hold)).unwrap();
    let variants = schema["oneOf"].as_array().unwrap().iter();
    let known: BTreeSet<&str> =
        variants.map(|v| v["properties"]["reason"]["const"].as_str().unwrap()).collect();
    let named: BTreeSet<&str> = BOTH_WAYS.iter().map(|(reason, ..)| *reason).collect();
    assert_eq!(known, named);
    for (reason, file, tests) in BOTH_WAYS {
        for test in *tests {
            assert!(file.contains(&format!("fn {test}()")), "{reason}: {test}");
        }
    }
}
