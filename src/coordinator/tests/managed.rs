//! Stories of containers that a kubelet or a Docker Swarm makes, and makes again.

use selfheal_agents::model::ContainerFacts;

use super::*;

/// A container of a pod, or a task of a Swarm, made now.
fn made(fake: &FakeWorld, name: &str, swarm: bool) {
    let of_pod = [
        ("io.kubernetes.pod.name", "shop-5d"),
        ("io.kubernetes.pod.namespace", "prod"),
        ("io.kubernetes.container.name", "app"),
    ];
    let task = format!("shop.1.{name}");
    let of_task = [
        ("com.docker.swarm.service.name", "shop"),
        ("com.docker.swarm.task.id", name),
        ("com.docker.swarm.task.name", &task),
    ];
    let labels = if swarm { labels(&of_task) } else { labels(&of_pod) };
    let created_at = Some(fake.clock().now());
    fake.add(ContainerFacts { labels, created_at, ..healthy(name) });
}

fn world(swarm: bool) -> FakeWorld {
    old_world(|w| made(w, "first", swarm))
}

#[tokio::test(start_paused = true)]
async fn one_that_crashed_beside_its_successor_is_no_trouble_however_long_it_lies_there() {
    for swarm in [false, true] {
        let stage = Stage::new(world(swarm), Rules::default());
        stage.look().await;
        stage.fake.crash("first", 1);
        // Its maker takes a moment.
        stage.pass(5).await;
        stage.look().await;
        made(&stage.fake, "second", swarm);
        stage.look().await;
        stage.pass(3_600).await;
        stage.look().await;
        assert_eq!(stage.incidents().await, [], "swarm {swarm}");
        assert_eq!(stage.alerts().await, Vec::<String>::new());
        assert_eq!(stage.fake.effects(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_kubelet_or_a_swarm_keeps_making_again_is_told_and_never_touched() {
    for (swarm, advice) in
        [(false, "kubectl describe pod shop-5d -n prod"), (true, "service update --force shop")]
    {
        let stage = Stage::new(world(swarm), Rules::default());
        stage.look().await;
        let mut last = "first".to_owned();
        for attempt in 0..4 {
            stage.fake.crash(&last, 1);
            stage.pass(20).await;
            last = format!("again-{attempt}");
            made(&stage.fake, &last, swarm);
            stage.look().await;
        }
        // Now its maker waits before it tries again.
        stage.fake.crash(&last, 1);
        stage.pass(90).await;
        stage.look().await;
        stage.pass(30).await;
        let incidents = stage.incidents().await;
        let incident = only(&incidents);
        assert_eq!(incident.target, TargetId::container(&last));
        assert!(incident.fix.is_none(), "{incident:#?}");
        let holds: Vec<String> = incident.holds.iter().map(ToString::to_string).collect();
        assert!(holds[0].contains(advice), "{holds:?}");
        assert_eq!(incident.holds[0].name(), "managed_elsewhere");
        assert_eq!(stage.alerts().await, ["held"]);
        assert_eq!(stage.fake.effects(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_gave_up_on_what_it_needs_is_not_restarted_after_that_was_mended() {
    let stage = Stage::new(api_on_db(), Rules::default());
    stage.fake.change("api", |api| {
        api.labels.extend(labels(&[("io.kubernetes.pod.name", "api-5d")]));
    });
    stage.look().await;
    stage.fake.crash("db", 1);
    stage.fake.hang("api");
    stage.pass(600).await;
    assert_eq!(stage.fake.effects(), ["start db"]);
}
