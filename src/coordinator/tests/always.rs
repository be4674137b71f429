//! Stories of what people allow for good, and of what they cannot.

use selfheal_agents::model::Confidence;

use super::*;

/// Under these rules the fix of the hanging `web` waits for a person; what they answer to "always".
async fn said_always(rules: Rules) -> (Stage, Result<(), RequestError>) {
    let stage = Stage::new(shop(), rules);
    stage.look().await;
    stage.fake.hang("web");
    stage.look().await;
    let id = only(&stage.incidents().await).id;
    let answer = stage.coordinator.approve_always(id, "ada").await;
    (stage, answer)
}

fn asking() -> Rules {
    Rules { mode: Mode::Approve, ..Rules::default() }
}

#[tokio::test(start_paused = true)]
async fn what_only_the_mode_asks_for_is_allowed_for_good_and_done_alone_the_next_time() {
    let (stage, answer) = said_always(asking()).await;
    answer.unwrap();
    stage.pass(300).await;
    assert_eq!(stage.fake.effects(), ["restart web"]);
    let allowed = stage.coordinator.allowed().await.unwrap();
    assert_eq!((allowed.len(), allowed[0].by.as_str()), (1, "ada"));
    stage.pass(3600).await;
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(60).await;
    assert_eq!(stage.fake.effects(), ["restart web", "restart web"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_for_any_other_reason_too_is_not_allowed_for_good_and_not_done_either() {
    type Change = fn(&mut Rules);
    let doubts: [(&str, Change); 5] = [
        ("sure", |rules| rules.threshold = Confidence::literal(100)),
        ("allowed", |rules| rules.budgets.per_host = 0),
        ("in shadow", |rules| {
            (rules.autonomy, rules.earned_after) = (selfheal_agents::model::Autonomy::Earned, 2);
        }),
        ("maintenance window", |rules| {
            let duration = Duration::from_hours(24);
            let all_day =
                crate::config::Maintenance { cron: "0 0 * * *".to_owned(), duration, target: None };
            rules.maintenance = vec![all_day];
        }),
        ("only reports", |rules| rules.mode = Mode::Observe),
    ];
    for (why, change) in doubts {
        let mut rules = asking();
        change(&mut rules);
        let (stage, answer) = said_always(rules).await;
        let Err(RequestError::Conflict(said)) = answer else { panic!("{why}: {answer:?}") };
        assert!(said.contains("always is only for") && said.contains(why), "{why}: {said}");
        stage.pass(60).await;
        assert_eq!(stage.fake.effects(), Vec::<String>::new(), "{why}");
        assert_eq!(stage.coordinator.allowed().await.unwrap(), vec![], "{why}");
        // Once is a matter of its own.
        let id = only(&stage.incidents().await).id;
        stage.coordinator.approve(id, "ada").await.unwrap();
    }
}
