//! Several causes at once.

use super::*;
use crate::fakes;

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + chrono::TimeDelta::seconds(seconds)
}

impl Scene {
    /// A container that ended so many seconds after the beginning.
    fn ended_at(self, target: &str, seconds: i64) -> Self {
        let mut scene = self.observe(target, "container.state", "exited", Verdict::Critical);
        let finding = scene.findings.last_mut().unwrap();
        (finding.first_seen, finding.last_seen) = (at(seconds), at(seconds));
        scene
    }

    /// A container that runs, is well, and is on one network.
    fn on_network(mut self, target: &str, network: &str) -> Self {
        if self.report.target(&id(target)).is_none() {
            self = self.observe(target, "container.state", "running", Verdict::Ok);
        }
        let name = target.trim_start_matches("container:");
        let mut facts = fakes::container(name);
        facts.networks = vec![fakes::network(network, name)];
        let report = self.report.targets.iter_mut().find(|t| *t.id() == id(target)).unwrap();
        report.state.facts = Ok(Facts::Container(Box::new(facts)));
        self
    }
}

fn of<'a>(explained: &'a [Explained], blamed: &str) -> &'a Diagnosis {
    &explained.iter().find(|e| e.diagnosis.blamed == id(blamed)).unwrap().diagnosis
}

/// `web` needs two that both ended, the second so much later.
fn two_that_one_needs(seconds: i64) -> Scene {
    Scene::default()
        .observe("container:web", "container.health", "unhealthy", Verdict::Critical)
        .ended_at("container:queue", 0)
        .ended_at("container:db", seconds)
        .needs("container:web", "container:db")
        .needs("container:web", "container:queue")
}

fn unsure() -> Runbook {
    let mut runbook = exited();
    runbook.diagnosis.base = 70;
    runbook
}

#[test]
fn of_two_that_may_explain_the_same_the_one_that_was_clearly_first_weighs_a_little_more() {
    for (seconds, is_first) in [(0, false), (119, false), (120, true), (600, true)] {
        let explained = two_that_one_needs(seconds).diagnose(&[unsure(), unhealthy()]);
        let (queue, db) = (of(&explained, "container:queue"), of(&explained, "container:db"));
        let entry = written(queue, "turned bad first");
        assert_eq!(entry.map(|entry| entry.points), is_first.then_some(2), "{seconds}");
        assert_eq!(queue.confidence, queue.ledger.total());
        assert_eq!(written(db, "turned bad first"), None);
        let first = &explained[0].diagnosis.blamed;
        assert_eq!(*first == id("container:queue"), is_first, "{seconds}: otherwise by name");
    }
}

#[test]
fn being_first_never_makes_sure_enough_to_act_alone() {
    let mut nearly = exited();
    for (base, sum) in [(83, 84), (84, 84), (90, 90)] {
        nearly.diagnosis.base = base;
        let explained = two_that_one_needs(600).diagnose(&[nearly.clone(), unhealthy()]);
        let queue = of(&explained, "container:queue");
        assert_eq!(queue.confidence.percent(), sum);
        assert!(written(queue, "turned bad first").is_some(), "it is said all the same");
    }
}

#[test]
fn what_needs_a_broken_one_is_its_symptom_however_early_it_was_seen() {
    let scene = Scene::default()
        .ended_at("container:web", 0)
        .ended_at("container:db", 3_600)
        .needs("container:web", "container:db");
    let explained = scene.diagnose(&[exited()]);
    assert_eq!(explained.len(), 1);
    assert_eq!(explained[0].diagnosis.blamed, id("container:db"));
    assert_eq!(written(&explained[0].diagnosis, "turned bad first"), None);
}

#[test]
fn strangers_that_fail_one_after_the_other_are_no_rivals() {
    let scene = Scene::default().ended_at("container:a", 0).ended_at("container:b", 600);
    for one in scene.diagnose(&[unsure()]) {
        assert_eq!(written(&one.diagnosis, "turned bad first"), None);
        assert_eq!(one.diagnosis.considered, []);
    }
}

