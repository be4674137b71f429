//! What goes out, in its order, whatever Redis does.

use crate::support::free_port;

use super::*;

#[tokio::test]
async fn a_stream_that_redis_refuses_holds_up_the_others_and_repeats_nothing_for_ever() {
    let Some(server) = Server::redis(&[]) else { return };
    let mut other = Other::on(server.port).await;
    let () = other.ask(&["SET", &format!("{PREFIX}:results"), "not a stream"]).await;
    let tied = Tied::loose(Rules::default());
    let message = |stream, text: &str| Message {
        stream,
        fields: vec![("number".to_owned(), text.to_owned())],
    };
    let mut queued: Vec<Message> =
        (0..5).map(|number| message(Stream::Dead, &number.to_string())).collect();
    queued.insert(2, message(Stream::Results, "refused"));
    tied.store.queue_messages(&queued, tied.coordinator.now()).await.unwrap();
    tied.tie_to(at(server.port));
    // Several tries, each time.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(tied.store.messages_waiting().await.unwrap(), 4, "the refused and what follows");
    let told = other.all("dead").await.len();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(other.all("dead").await.len(), told, "nothing is told again and again");
    let () = other.ask(&["DEL", &format!("{PREFIX}:results")]).await;
    tied.all_carried().await;
    other.one("results", "number", "refused").await;
    let last: Vec<String> =
        other.all("dead").await.iter().rev().take(3).map(|m| m["number"].clone()).collect();
    assert_eq!(last, ["4", "3", "2"], "in their order");
}

/// Ten events a second for an hour.
const AN_HOUR: usize = 36_000;

#[tokio::test]
async fn a_redis_that_was_away_killed_and_emptied_gets_all_in_order_and_healing_does_not_wait() {
    let port = free_port().unwrap();
    let Some(server) = Server::redis_on(port, &["--save", ""]) else { return };
    // As it is kept in life, on a disk.
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::at(start_time()));
    let store = selfheal::store::open(folder.path(), clock).await.unwrap().store;
    let tied = Tied::with(Arc::new(store), Rules { streams: true, ..Rules::default() });
    tied.tie_to(at(port));
    tied.figures(|figures| figures.connected).await;
    server.signal("KILL");
    drop(server);
    tied.figures(|figures| !figures.connected).await;
    let message = |number: usize| Message {
        stream: Stream::Healing,
        fields: vec![
            ("incident_id".to_owned(), format!("{}", number % 7)),
            ("number".to_owned(), number.to_string()),
        ],
    };
    for begin in (0..AN_HOUR).step_by(1000) {
        let some: Vec<Message> = (begin..begin + 1000).map(message).collect();
        tied.store.queue_messages(&some, tied.coordinator.now()).await.unwrap();
    }
    // Nothing waits for it.
    tied.world.crash("web", 1);
    tied.coordinator.check(Scope::All, Trigger::Api, false).await.unwrap();
    tied.coordinator.applied().await;
    assert_eq!(tied.world.effects(), ["start web"], "it is healed meanwhile");
    let _again = Server::redis_on(port, &["--save", ""]);
    tied.all_carried().await;
    let mut other = Other::on(port).await;
    let numbers: Vec<usize> = other
        .all("healing")
        .await
        .iter()
        .filter_map(|message| message.get("number")?.parse().ok())
        .collect();
    let mut first = numbers.clone();
    first.sort_unstable();
    first.dedup();
    assert_eq!(first.len(), AN_HOUR, "none is lost");
    let mut seen = vec![];
    for number in numbers {
        // What is told again after a break begins where it broke off.
        if seen.last().is_none_or(|last| number > *last) {
            seen.push(number);
        }
    }
    assert_eq!(seen.len(), AN_HOUR, "in their order");
    // The group is there again as well.
    other.job("after", "unfreeze", &json!({})).await;
    assert_eq!(other.result("after").await.0, "success");
}

#[tokio::test]
async fn a_stream_that_was_emptied_under_the_reader_is_made_again() {
    let Some(server) = Server::redis(&[]) else { return };
    let tied = Tied::to(at(server.port), Rules::default());
    let mut other = Other::on(server.port).await;
    tied.figures(|figures| figures.connected).await;
    let () = other.ask(&["FLUSHALL"]).await;
    other.job("after", "unfreeze", &json!({})).await;
    assert_eq!(other.result("after").await.0, "success");
    let groups: Vec<redis::Value> =
        other.ask(&["XINFO", "GROUPS", &format!("{PREFIX}:errors")]).await;
    assert_eq!(groups.len(), 1);
}

#[tokio::test]
async fn a_long_stream_is_trimmed() {
    let Some(server) = Server::redis(&[]) else { return };
    let tied = Tied::to(Setup { max_length: 1000, ..at(server.port) }, Rules::default());
    let message =
        Message { stream: Stream::Errors, fields: vec![("a".to_owned(), "b".to_owned())] };
    tied.store.queue_messages(&vec![message; 5000], tied.coordinator.now()).await.unwrap();
    tied.figures(|figures| figures.sent >= 5000).await;
    let length: usize =
        Other::on(server.port).await.ask(&["XLEN", &format!("{PREFIX}:errors")]).await;
    // By whole nodes of the tree, a hundred messages each.
    assert!((1000..1200).contains(&length), "{length}");
}

#[tokio::test]
async fn how_selfheal_is_is_told_by_itself() {
    let Some(server) = Server::redis(&[]) else { return };
    let tied = Tied::to(at(server.port), Rules::default());
    let mut other = Other::on(server.port).await;
    tied.figures(|figures| figures.connected).await;
    let status = other.one("healing", "type", "status").await;
    assert_eq!((status["orchestrator_id"].as_str(), status["status"].as_str()), ("here", "idle"));
    assert_eq!((status["active_repairs"].as_str(), status["queue_size"].as_str()), ("0", "0"));
    let statistics: Value = serde_json::from_str(&status["statistics"]).unwrap();
    assert_eq!(statistics["total_fixes"], 0);
}
