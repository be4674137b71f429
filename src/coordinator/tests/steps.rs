//! Stories of a declared setting that is turned: further while that helps in part, and back to the
//! smallest change that does.

use selfheal_agents::model::{ApplyMethod, Fix, Message, Stream};

use super::messages::field;
use super::*;

const CONFIG: &str = "/srv/worker/config.json";
const BEGINNING: &str = "{\"delay_s\": 1.0}\n";

/// What a worker complains of by its delay: a line every so many seconds, or so many each second.
type Complains = fn(f64) -> (i64, usize);

fn set_to(delay: &str) -> String {
    format!("{{\"delay_s\": {delay}}}\n")
}

fn delay(fake: &FakeWorld) -> f64 {
    let text = fake.text(CONFIG);
    text.trim().trim_start_matches("{\"delay_s\": ").trim_end_matches('}').parse().unwrap()
}

/// Lets the worker work, and complain as its delay makes it.
async fn work(stage: &Stage, seconds: u64, complains: Complains) {
    for _ in 0..seconds {
        let (every, lines) = complains(delay(&stage.fake));
        let is_due = stage.fake.clock().now().timestamp() % every == 0;
        for _ in 0..if is_due { lines } else { 0 } {
            stage.fake.log("worker", "ERROR provider answered HTTP 429 Too Many Requests");
        }
        stage.pass(1).await;
    }
}

/// The worker of a provider that turns it away, and what was found of it; it has just begun.
async fn turned_away(rules: Rules, fake: FakeWorld, complains: Complains) -> Stage {
    let stage = Stage::new(fake, rules);
    stage.look().await;
    work(&stage, 20, complains).await;
    stage.look().await;
    stage
}

/// The worker whose delay takes effect by itself.
fn smooth() -> (FakeWorld, Rules) {
    let (fake, mut rules) = rate_limited();
    rules.declared.tunables[0].apply = ApplyMethod::None;
    rules.declared.tunables[0].walk_back = true;
    (fake, rules)
}

fn until_twice(delay: f64) -> (i64, usize) {
    if delay < 1.4 {
        (1, 1)
    } else if delay < 2.0 {
        (4, 1)
    } else {
        (1, 0)
    }
}

fn less_and_less(delay: f64) -> (i64, usize) {
    if delay < 1.4 {
        (1, 4)
    } else if delay < 2.0 {
        (1, 1)
    } else if delay < 3.0 {
        (4, 1)
    } else {
        (20, 1)
    }
}

/// How often the worker was restarted.
fn restarts(fake: &FakeWorld) -> usize {
    fake.effects().iter().filter(|effect| *effect == "restart worker").count()
}

fn tells(incident: &Incident, part: &str) -> bool {
    incident.timeline.iter().any(|entry| entry.text.contains(part))
}

