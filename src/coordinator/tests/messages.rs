//! Stories of what other programs are told.

use std::collections::BTreeSet;

use selfheal_agents::model::{Message, Stream};
use selfheal_agents::ports::Messages;
use serde_json::Value;

use super::*;

fn telling() -> Rules {
    Rules { streams: true, ..Rules::default() }
}

impl Stage {
    pub(super) async fn told(&self, stream: Stream) -> Vec<Message> {
        let waiting = self.store.messages(usize::MAX).await.unwrap();
        waiting.into_iter().map(|queued| queued.message).filter(|m| m.stream == stream).collect()
    }
}

pub(super) fn field<'a>(message: &'a Message, name: &str) -> &'a str {
    let found = message.fields.iter().find(|(known, _)| known == name);
    found.map_or_else(|| panic!("no `{name}` in {message:?}"), |(_, value)| value)
}

fn json(message: &Message, name: &str) -> Value {
    serde_json::from_str(field(message, name)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_repair_is_told_from_its_error_to_its_result() {
    let stage = Stage::new(shop(), telling());
    stage.look().await;
    stage.fake.crash("web", 1);
    stage.pass(300).await;
    let incidents = stage.incidents().await;
    let incident = only(&incidents);
    assert_eq!(incident.state(), IncidentState::Resolved);

    let errors = stage.told(Stream::Errors).await;
    assert_eq!(errors.len(), incident.findings.len());
    assert_eq!(field(&errors[0], "target"), "container:web");
    assert_eq!(json(&errors[0], "payload")["message"], incident.findings[0].message.as_str());
    assert_eq!(field(&errors[0], "error_id"), field(&errors[0], "message_id"));

    let healing = stage.told(Stream::Healing).await;
    let texts: Vec<&str> = healing.iter().map(|message| field(message, "text")).collect();
    let timeline: Vec<&str> = incident.timeline.iter().map(|entry| entry.text.as_str()).collect();
    assert_eq!(texts, timeline, "every line, once, in order");
    let mut states: Vec<&str> = healing.iter().map(|message| field(message, "state")).collect();
    states.dedup();
    assert_eq!(states, ["open", "diagnosed", "fixing", "validating", "resolved"]);

    let validation = stage.told(Stream::Validation).await;
    let samples = &incident.validation.as_ref().unwrap().samples;
    let (verdicts, looks): (Vec<_>, Vec<_>) =
        validation.iter().partition(|message| field(message, "type") == "verdict");
    assert!(looks.len() >= samples.len() - 1 && looks.len() > 10, "{}", looks.len());
    assert_eq!(verdicts.len(), 1);
    assert_eq!(field(verdicts[0], "verdict"), "kept");

    let results = stage.told(Stream::Results).await;
    assert_eq!(results.len(), 1, "{results:?}");
    let result = json(&results[0], "result");
    assert_eq!(field(&results[0], "status"), "success");
    assert_eq!(field(&results[0], "repair_id"), incident.fix.as_ref().unwrap().id.to_string());
    assert_eq!(result["fix_applied"], "container.start");
    assert_eq!(result["validation_passed"], true);
    assert!((0.85..=1.0).contains(&result["confidence_score"].as_f64().unwrap()), "{result}");
    assert!(result["execution_time"].as_f64().unwrap() >= 120.0, "{result}");
    assert_eq!(result["changes"].as_array().unwrap().len(), 1, "{result}");
}

#[tokio::test(start_paused = true)]
async fn a_fix_that_does_not_help_fails_and_one_that_waits_for_a_person_is_skipped() {
    let stage = Stage::new(shop(), telling());
    stage.look().await;
    stage.fake.behaves("web", Behaviour::DiesOnStart { exit_code: 1 });
    stage.fake.crash("web", 1);
    for _ in 0..10 {
        stage.pass(60).await;
        stage.look().await;
    }
    let results = stage.told(Stream::Results).await;
    let statuses: Vec<&str> = results.iter().map(|message| field(message, "status")).collect();
    assert!(statuses.contains(&"failed") && !statuses.contains(&"success"), "{statuses:?}");
    let held = results.last().unwrap();
    assert_eq!(field(held, "status"), "skipped");
    assert_eq!(json(held, "result")["fix_applied"], Value::Null);
    assert_eq!(json(held, "result")["changes"], Value::Array(vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_new_start_tells_what_was_not_told_and_nothing_twice() {
    let (fake, store) = (shop(), Arc::<MemoryStore>::default());
    let stage = Stage::on(fake.clone(), telling(), Arc::clone(&store));
    stage.look().await;
    fake.crash("web", 1);
    stage.pass(60).await;
    // In the midst of its window.
    drop(stage);
    let stage = Stage::on(fake, telling(), store);
    stage.pass(300).await;
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).state(), IncidentState::Resolved);
    for stream in Stream::ALL {
        let told = stage.told(stream).await;
        let ids: BTreeSet<&str> = told.iter().map(|message| field(message, "message_id")).collect();
        assert_eq!(ids.len(), told.len(), "{stream:?}: {told:#?}");
    }
    assert_eq!(stage.told(Stream::Healing).await.len(), only(&incidents).timeline.len());
    assert_eq!(stage.told(Stream::Results).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_written_is_told_with_the_next_write() {
    let stage = Stage::new(shop(), telling());
    stage.look().await;
    stage.fake.crash("web", 1);
    stage.pass(10).await;
    stage.store.refuse_writes(Some("full"));
    stage.pass(20).await;
    stage.store.refuse_writes(None);
    stage.pass(300).await;
    let incidents = stage.incidents().await;
    let told = stage.told(Stream::Healing).await;
    let texts: Vec<&str> = told.iter().map(|message| field(message, "text")).collect();
    let timeline: Vec<&str> =
        only(&incidents).timeline.iter().map(|entry| entry.text.as_str()).collect();
    assert_eq!(texts, timeline);
}

#[tokio::test(start_paused = true)]
async fn where_there_are_no_streams_nothing_waits_for_them() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.fake.crash("web", 1);
    stage.pass(300).await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Resolved);
    assert_eq!(stage.store.messages_waiting().await.unwrap(), 0);
}
