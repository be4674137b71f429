use chrono::TimeDelta;
use selfheal_agents::fakes::network;
use selfheal_agents::fix_engineer::actions::{
    Action, ContainerSetCpu, ContainerStart, NetworkConnect,
};
use selfheal_agents::model::{FixId, Ledger, Step, StepRole};
use uuid::Uuid;

use super::*;

fn web() -> TargetId {
    TargetId::container("web")
}

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH + TimeDelta::hours(100)
}

fn fix() -> Fix {
    Fix {
        id: FixId(Uuid::nil()),
        fix_type: "container.start".to_owned(),
        target: web(),
        issue_type: "container-exited".to_owned(),
        summary: "start container `web`".to_owned(),
        steps: vec![Step {
            action: Action::ContainerStart(ContainerStart { container: "web".to_owned() }),
            role: StepRole::Repair,
        }],
        ledger: Ledger::with_base(90, "base"),
        original_confidence: Confidence::literal(90),
        confidence: Confidence::literal(90),
        interruption_secs: 0,
        course: selfheal_agents::model::Course::First,
        quiet: false,
        warnings: vec![],
        proposed_at: now(),
    }
}

/// Facts under which every guard agrees.
fn calm() -> Facts {
    Facts {
        now: now(),
        mode: Mode::Auto,
        threshold: Confidence::literal(85),
        policies: BTreeMap::from([(web(), TargetPolicy::default())]),
        external: false,
        stopped_by_person: Some(false),
        failed_rehearsal: None,
        dependents_suffer: false,
        starting_until: None,
        came_back: None,
        deployment: None,
        backup: None,
        unknown: None,
        healer: None,
        managed: None,
        elsewhere: None,
        freezes: vec![],
        maintenance: None,
        quiet: None,
        spent: Spent::default(),
        budgets: Budgets {
            per_target: 6,
            per_action: 20,
            per_host: 30,
            steps: 3,
            failures_in_a_row: 3,
            common_cause_share: 0.4,
        },
        flapping: None,
        failing: 1,
        watched: 10,
        failures_in_a_row: 0,
        changed: None,
        database_in_recovery: Some(false),
        distrust: None,
        unearned: None,
        touches_selfheal: false,
        overload: None,
        dry_run: false,
    }
}

fn freeze(target: Option<TargetId>, until: Option<Timestamp>) -> Freeze {
    Freeze {
        target,
        until,
        reason: "moving house".to_owned(),
        by: "ada".to_owned(),
        safety_stop: false,
        stuck: None,
    }
}

fn reasons(facts: &Facts) -> Vec<&'static str> {
    match decide(fix(), facts) {
        Ok(_) => vec![],
        Err(holds) => holds.iter().map(Hold::name).collect(),
    }
}

#[test]
fn a_sure_fix_in_calm_circumstances_is_approved() {
    assert_eq!(reasons(&calm()), Vec::<&str>::new());
}

/// How one circumstance disturbs the calm.
type Disturbance = fn(&mut Facts);

