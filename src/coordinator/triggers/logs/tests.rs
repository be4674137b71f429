use selfheal_agents::fakes::{FakeWorld, container};
use tokio::task::JoinHandle;

use super::*;
use crate::coordinator::triggers::fired::Fired;

fn catalogue() -> Catalogue {
    let runbook = |id: &str, applies: &str, signature: &str, example: &str| {
        let severity = if id == "chat" { "info" } else { "warning" };
        let text = format!(
            r#"
id = "{id}"
title = "Something is wrong"
category = "exceptions"
severity = "{severity}"
technology = "test"
status = "documented"
links = ["https://example.org/manual"]
{applies}
[[signature]]
{signature}
[diagnosis]
summary = "{{target}} is wrong."
base = 40
[examples]
match = {example}
near_miss = ["all is well", "nothing to see", "still nothing"]
"#
        );
        (format!("test/{id}.toml"), text)
    };
    let (catalogue, broken) = Catalogue::load([
        runbook("boom", "", "log = 'boom [0-9]+'", r#"["boom 1", "boom 22"]"#),
        runbook("chat", "", "log = 'by the way'", r#"["by the way", "oh, by the way"]"#),
        runbook("slow", "", "log = 'slow call'\nat_least = 3", r#"["slow call", "a slow call"]"#),
        runbook(
            "other",
            "[applies]\nimages = [\"postgres\"]",
            "log = 'FATAL line'",
            r#"["FATAL line", "a FATAL line"]"#,
        ),
    ]);
    assert!(broken.is_empty(), "{broken:?}");
    catalogue
}

struct Following {
    world: FakeWorld,
    fired: Fired,
    running: watch::Sender<Arc<Vec<Followed>>>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Following {
    async fn start() -> Self {
        let fired = Fired::default();
        let fire = fired.fire();
        Self::calling(fired, fire).await
    }

    /// With something else beside what notes the calls.
    async fn calling(fired: Fired, fire: Fire) -> Self {
        let world = FakeWorld::default();
        world.add(container("web"));
        let cancel = CancellationToken::new();
        let follower = Follower {
            runtime: Arc::new(world.clone()),
            catalogue: watch::Sender::new(Arc::new(catalogue())).subscribe(),
            clock: Arc::new(world.clock().clone()),
            fire,
            upkeep: Upkeep::new(cancel.clone()),
        };
        let (running, running_now) = watch::channel(listed(&world));
        let task = tokio::spawn(run(follower, running_now, cancel.clone()));
        pass(0).await;
        Self { world, fired, running, cancel, task }
    }

    async fn write(&self, text: &str) {
        self.world.clock().advance(Duration::from_millis(10));
        self.world.log("web", text);
        pass(0).await;
    }

    fn looks(&self) -> usize {
        self.fired.all().len()
    }

    async fn end(self) {
        self.cancel.cancel();
        self.task.await.unwrap();
    }
}

fn listed(world: &FakeWorld) -> Arc<Vec<Followed>> {
    Arc::new(Followed::running([&world.facts("web")]))
}

async fn pass(secs: u64) {
    tokio::time::sleep(Duration::from_secs(secs) + Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_known_error_calls_for_a_look_and_a_storm_of_it_for_one_in_ten_seconds() {
    let following = Following::start().await;
    following.write("all is well").await;
    assert_eq!(following.looks(), 0);
    for n in 0..50 {
        following.write(&format!("boom {n}")).await;
    }
    assert_eq!(following.fired.all(), [Scope::target(TargetId::container("web"))]);
    following.world.clock().advance_secs(10);
    following.write("boom 51").await;
    assert_eq!(following.looks(), 2);
    following.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_signature_that_must_come_often_counts_within_ten_minutes() {
    let following = Following::start().await;
    following.write("slow call").await;
    following.write("slow call").await;
    following.world.clock().advance_secs(601);
    following.write("slow call").await;
    assert_eq!(following.looks(), 0, "two of the three are too old");
    following.write("slow call").await;
    following.write("slow call").await;
    assert_eq!(following.looks(), 1);
    following.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_steadily_is_left_to_the_schedule_and_calls_again_when_it_doubles() {
    let following = Following::start().await;
    let every = async |secs: u64, lines: u32| {
        for n in 0..lines {
            following.world.clock().advance_secs(secs);
            following.write(&format!("boom {n}")).await;
        }
        following.looks()
    };
    let begun = every(20, 90).await;
    assert!((2..=6).contains(&begun), "at first it grows: {begun}");
    assert_eq!(every(20, 180).await, begun, "an hour of the same is no news");
    let doubled = every(5, 240).await;
    assert!((begun + 1..=begun + 3).contains(&doubled), "{doubled} after {begun}");
    assert_eq!(every(5, 240).await, doubled);
    // It ends, and comes back.
    following.world.clock().advance_secs(3600);
    assert_eq!(every(1, 1).await, doubled + 1);
    following.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_only_good_to_know_calls_for_nothing() {
    let following = Following::start().await;
    following.write("by the way").await;
    assert_eq!(following.looks(), 0);
    following.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_runbook_for_another_image_calls_for_nothing() {
    let following = Following::start().await;
    following.write("FATAL line").await;
    assert_eq!(following.looks(), 0);
    following.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_came_back_is_followed_again_without_its_old_lines() {
    let following = Following::start().await;
    following.write("boom 1").await;
    following.world.crash("web", 1);
    pass(1).await;
    following.world.clock().advance_secs(20);
    following.world.world().runtime.start("web").await.unwrap();
    following.running.send_replace(listed(&following.world));
    pass(5).await;
    assert_eq!(following.looks(), 1, "the old line is not counted again");
    following.write("boom 2").await;
    assert_eq!(following.looks(), 2);
    following.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_is_listed_no_more_is_followed_no_more() {
    let following = Following::start().await;
    following.running.send_replace(Arc::new(vec![]));
    pass(1).await;
    following.write("boom 1").await;
    assert_eq!(following.looks(), 0);
    following.end().await;
}

#[test]
fn what_grows_beyond_what_is_counted_is_news_once_more() {
    let many = |known: usize| Count { known, ..Count::default() }.news_at(3);
    assert_eq!((many(0), many(3), many(500)), (3, 6, 1000));
    assert_eq!(many(600), 1000);
    assert!(many(1000) > 1000, "a flood stays one");
}

#[tokio::test(start_paused = true)]
async fn a_log_whose_reader_meets_a_fault_of_ours_is_followed_on() {
    let fired = Fired::default();
    let (fire, met) = (fired.fire(), std::sync::atomic::AtomicBool::default());
    let faulty: Fire = Arc::new(move |scope, trigger| {
        assert!(met.swap(true, std::sync::atomic::Ordering::SeqCst), "a fault of ours");
        fire(scope, trigger);
    });
    let following = Following::calling(fired, faulty).await;
    following.write("boom 1").await;
    assert_eq!(following.looks(), 0);
    pass(60).await;
    following.write("boom 2").await;
    assert_ne!(following.looks(), 0);
    following.end().await;
}