#[tokio::test(start_paused = true)]
async fn a_step_that_helps_in_part_is_followed_by_the_next_and_both_are_one_answer() {
    let (fake, rules) = rate_limited();
    let stage = turned_away(rules, fake, until_twice).await;
    work(&stage, 400, until_twice).await;
    assert_eq!(stage.fake.text(CONFIG), set_to("2.25"));
    let incidents = stage.incidents().await;
    let incident = only(&incidents);
    assert_eq!(incident.state(), IncidentState::Resolved, "{:#?}", incident.timeline);
    assert!(tells(incident, "it helped in part: "), "{:#?}", incident.timeline);
    assert_eq!(restarts(&stage.fake), 2);
    let outcomes = stage.outcomes().await;
    assert_eq!(outcomes.iter().map(|o| o.success).collect::<Vec<_>>(), [true]);
    assert_eq!(stage.alerts().await, ["resolved"]);

    // And a person takes both back.
    let id = incident.id;
    stage.coordinator.rollback_incident(id, "ada", false).await.unwrap();
    assert_eq!(stage.fake.text(CONFIG), BEGINNING);
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::RolledBack);
    assert_eq!(stage.outcomes().await.iter().filter(|o| !o.success).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_step_is_told_with_its_own_looks_and_verdict() {
    let (fake, rules) = rate_limited();
    let stage = turned_away(Rules { streams: true, ..rules }, fake, until_twice).await;
    work(&stage, 400, until_twice).await;
    let incidents = stage.incidents().await;
    let incident = only(&incidents);
    let told = stage.told(Stream::Validation).await;
    let of = |fix: &Fix, kind: &str| {
        let id = fix.id.to_string();
        let is = |m: &&Message| field(m, "repair_id") == id && field(m, "type") == kind;
        told.iter().filter(is).cloned().collect::<Vec<_>>()
    };
    let (first, second) = (&incident.earlier_fixes[0], incident.fix.as_ref().unwrap());
    assert!(!of(first, "sample").is_empty() && !of(second, "sample").is_empty());
    let last_of_first = of(first, "sample").last().map(|m| field(m, "timestamp").to_owned());
    let first_of_second = of(second, "sample").first().map(|m| field(m, "timestamp").to_owned());
    assert!(last_of_first < first_of_second, "{last_of_first:?} {first_of_second:?}");
    let verdicts: Vec<&str> = told
        .iter()
        .filter(|m| field(m, "type") == "verdict" && field(m, "repair_id") == second.id.to_string())
        .map(|m| field(m, "verdict"))
        .collect();
    assert_eq!(verdicts, ["kept"]);
    assert!(of(first, "verdict").iter().all(|m| field(m, "verdict") != "kept"));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_help_at_all_is_not_followed_by_another_step() {
    let (fake, rules) = rate_limited();
    let complains: Complains = |_| (1, 1);
    let stage = turned_away(rules, fake, complains).await;
    while only(&stage.incidents().await).state() != IncidentState::RolledBack {
        assert!(delay(&stage.fake) <= 1.5);
        work(&stage, 1, complains).await;
    }
    assert_eq!(stage.fake.text(CONFIG), BEGINNING);
    assert!(!tells(only(&stage.incidents().await), "in part"));
}

#[tokio::test(start_paused = true)]
async fn after_the_last_step_that_is_allowed_everything_is_as_before_the_first() {
    let (fake, rules) = rate_limited();
    let stage = turned_away(rules, fake, less_and_less).await;
    for _ in 0..600 {
        if only(&stage.incidents().await).state() == IncidentState::RolledBack {
            break;
        }
        work(&stage, 1, less_and_less).await;
    }
    assert_eq!(stage.fake.text(CONFIG), BEGINNING);
    let incidents = stage.incidents().await;
    let incident = only(&incidents);
    assert!(tells(incident, "3 steps are the most"), "{:#?}", incident.timeline);
    assert_eq!(incident.earlier_fixes.len(), 2, "three steps were made");
    // Each of three, and one for all of the way back.
    assert_eq!(restarts(&stage.fake), 4);
    assert_eq!(stage.outcomes().await.iter().map(|o| o.success).collect::<Vec<_>>(), [false]);
}

#[tokio::test(start_paused = true)]
async fn a_setting_at_its_limit_is_not_turned_further() {
    let (fake, mut rules) = rate_limited();
    rules.declared.tunables[0].max = 1.5;
    let stage = turned_away(rules, fake, less_and_less).await;
    for _ in 0..300 {
        if only(&stage.incidents().await).state() == IncidentState::RolledBack {
            break;
        }
        work(&stage, 1, less_and_less).await;
    }
    assert_eq!(stage.fake.text(CONFIG), BEGINNING);
    let incidents = stage.incidents().await;
    assert!(tells(only(&incidents), "it cannot be turned further"), "{incidents:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_smaller_change_that_does_not_do_is_undone_and_the_proven_one_stays() {
    let (fake, rules) = smooth();
    let complains: Complains = |delay| if delay < 1.4 { (1, 1) } else { (1, 0) };
    let stage = turned_away(rules, fake, complains).await;
    work(&stage, 130, complains).await;
    assert_eq!(stage.fake.text(CONFIG), set_to("1.25"), "the middle is tried");
    work(&stage, 300, complains).await;
    assert_eq!(stage.fake.text(CONFIG), set_to("1.5"));
    let incidents = stage.incidents().await;
    let incident = only(&incidents);
    assert_eq!(incident.state(), IncidentState::Resolved, "{:#?}", incident.timeline);
    assert!(tells(incident, "the smaller change does not do: "), "{:#?}", incident.timeline);
    assert_eq!(incident.fix.as_ref().unwrap().summary, incident_fix("1", "1.5"));
    assert_eq!(stage.outcomes().await.iter().map(|o| o.success).collect::<Vec<_>>(), [true]);
    assert_eq!(stage.alerts().await, ["resolved"]);

    // What is left to take back is the proven change.
    stage.coordinator.rollback_incident(incident.id, "ada", false).await.unwrap();
    assert_eq!(stage.fake.text(CONFIG), BEGINNING);
}

fn incident_fix(from: &str, to: &str) -> String {
    format!("set `delay_s` in {CONFIG} from {from} to {to}")
}

#[tokio::test(start_paused = true)]
async fn the_smallest_change_that_does_is_found_in_two_tries_at_most() {
    let (fake, rules) = smooth();
    let complains: Complains = |delay| if delay < 1.05 { (1, 1) } else { (1, 0) };
    let stage = turned_away(rules, fake, complains).await;
    work(&stage, 900, complains).await;
    assert_eq!(stage.fake.text(CONFIG), set_to("1.13"), "1.25 is the first middle");
    let incidents = stage.incidents().await;
    let incident = only(&incidents);
    assert_eq!(incident.state(), IncidentState::Resolved, "{:#?}", incident.timeline);
    assert_eq!(stage.outcomes().await.len(), 1, "tries count for nothing");
    stage.coordinator.rollback_incident(incident.id, "ada", false).await.unwrap();
    assert_eq!(stage.fake.text(CONFIG), BEGINNING);
}

/// Runs the story until the journal is interrupted, and then a new Selfheal until all is over.
async fn interrupted(
    (fake, rules): (FakeWorld, Rules),
    complains: Complains,
    nth: usize,
    at: Interruption,
) -> (Stage, Incident) {
    let stage = turned_away_later(&fake, &rules, complains, nth, at).await;
    for _ in 0..900 {
        if stage.store.was_interrupted() {
            break;
        }
        work(&stage, 1, complains).await;
    }
    assert!(stage.store.was_interrupted(), "{at:?} {nth}: there are fewer records");
    stage.cancel.cancel();
    stage.pass(1).await;
    if first(&stage).await.state().is_closed() {
        let incident = first(&stage).await;
        return (stage, incident);
    }
    let next = Stage::on(fake, rules, stage.store.clone());
    next.look().await;
    for _ in 0..900 {
        if first(&next).await.state().is_closed() {
            break;
        }
        work(&next, 1, complains).await;
    }
    let incident = first(&next).await;
    (next, incident)
}

/// The oldest incident: what is still wrong when it is over is another one.
async fn first(stage: &Stage) -> Incident {
    let incidents = stage.incidents().await;
    incidents.into_iter().min_by_key(|incident| incident.opened_at).unwrap()
}

async fn turned_away_later(
    fake: &FakeWorld,
    rules: &Rules,
    complains: Complains,
    nth: usize,
    at: Interruption,
) -> Stage {
    let stage = Stage::new(fake.clone(), rules.clone());
    stage.look().await;
    work(&stage, 20, complains).await;
    stage.store.interrupt(nth, at);
    stage.look().await;
    stage
}

#[tokio::test(start_paused = true)]
async fn interrupted_at_any_record_of_further_steps_they_stay_or_go_together() {
    for at in [Interruption::BeforeWrite, Interruption::AfterWrite] {
        // The first six are those of the first step.
        for nth in 6..16 {
            let (next, incident) = interrupted(rate_limited(), until_twice, nth, at).await;
            let expected = match incident.state() {
                IncidentState::Resolved => set_to("2.25"),
                IncidentState::RolledBack => BEGINNING.to_owned(),
                other => panic!("{at:?} {nth}: {other} {:#?}", incident.timeline),
            };
            assert_eq!(next.fake.text(CONFIG), expected, "{at:?} {nth}: {:#?}", incident.timeline);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn interrupted_at_any_record_of_taking_steps_back_all_of_them_go() {
    for at in [Interruption::BeforeWrite, Interruption::AfterWrite] {
        // Two steps have twelve; ten take them back.
        for nth in 12..22 {
            let (fake, mut rules) = rate_limited();
            rules.budgets.steps = 2;
            let (next, incident) = interrupted((fake, rules), less_and_less, nth, at).await;
            assert_eq!(incident.state(), IncidentState::RolledBack, "{at:?} {nth}");
            let text = next.fake.text(CONFIG);
            assert_eq!(text, BEGINNING, "{at:?} {nth}: {:#?}", incident.timeline);
            let last = restarts(&next.fake);
            assert!((3..=5).contains(&last), "{at:?} {nth}: the old delay is in effect again");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn interrupted_at_any_record_of_a_smaller_change_the_proven_one_stays() {
    let complains: Complains = |delay| if delay < 1.4 { (1, 1) } else { (1, 0) };
    for at in [Interruption::BeforeWrite, Interruption::AfterWrite] {
        // Four apply the first change, and two keep it.
        for nth in 4..14 {
            let (next, incident) = interrupted(smooth(), complains, nth, at).await;
            assert_eq!(incident.state(), IncidentState::Resolved, "{at:?} {nth}");
            let text = next.fake.text(CONFIG);
            assert_eq!(text, set_to("1.5"), "{at:?} {nth}: {:#?}", incident.timeline);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_step_of_a_chain_is_spent_from_the_budget_and_so_is_what_was_taken_back() {
    let (fake, mut rules) = rate_limited();
    rules.budgets.per_target = 2;
    let stage = turned_away(rules, fake, less_and_less).await;
    work(&stage, 700, less_and_less).await;
    let incidents = stage.incidents().await;
    let first = incidents.iter().min_by_key(|incident| incident.opened_at).unwrap();
    assert!(tells(first, "2 fixes in the last hour for this target"), "{:#?}", first.timeline);
    assert_eq!(first.state(), IncidentState::RolledBack, "{:#?}", first.timeline);
    assert_eq!(stage.outcomes().await.len(), 1, "the chain is one answer");
    work(&stage, 30, less_and_less).await;
    stage.look().await;
    let incidents = stage.incidents().await;
    let again = incidents.iter().max_by_key(|incident| incident.opened_at).unwrap();
    let held: Vec<_> = again.holds.iter().map(Hold::name).collect();
    assert!(held.contains(&"budget_spent"), "{held:?}");
}
