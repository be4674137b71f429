use std::time::Duration;

use super::*;
use crate::fakes::{FakeWorld, container, labels};
use crate::model::{HealthCheck, MountFacts, RestartPolicy, SecretText};
use crate::ports::Clock;

const KEY: DigestKey = DigestKey::new([1; 32]);

async fn taken(fake: &FakeWorld, before: Option<&Snapshot>) -> Snapshot {
    Snapshot::take(&fake.world(), &fake.facts("web"), before, &KEY).await.unwrap()
}

/// What is told after `change`, a minute later: kind, words, and seconds since the first look.
async fn told(
    prepare: impl FnOnce(&FakeWorld),
    change: impl FnOnce(&FakeWorld),
) -> Vec<(ChangeKind, String, i64)> {
    let fake = FakeWorld::default();
    fake.add(container("web"));
    prepare(&fake);
    let before = taken(&fake, None).await;
    fake.clock().advance_secs(60);
    change(&fake);
    fake.clock().advance_secs(1);
    let after = taken(&fake, Some(&before)).await;
    let since = |at: Timestamp| (at - before.seen_at()).num_seconds();
    between("web", &before, &after).into_iter().map(|c| (c.kind, c.what, since(c.at))).collect()
}

fn mounted(fake: &FakeWorld, text: &str) {
    let mount = MountFacts {
        bind: true,
        source: "/srv/web.conf".to_owned(),
        destination: "/etc/web.conf".to_owned(),
        writable: false,
    };
    fake.change("web", |facts| facts.mounts = vec![mount]).file("/srv/web.conf", text);
}

fn variable(facts: &mut ContainerFacts, name: &str, value: &str) {
    facts.environment.insert(name.to_owned(), SecretText::new(value));
}

#[tokio::test]
async fn a_container_that_is_as_it_was_changed_nothing() {
    let found = told(|fake| mounted(fake, "a\nb\n"), |_| ()).await;
    assert_eq!(found, []);
}

#[tokio::test]
async fn a_deployment_tells_what_is_different_in_it_at_the_time_it_was_made() {
    let found = told(
        |fake| {
            fake.change("web", |facts| {
                variable(facts, "DB_PASSWORD", "old");
                variable(facts, "DEBUG", "1");
            });
        },
        |fake| {
            let now = fake.clock().now();
            fake.change("web", |facts| {
                facts.id = "another".to_owned();
                facts.image = "web:2".to_owned();
                facts.image_id = "sha256:0123456789abcdef".to_owned();
                facts.created_at = Some(now);
                facts.started_at = Some(now);
                facts.command = SecretText::new("serve\n--token=abc");
                facts.environment.remove("DEBUG");
                variable(facts, "DB_PASSWORD", "new");
                variable(facts, "CACHE", "redis");
            });
        },
    )
    .await;
    let words: Vec<&str> = found.iter().map(|(_, what, _)| what.as_str()).collect();
    assert_eq!(
        words,
        [
            "the image changed from web:1 to web:2 (web to 0123456789ab)",
            "the environment changed (changed: DB_PASSWORD; new: CACHE; gone: DEBUG)",
            "its command changed",
            "it was made anew",
        ]
    );
    assert!(found.iter().all(|(_, _, at)| *at == 60), "{found:?}");
}

#[tokio::test]
async fn a_changed_file_is_told_with_its_lines_and_its_own_time() {
    for (old, new, what) in [
        ("a\nb\nc\nd\ne\n", "a\nb\nX\nY\ne\n", "/srv/web.conf changed: lines 3-4"),
        ("a\nb\n", "a\nB\n", "/srv/web.conf changed: line 2"),
        ("a\nb\n", "a\nb\nc\n", "/srv/web.conf changed: line 3"),
        ("a\nb\nc\n", "a\nc\n", "/srv/web.conf changed: 1 line(s) gone after line 1"),
        ("a\na\n", "a\na\na\n", "/srv/web.conf changed: line 3"),
        ("a\nb", "a\nb\n", "/srv/web.conf changed"),
    ] {
        let change = |fake: &FakeWorld| {
            fake.file("/srv/web.conf", new);
        };
        let found = told(|fake| mounted(fake, old), change).await;
        assert_eq!(found, [(ChangeKind::File, what.to_owned(), 60)], "{old:?} to {new:?}");
    }
}

#[tokio::test]
async fn what_a_live_container_gains_and_loses_is_told() {
    let found = told(
        |_| (),
        |fake| {
            fake.change("web", |facts| {
                facts.networks.clear();
                facts.limits.memory_bytes = Some(64 << 20);
                facts.started_at = Some(facts.created_at.unwrap() + Duration::from_secs(90));
            });
        },
    )
    .await;
    let words: Vec<&str> = found.iter().map(|(_, what, _)| what.as_str()).collect();
    assert_eq!(
        words,
        [
            "its networks changed (gone: app)",
            "the memory limit changed from none to 64 MiB",
            "it was started"
        ]
    );
}

