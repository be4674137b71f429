//! The throw-away stack: the marked containers, what is known of each, and whether the running
//! Selfheal may heal them. Pure.

use std::collections::BTreeSet;

use selfheal_agents::model::{ContainerFacts, Endpoint, HealthStatus, Mode, Target, TargetId};

use crate::cli::output::{Exit, Failure};
use crate::coordinator::{Freeze, TargetSummary};
use crate::http::body::{AutonomousMode, Status};

/// A container is drilled only where this label says `true`.
pub(super) const DRILL_LABEL: &str = "selfheal.drill";

/// One marked container.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// Its name as a target.
    pub(super) id: TargetId,
    /// As it was before anything was done.
    pub(super) facts: ContainerFacts,
    /// Where it is asked from outside, by the settings.
    pub(super) endpoints: Vec<(TargetId, Endpoint)>,
    /// Targets that are no containers and ask this one.
    pub(super) asked_by: Vec<TargetId>,
    /// Marked containers that need it, however far.
    pub(super) needed_by: Vec<TargetId>,
    /// Containers that need it, however far, and are not marked.
    pub(super) needed_by_unmarked: Vec<TargetId>,
    /// Docker removes it as soon as it ends.
    pub(super) removes_itself: bool,
    /// Why its processes cannot be signalled from here, if so.
    pub(super) out_of_reach: Option<String>,
}

impl Member {
    /// Whether somebody asks it often whether it works.
    pub(super) const fn is_watched(&self) -> bool {
        self.facts.health_check.is_some() || !self.asked_by.is_empty()
    }

    /// Whether somebody fails without it.
    pub(super) const fn is_missed(&self) -> bool {
        !self.needed_by.is_empty() || !self.asked_by.is_empty()
    }

    /// The same as it is now, given all containers and all the daemon's targets.
    pub(super) fn now(
        &self,
        all: Vec<ContainerFacts>,
        known: &[TargetSummary],
    ) -> Result<Self, String> {
        let all: Vec<ContainerFacts> = all.into_iter().filter(is_marked).collect();
        let marked: Vec<TargetId> = all.iter().map(|c| TargetId::container(&c.name)).collect();
        let facts = all.into_iter().find(|facts| facts.name == self.facts.name);
        let facts = facts.ok_or("it is no longer marked")?;
        let Self { endpoints, removes_itself, out_of_reach, .. } = self.clone();
        let now = member(facts, &marked, known, &[]);
        Ok(Self { endpoints, removes_itself, out_of_reach, ..now })
    }
}