#[test]
fn in_a_circle_the_first_is_told_and_each_names_the_other() {
    let scene = Scene::default()
        .ended_at("container:a", 300)
        .ended_at("container:b", 0)
        .needs("container:a", "container:b")
        .needs("container:b", "container:a");
    let explained = scene.diagnose(&[unsure()]);
    assert_eq!(explained[0].diagnosis.blamed, id("container:b"));
    assert!(written(&explained[0].diagnosis, "5 min before `container:a`").is_some());
    let considered = &of(&explained, "container:a").considered;
    assert_eq!(considered[0].target, id("container:b"));
    assert!(considered[0].why_not.contains("each needs the other"), "{considered:?}");
}

#[test]
fn what_several_causes_need_that_begin_together_is_named_and_not_blamed() {
    for (seconds, together) in [(30, true), (600, false)] {
        let scene = Scene::default()
            .ended_at("container:api", 0)
            .ended_at("container:web", seconds)
            .observe("container:disk", "container.state", "running", Verdict::Ok)
            .needs("container:api", "container:store")
            .needs("container:web", "container:store")
            .needs("container:store", "container:disk");
        let explained = scene.diagnose(&[unsure()]);
        assert_eq!(explained.len(), 2);
        for one in &explained {
            let entry = written(&one.diagnosis, "all of them need `container:store`");
            assert_eq!(entry.map(|entry| entry.points), together.then_some(0), "{seconds}");
            assert_eq!(one.diagnosis.confidence.percent(), 70);
        }
    }
}

#[test]
fn trouble_of_the_host_is_named_beside_what_fails_together_on_it() {
    let scene = Scene::default()
        .observe("host", "host.disk:/", "97", Verdict::Critical)
        .ended_at("container:a", 10)
        .ended_at("container:b", 0);
    let explained = scene.diagnose(&[unsure()]);
    for blamed in ["container:a", "container:b"] {
        let diagnosis = of(&explained, blamed);
        assert!(written(diagnosis, "they share this host: it is broken").is_some());
    }
    assert_eq!(written(of(&explained, "host"), "they share"), None);
    let alone = Scene::default()
        .observe("host", "host.disk:/", "97", Verdict::Critical)
        .ended_at("container:a", 0);
    assert_eq!(written(of(&alone.diagnose(&[unsure()]), "container:a"), "they share"), None);
}

#[test]
fn a_network_is_named_when_three_fail_on_it_and_nobody_on_it_is_well() {
    let three = || {
        ["container:a", "container:b", "container:c"]
            .into_iter()
            .fold(Scene::default().on_network("container:x", "back"), |scene, name| {
                scene.ended_at(name, 0).on_network(name, "front")
            })
    };
    let explained = three().diagnose(&[unsure()]);
    assert!(written(of(&explained, "container:a"), "on the network `front`").is_some());
    let explained = three().on_network("container:y", "front").diagnose(&[unsure()]);
    assert_eq!(written(of(&explained, "container:a"), "network"), None, "`y` is well there");
}

#[test]
fn every_other_explanation_is_named_with_its_sum_and_why_not() {
    let scene = Scene::default()
        .observe("container:db", "container.state", "exited", Verdict::Critical)
        .observe("container:db", "container.health", "unhealthy", Verdict::Critical)
        .observe("container:web", "container.health", "unhealthy", Verdict::Critical)
        .observe("container:cache", "container.memory", "91", Verdict::Warning)
        .needs("container:web", "container:db")
        .needs("container:db", "container:cache");
    let mut asking = exited();
    asking.id = "killed-for-memory".to_owned();
    asking.diagnosis.base = 95;
    asking.evidence[0].required = true;
    let explained = scene.diagnose(&[exited(), unhealthy(), asking]);
    let considered: Vec<String> = of(&explained, "container:db")
        .considered
        .iter()
        .map(|c| format!("{} {} {}: {}", c.target, c.runbook, c.confidence, c.why_not))
        .collect();
    assert_eq!(
        considered,
        [
            "container:db container-unhealthy 86 %: less sure than `container-exited`",
            "container:web container-unhealthy 86 %: `container:web` needs `container:db`, which is broken itself",
            "container:db killed-for-memory 95 %: not seen, and it would have to be: it ran out of memory, so it will again",
            "container:cache unexplained 30 %: it only warns, which does not explain that `container:db` fails",
        ]
    );
}