#[tokio::test]
async fn what_the_restart_policy_or_a_tool_does_is_no_deed_of_anybody() {
    let change = |fake: &FakeWorld| {
        fake.change("web", |facts| {
            facts.restart_count += 1;
            facts.started_at = Some(facts.created_at.unwrap() + Duration::from_secs(90));
            facts.labels = labels(&[("com.docker.compose.config-hash", "1f")]);
        });
    };
    assert_eq!(told(|_| (), change).await, []);
}

#[tokio::test]
async fn a_file_that_is_different_at_every_look_is_data() {
    let fake = FakeWorld::default();
    fake.add(container("web"));
    mounted(&fake, "0");
    let mut before = taken(&fake, None).await;
    let mut told = vec![];
    for look in 1..=20 {
        fake.clock().advance_secs(60);
        fake.file("/srv/web.conf", &look.to_string());
        let after = taken(&fake, Some(&before)).await;
        told.extend(between("web", &before, &after));
        before = after;
    }
    assert_eq!(told.len(), 2, "{told:?}");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_taken_to_be_as_it_was() {
    use crate::fakes::Failure;
    for operation in ["read", "list"] {
        let found = told(
            |fake| mounted(fake, "a"),
            |fake| {
                fake.fail_next(operation, &Failure::Denied, 1);
            },
        )
        .await;
        assert_eq!(found, [], "{operation}");
    }
}

#[tokio::test]
async fn a_container_that_could_not_be_looked_at_has_no_snapshot() {
    let fake = FakeWorld::default();
    fake.add(container("web"));
    fake.change("web", |facts| facts.status = ContainerStatus::Unknown);
    assert_eq!(Snapshot::take(&fake.world(), &fake.facts("web"), None, &KEY).await, None);
}

#[tokio::test]
async fn a_snapshot_holds_no_secret_and_no_digest_that_another_key_would_give() {
    let fake = FakeWorld::default();
    fake.add(container("web"));
    mounted(&fake, "password = hunter2\n");
    fake.change("web", |facts| {
        variable(facts, "DB_PASSWORD", "hunter2");
        facts.labels = labels(&[("token", "hunter2")]);
        facts.command = SecretText::new("serve --password hunter2");
    });
    let mine = taken(&fake, None).await;
    let text = serde_json::to_string(&mine).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    let other = DigestKey::new([2; 32]);
    let theirs = Snapshot::take(&fake.world(), &fake.facts("web"), None, &other).await.unwrap();
    assert_ne!(mine.environment, theirs.environment);
    assert_ne!(mine.command, theirs.command);
    assert_eq!(format!("{KEY:?}"), "***");
}

fn checked(facts: &mut ContainerFacts, password: &str) {
    facts.health_check = Some(HealthCheck {
        test: vec!["CMD-SHELL".to_owned(), format!("ask --password {password}")],
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(1),
        retries: 3,
        start_period: Duration::ZERO,
    });
}

#[tokio::test]
async fn the_terms_it_runs_on_are_told_and_no_secret_of_its_check() {
    let found = told(
        |fake| {
            fake.change("web", |facts| {
                facts.published_ports = vec![80];
                checked(facts, "abc");
            });
        },
        |fake| {
            fake.change("web", |facts| {
                facts.published_ports = vec![8080];
                facts.cpu_limit_nanos = Some(1_500_000_000);
                facts.restart_policy = RestartPolicy::UnlessStopped;
                checked(facts, "def");
            });
        },
    )
    .await;
    let words: Vec<_> = found.iter().map(|(kind, what, _)| (*kind, what.as_str())).collect();
    assert_eq!(
        words,
        [
            (ChangeKind::Ports, "its published ports changed (new: 8080; gone: 80)"),
            (ChangeKind::Limits, "the processor limit changed from none to 1.5 cores"),
            (ChangeKind::HealthCheck, "its health check changed"),
            (ChangeKind::RestartPolicy, "its restart policy changed from no to unless-stopped"),
        ]
    );
}

#[tokio::test]
async fn what_an_older_version_did_not_keep_has_not_changed() {
    let fake = FakeWorld::default();
    fake.add(container("web"));
    fake.change("web", |facts| facts.published_ports = vec![80]);
    let after = taken(&fake, None).await;
    let mut old = serde_json::to_value(&after).unwrap();
    old.as_object_mut().unwrap().remove("terms").unwrap();
    let before: Snapshot = serde_json::from_value(old).unwrap();
    assert_eq!(between("web", &before, &after), []);
}