/// Each guard with the one circumstance that must make it, and only it, hold.
const DISTURBANCES: &[(&str, Disturbance)] = &[
    ("mode", |f| f.mode = Mode::Observe),
    ("mode", |f| f.mode = Mode::Approve),
    ("confidence_too_low", |f| f.threshold = Confidence::literal(91)),
    ("target_excluded", |f| f.policies.get_mut(&web()).unwrap().excluded = true),
    ("facts_missing", |f| f.policies.clear()),
    ("target_external", |f| f.policies.get_mut(&web()).unwrap().external = true),
    ("target_external", |f| f.external = true),
    ("stopped_by_person", |f| f.stopped_by_person = Some(true)),
    ("facts_missing", |f| f.stopped_by_person = None),
    ("in_start_period", |f| f.starting_until = Some(now() + TimeDelta::seconds(5))),
    ("waits_for_dependency", |f| f.came_back = Some(TargetId::container("db"))),
    ("deployment_under_way", |f| {
        let seen = "`web` was made 3 s ago".to_owned();
        f.deployment = Some(Hold::DeploymentUnderWay { seen, until: None });
    }),
    ("backup_under_way", |f| f.backup = Some("`pg_dump` runs in `container:web`".to_owned())),
    ("facts_missing", |f| f.unknown = Some("whether a backup runs in it".to_owned())),
    ("other_healer", |f| f.healer = Some("autoheal".to_owned())),
    ("managed_elsewhere", |f| {
        f.managed = Some(Hold::ManagedElsewhere { why: "the kubelet looks after it".to_owned() });
    }),
    ("leased_elsewhere", |f| f.elsewhere = Some(Hold::LeasedElsewhere { node: "nas".to_owned() })),
    ("frozen", |f| f.freezes = vec![freeze(None, None)]),
    ("frozen", |f| f.freezes = vec![freeze(Some(web()), Some(now() + TimeDelta::hours(1)))]),
    ("maintenance_window", |f| f.maintenance = Some("0 3 * * *".to_owned())),
    ("safety_stop_in_all", |f| f.freezes = vec![Freeze::safety_stop("all fail".to_owned())]),
    ("budget_spent", |f| f.spent.target = 6),
    ("budget_spent", |f| f.spent.action = 20),
    ("budget_spent", |f| f.spent.host = 30),
    ("flapping", |f| f.flapping = Some((web(), 57))),
    ("common_cause", |f| f.failing = 5),
    ("common_cause", |f| (f.failing, f.watched) = (41, 100)),
    ("facts_missing", |f| f.watched = 0),
    ("safety_stop", |f| f.failures_in_a_row = 3),
    ("stale_diagnosis", |f| f.changed = Some("it was made anew".to_owned())),
    ("database_in_recovery", |f| f.database_in_recovery = Some(true)),
    ("facts_missing", |f| f.database_in_recovery = None),
    ("shadow", |f| f.unearned = Some(Unearned { confirmed: 1, needed: 3 })),
    ("quarantined", |f| f.distrust = Some("it failed twice".to_owned())),
    ("touches_selfheal", |f| f.touches_selfheal = true),
    ("under_pressure", |f| f.overload = Some(95)),
    ("dry_run", |f| f.dry_run = true),
];

#[test]
fn every_guard_holds_for_its_own_reason_and_no_other() {
    for (reason, disturb) in DISTURBANCES {
        let mut facts = calm();
        disturb(&mut facts);
        assert_eq!(reasons(&facts), vec![*reason]);
    }
}

#[test]
fn all_reasons_are_given_together() {
    let mut facts = calm();
    facts.mode = Mode::Observe;
    facts.distrust = Some("no".to_owned());
    facts.overload = Some(99);
    assert_eq!(reasons(&facts), vec!["mode", "quarantined", "under_pressure"]);
}

#[test]
fn circumstances_just_short_of_a_guard_do_not_hold() {
    let quiet: &[Disturbance] = &[
        |f| f.threshold = Confidence::literal(90),
        |f| f.spent.target = 5,
        |f| f.failing = 4,
        |f| (f.failing, f.watched) = (40, 100),
        |f| {
            // Three of three is everything, and still too few to speak of a common cause.
            f.failing = 3;
            f.watched = 3;
        },
        |f| f.failures_in_a_row = 2,
        |f| f.starting_until = Some(now() - TimeDelta::seconds(1)),
        |f| f.freezes = vec![freeze(None, Some(now() - TimeDelta::seconds(1)))],
        |f| f.freezes = vec![freeze(Some(TargetId::container("other")), None)],
        |f| {
            f.stopped_by_person = Some(true);
            f.dependents_suffer = true;
        },
    ];
    for disturb in quiet {
        let mut facts = calm();
        disturb(&mut facts);
        assert_eq!(reasons(&facts), Vec::<&str>::new());
    }
}

