//! Stories of who is told what, and when.

use selfheal_agents::model::Severity;

use super::*;
use crate::config::{ChannelName, Route};

/// Everything that needs a person is critical, and pushed; nothing else is.
fn pushed_if_critical() -> Rules {
    let route = Route {
        severity: Some(Severity::Critical),
        target: None,
        event: vec![],
        channels: vec![ChannelName::Ntfy],
    };
    let channels = ["log", "email", "ntfy"].map(str::to_owned).to_vec();
    Rules { mode: Mode::Approve, channels, routes: vec![route], ..Rules::default() }
}

/// What was queued for a channel and not yet taken from it, as it is taken now.
async fn taken(stage: &Stage, channel: &str) -> Vec<String> {
    let now = stage.fake.clock().now();
    let due = stage.store.due(now, 100).await.unwrap();
    let mut events = vec![];
    for delivery in due {
        stage.store.delivered(delivery.id, now).await.unwrap();
        if delivery.channel == channel {
            events.push(delivery.alert.event);
        }
    }
    events
}

#[tokio::test(start_paused = true)]
async fn whoever_was_called_by_a_route_is_told_that_it_is_over() {
    let stage = Stage::new(shop(), pushed_if_critical());
    stage.look().await;
    stage.fake.crash("web", 1);
    stage.pass(70).await;
    let told = stage.store.told(only(&stage.incidents().await).id).await.unwrap();
    assert_eq!(told, ["log", "ntfy"], "no route leads to the mail");
    assert_eq!(taken(&stage, "ntfy").await, ["held"]);
    stage.fake.world().runtime.start("web").await.unwrap();
    stage.pass(60).await;
    assert_eq!(taken(&stage, "ntfy").await, ["recovered"], "though that is critical to nobody");
}