/// Whether a person marked this container.
pub(super) fn is_marked(facts: &ContainerFacts) -> bool {
    facts.labels.get(DRILL_LABEL).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// The marked containers, or of them those that were asked for.
pub(super) fn chosen(
    all: Vec<ContainerFacts>,
    wanted: &[TargetId],
) -> Result<Vec<ContainerFacts>, Failure> {
    let label =
        format!("put the label `{DRILL_LABEL}=true` on the containers of a throw-away stack");
    let unmarked = |id: &&TargetId| {
        let marked = |c: &ContainerFacts| TargetId::container(&c.name) == **id && is_marked(c);
        !all.iter().any(marked)
    };
    if let Some(stranger) = wanted.iter().find(unmarked) {
        let what = format!(
            "{stranger} is no container with the label `{DRILL_LABEL}=true`; without it none is \
             touched"
        );
        return Err(Failure::new(Exit::Usage, what).next(label));
    }
    let marked: Vec<ContainerFacts> = all.into_iter().filter(is_marked).collect();
    if marked.is_empty() {
        let what = "no container is marked for drills, and without the mark none is touched";
        return Err(Failure::new(Exit::Usage, what).next(label));
    }
    Ok(marked)
}

/// What is known of a marked container, given all the daemon's targets.
pub(super) fn member(
    facts: ContainerFacts,
    marked: &[TargetId],
    known: &[TargetSummary],
    declared: &[Target],
) -> Member {
    let id = TargetId::container(&facts.name);
    let asking = known.iter().filter(|t| t.depends_on.contains(&id)).map(|t| t.id.clone());
    let asked_by = asking.filter(|t| t.container_name().is_none()).collect();
    let containers = needing(&id, known).into_iter().filter(|t| t.container_name().is_some());
    let (needed_by, needed_by_unmarked) = containers.partition(|t| marked.contains(t));
    let own = declared.iter().filter(|t| t.container.as_deref() == Some(facts.name.as_str()));
    let endpoints = own.filter_map(|t| Some((t.id.clone(), t.endpoint.clone()?))).collect();
    Member {
        id,
        facts,
        endpoints,
        asked_by,
        needed_by,
        needed_by_unmarked,
        removes_itself: false,
        out_of_reach: None,
    }
}

/// Everything that needs this one, however far: by itself, or what runs in it or is reached there.
fn needing(id: &TargetId, known: &[TargetSummary]) -> BTreeSet<TargetId> {
    let mut needing = BTreeSet::new();
    let mut open = vec![id];
    while let Some(needed) = open.pop() {
        for target in known.iter().filter(|target| target.depends_on.contains(needed)) {
            if target.id != *id && needing.insert(target.id.clone()) {
                open.push(&target.id);
            }
        }
    }
    needing
}

/// Whether this Selfheal may heal this target by itself; else why not, with what to do.
pub(super) fn fit(id: &TargetId, status: &Status, known: &[TargetSummary]) -> Result<(), Failure> {
    let refuse = |what: String, next: &str| Err(Failure::new(Exit::Usage, what).next(next));
    if !status.runtime_connected {
        let what = "the running Selfheal does not reach Docker";
        return Err(Failure::new(Exit::Unreachable, what).next("selfheal status"));
    }
    let frozen = |freeze: &Freeze| freeze.target.as_ref().is_none_or(|target| target == id);
    if status.autonomous_mode == AutonomousMode::Frozen || status.freezes.iter().any(frozen) {
        return refuse(format!("the running Selfheal is frozen for {id}"), "selfheal unfreeze");
    }
    let Some(target) = known.iter().find(|target| target.id == *id) else {
        let what = format!("the running Selfheal does not watch {id}");
        return refuse(what, "selfheal targets; name the right address with --url");
    };
    if target.excluded || target.external {
        let what = format!("the running Selfheal may not touch {id}: it is excluded or external");
        return refuse(what, "take its labels selfheal.enable or selfheal.external away");
    }
    match target.mode {
        Mode::Auto => Ok(()),
        Mode::Observe => {
            refuse(format!("the running Selfheal only observes {id}"), "selfheal run --mode auto")
        }
        Mode::Approve => {
            let what = format!("the running Selfheal asks before it heals {id}");
            refuse(what, "selfheal run --mode auto")
        }
    }
}

/// What is wrong with a container by Docker's word, if anything.
pub(super) fn ailment(facts: &ContainerFacts) -> Option<String> {
    if !facts.is_up() {
        return Some(format!("it is {}", facts.status.as_str()));
    }
    match facts.health {
        Some(HealthStatus::Unhealthy) => Some("it is unhealthy".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use selfheal_agents::fakes::container;
    use selfheal_agents::learning_engine::Statistics;
    use selfheal_agents::model::Verdict;

    use super::*;
    use crate::coordinator::Standing;

    /// A marked container, watched by its own health check.
    pub(in super::super) fn member(name: &str) -> Member {
        let mut facts = container(name);
        facts.labels.insert(DRILL_LABEL.to_owned(), "true".to_owned());
        facts.health_check = None;
        super::member(facts, &[TargetId::container(name)], &[], &[])
    }

    fn names(facts: &[ContainerFacts]) -> Vec<&str> {
        facts.iter().map(|facts| facts.name.as_str()).collect()
    }

    fn labelled(name: &str, value: &str) -> ContainerFacts {
        let mut facts = container(name);
        facts.labels.insert(DRILL_LABEL.to_owned(), value.to_owned());
        facts
    }

    #[test]
    fn only_what_a_person_marked_is_in_the_stack() {
        let all = vec![labelled("a", "true"), labelled("b", "false"), container("c")];
        assert_eq!(names(&chosen(all.clone(), &[]).unwrap()), ["a"]);
        let refused = chosen(all, &[TargetId::container("c")]).unwrap_err();
        assert_eq!(refused.exit, Exit::Usage);
        assert!(refused.what.contains("container:c"), "{}", refused.what);
    }

    #[test]
    fn without_any_mark_the_answer_is_how_to_mark() {
        let refused = chosen(vec![container("c")], &[]).unwrap_err();
        assert_eq!(refused.exit, Exit::Usage);
        assert!(refused.next.unwrap().contains("selfheal.drill=true"));
    }

    fn watched(name: &str) -> TargetSummary {
        TargetSummary {
            id: name.parse().unwrap(),
            verdict: Verdict::Ok,
            detail: String::new(),
            mode: Mode::Auto,
            excluded: false,
            external: false,
            depends_on: vec![],
            needs: vec![],
            observations: vec![],
            incident: None,
            symptom_of: None,
            holds: vec![],
            notes: vec![],
            turned: vec![],
        }
    }

    fn standing(freezes: Vec<Freeze>) -> Standing {
        Standing {
            mode: Mode::Auto,
            freezes,
            last_check: None,
            next_check: None,
            check_interval_minutes: 5.0,
            cycles: 1,
            last_cycle_ms: None,
            targets: vec![],
            blind: vec![],
            runtime_connected: true,
            applying: 0,
            validating: 0,
        }
    }

    fn fit_when(freezes: Vec<Freeze>, known: TargetSummary) -> Result<(), Failure> {
        let status = Status::of(&standing(freezes), Statistics::of(&[]), &[]);
        fit(&TargetId::container("web"), &status, &[known])
    }

    fn freeze(target: Option<&str>) -> Freeze {
        Freeze {
            target: target.map(|id| id.parse().unwrap()),
            until: None,
            reason: String::new(),
            by: String::new(),
            safety_stop: false,
            stuck: None,
        }
    }

    #[test]
    fn only_a_selfheal_that_may_act_is_drilled() {
        let web = || watched("container:web");
        assert_eq!(fit_when(vec![], web()), Ok(()));
        assert_eq!(fit_when(vec![freeze(Some("container:db"))], web()), Ok(()));
        let refused = |freezes, known, why: &str| {
            let failure = fit_when(freezes, known).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.what.contains(why) && failure.next.is_some(), "{}", failure.text());
        };
        refused(vec![freeze(None)], web(), "frozen");
        refused(vec![freeze(Some("container:web"))], web(), "frozen");
        refused(vec![], watched("container:db"), "does not watch");
        refused(vec![], TargetSummary { excluded: true, ..web() }, "may not touch");
        refused(vec![], TargetSummary { external: true, ..web() }, "may not touch");
        refused(vec![], TargetSummary { mode: Mode::Observe, ..web() }, "only observes");
        refused(vec![], TargetSummary { mode: Mode::Approve, ..web() }, "asks before");
    }

    #[test]
    fn a_selfheal_that_does_not_reach_docker_is_told_apart() {
        let blind = Standing { runtime_connected: false, ..standing(vec![]) };
        let status = Status::of(&blind, Statistics::of(&[]), &[]);
        let refused = fit(&TargetId::container("web"), &status, &[watched("container:web")]);
        assert_eq!(refused.unwrap_err().exit, Exit::Unreachable);
    }

    #[test]
    fn who_needs_a_container_is_told_apart_by_kind_and_mark() {
        let web = TargetId::container("web");
        let needing = |name: &str| TargetSummary { depends_on: vec![web.clone()], ..watched(name) };
        let known = [needing("container:app"), needing("container:old"), needing("http:shop")];
        let marked = [web.clone(), TargetId::container("app")];
        let seen = super::member(labelled("web", "true"), &marked, &known, &[]);
        assert_eq!(seen.needed_by, [TargetId::container("app")]);
        assert_eq!(seen.needed_by_unmarked, [TargetId::container("old")]);
        assert_eq!(seen.asked_by, ["http:shop".parse().unwrap()]);
    }

    fn needs(name: &str, needed: &[&str]) -> TargetSummary {
        let depends_on = needed.iter().map(|id| id.parse().unwrap()).collect();
        TargetSummary { depends_on, ..watched(name) }
    }

    #[test]
    fn a_stranger_is_seen_through_what_runs_in_the_container_or_is_reached_there() {
        for service in ["postgres:orders", "http:shop", "container:api"] {
            let known = [
                needs(service, &["container:db"]),
                needs("container:old", &[service]),
                needs("container:other", &["container:web"]),
            ];
            let marked = [TargetId::container("db"), TargetId::container("api")];
            let db = super::member(labelled("db", "true"), &marked, &known, &[]);
            assert_eq!(db.needed_by_unmarked, [TargetId::container("old")], "through {service}");
        }
    }

    #[test]
    fn who_need_each_other_are_each_told_once_and_never_themselves() {
        let known = [
            needs("container:a", &["container:b"]),
            needs("container:b", &["container:a", "http:c"]),
            needs("http:c", &["container:b"]),
        ];
        let a = super::member(labelled("a", "true"), &[], &known, &[]);
        assert_eq!(a.needed_by_unmarked, [TargetId::container("b")]);
        assert!(a.asked_by.is_empty(), "the endpoint asks the other");
    }

    #[test]
    fn what_came_to_need_it_since_it_was_planned_counts() {
        let planned = Member { removes_itself: true, ..member("db") };
        let all = || vec![labelled("db", "true"), container("old")];
        let known = [needs("redis:db", &["container:db"]), needs("container:old", &["redis:db"])];
        let now = planned.now(all(), &known).unwrap();
        assert_eq!(now.needed_by_unmarked, [TargetId::container("old")]);
        assert!(now.removes_itself, "what only Docker tells was asked at the beginning");
        let unmarked = planned.now(vec![labelled("db", "false")], &known);
        assert_eq!(unmarked.unwrap_err(), "it is no longer marked");
        let gone = planned.now(vec![container("old")], &known);
        assert!(gone.is_err());
    }
}