#[test]
fn a_person_overrules_doubt_but_not_protection() {
    for (reason, disturb) in DISTURBANCES {
        let mut facts = calm();
        disturb(&mut facts);
        let allowed = decide_for("ada", fix(), &facts).is_ok();
        let only_doubt = [
            "mode",
            "confidence_too_low",
            "stopped_by_person",
            "in_start_period",
            "waits_for_dependency",
            "other_healer",
            "maintenance_window",
            "budget_spent",
            "flapping",
            "common_cause",
            "safety_stop",
            "safety_stop_in_all",
            "quarantined",
            "shadow",
            "under_pressure",
        ]
        .contains(reason);
        assert_eq!(allowed, only_doubt, "{reason}");
    }
}

#[test]
fn an_approved_fix_names_the_person_who_approved_it() {
    let approved = decide_for("ada", fix(), &calm()).unwrap();
    assert_eq!(approved.approved_by(), Some("ada"));
    assert_eq!(decide(fix(), &calm()).unwrap().approved_by(), None);
}

#[test]
fn what_can_wait_runs_alone_only_in_a_quiet_hour_and_a_person_need_not_wait() {
    let waits = Fix { quiet: true, ..fix() };
    for (quiet, held) in [
        (None, Some(Hold::QuietHour { configured: false })),
        (Some(false), Some(Hold::QuietHour { configured: true })),
        (Some(true), None),
    ] {
        let facts = Facts { quiet, ..calm() };
        let holds = decide(waits.clone(), &facts).err().unwrap_or_default();
        assert_eq!(holds, held.into_iter().collect::<Vec<_>>(), "{quiet:?}");
        assert!(decide(fix(), &facts).is_ok(), "what cannot wait does not");
        assert!(decide_for("ada", waits.clone(), &facts).is_ok());
    }
    let unsure = Fix { confidence: Confidence::literal(84), ..waits };
    let holds = decide(unsure, &Facts { quiet: Some(true), ..calm() }).unwrap_err();
    assert_eq!(holds[0].name(), "confidence_too_low", "a quiet hour opens no other guard");
}

#[test]
fn a_decision_is_too_old_after_its_lifetime_and_a_clock_set_back_makes_none_old() {
    let lifetime = Duration::from_mins(10);
    let after = |secs| too_old(now(), now() + TimeDelta::seconds(secs), lifetime);
    assert_eq!(after(600), None);
    assert!(after(840).is_some_and(|why| why.starts_with("it was decided 14 min ago")));
    assert_eq!(after(-7200), None);
}

/// Whether the fix of these actions is held under such facts.
fn is_held(actions: Vec<Action>, disturb: Disturbance) -> bool {
    let mut facts = calm();
    disturb(&mut facts);
    let role = StepRole::Repair;
    let steps = actions.into_iter().map(|action| Step { action, role }).collect();
    decide(Fix { steps, ..fix() }, &facts).is_err()
}

#[test]
fn a_recovery_and_an_overload_do_not_keep_from_what_helps_them() {
    let start = || Action::ContainerStart(ContainerStart { container: "web".to_owned() });
    let connect = || {
        Action::NetworkConnect(NetworkConnect {
            container: "web".to_owned(),
            attachment: network("app", "web"),
            rejoins: false,
        })
    };
    let slow =
        || Action::ContainerSetCpu(ContainerSetCpu { container: "web".to_owned(), limit_nanos: 1 });
    let recovers: Disturbance = |f| f.database_in_recovery = Some(true);
    assert!(!is_held(vec![connect()], recovers));
    assert!(is_held(vec![connect(), start()], recovers));
    let overloaded: Disturbance = |f| f.overload = Some(99);
    assert!(!is_held(vec![slow()], overloaded));
    assert!(is_held(vec![slow(), start()], overloaded));
}
