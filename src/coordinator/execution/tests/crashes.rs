//! Selfheal killed at each write to its store, and again in the recovery that follows, over the
//! whole catalogue: every incident has its end within a minute of the last start, beside its
//! window, and the world is as it was before the fix or as it is after it.
//!
//! Each life has a runtime of its own: when it is dropped nothing goes on, as after SIGKILL.
//! Every write of the first life is cut off, before it and after it. Of the writes of the recovery
//! that follows one is, another one each time, so that over the writes of the first life and over
//! the cases each has its turn; where there are fewer, the recovery comes through.

use selfheal_agents::health_monitor::changes::DigestKey;
use selfheal_agents::model::{
    Actor, DiskFacts, Incident, IncidentState, Rehearse, Target, TargetId,
};
use selfheal_agents::ports::{Incidents, Outbox, Outcomes};
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::audit::Audit;
use crate::coordinator::state::Inner;
use crate::coordinator::{Parts, Rules};

/// After its last start everything is at its end within this, beside its window.
const ENDS_WITHIN: Duration = Duration::from_mins(1);
const WINDOW: Duration = Duration::from_secs(1);
/// How often the story is looked at.
const LOOK: Duration = Duration::from_millis(250);
const BOTH: [Interruption; 2] = [Interruption::BeforeWrite, Interruption::AfterWrite];
/// Some more writes than a recovery makes.
const WRITES: usize = 13;

/// One incident and its fix, over all lives of Selfheal.
struct Story {
    case: Case,
    store: Arc<MemoryStore>,
    rules: Arc<Rules>,
    /// Whether the service works after the fix.
    helps: bool,
    begun: bool,
    harmed: bool,
}

impl Story {
    fn of(index: usize, helps: bool) -> Self {
        let mut case = cases().swap_remove(index);
        let mut rules =
            Rules { validation_window: WINDOW, rehearse: Rehearse::Never, ..Rules::default() };
        // Its window is too short to wait until a disk counts as full.
        rules.thresholds.host_disk.hold_secs = 0;
        let action = &mut case.steps[0].action;
        if let Some(endpoint) = action.endpoint_mut().cloned() {
            let (endpoint, container) = (Some(endpoint), Some(worker()));
            let target = Target { endpoint, container, ..Target::bare(action.target()) };
            rules.declared.targets.push(target);
        }
        let (store, rules) = (Arc::default(), Arc::new(rules));
        Self { case, store, rules, helps, begun: false, harmed: false }
    }

    /// One life of Selfheal, which ends at that write; answers whether it came through.
    fn life(&mut self, dies: Option<(usize, Interruption)>) -> bool {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        self.store.revive();
        runtime.unwrap().block_on(self.live(dies))
    }

    async fn live(&mut self, dies: Option<(usize, Interruption)>) -> bool {
        let inner = Arc::new(Inner::new(Parts {
            world: self.case.fake.world(),
            store: self.store.clone(),
            fleet: Arc::new(selfheal_agents::ports::Alone),
            rules: watch::Sender::new(Arc::clone(&self.rules)).subscribe(),
            catalogue: watch::Sender::default().subscribe(),
            digest_key: DigestKey::new([7; 32]),
            audit: Arc::new(Audit::in_memory(self.store.clone())),
            wake: Arc::default(),
            cancel: CancellationToken::new(),
        }));
        if std::mem::replace(&mut self.begun, true) {
            self.dies(dies);
            inner.spawn();
        } else {
            inner.spawn();
            assert!(inner.taken_up_within(ENDS_WITHIN).await);
            let diagnosed = self.diagnosed().await;
            self.dies(dies);
            inner.begin_repair(diagnosed, ApprovedFix::for_test(self.fix())).await;
        }
        self.until_its_end(dies.is_some()).await
    }

    fn dies(&self, dies: Option<(usize, Interruption)>) {
        if let Some((nth, at)) = dies {
            self.store.die(nth, at);
        }
    }

    /// What is repaired is what its last step is about.
    fn fix(&self) -> Fix {
        let target = self.case.steps[self.case.steps.len() - 1].action.target();
        let approved = approved(&self.case.steps, self.case.fake.clock().now());
        Fix { target, ..approved.fix().clone() }
    }

    async fn diagnosed(&self) -> Incident {
        let now = self.case.fake.clock().now();
        let fix = self.fix();
        let mut diagnosed = Incident::open(incident(), fix.target.clone(), vec![], now);
        diagnosed.become_state(IncidentState::Diagnosed, now, Actor::RootCause, "a test").unwrap();
        diagnosed.fix = Some(fix);
        self.store.save_incident(&diagnosed).await.unwrap();
        diagnosed
    }

    /// Waits until it is killed, or until all is at its end; where it is to be killed, also what
    /// follows from the end is waited for.
    async fn until_its_end(&mut self, to_be_killed: bool) -> bool {
        let mut left = ENDS_WITHIN + WINDOW;
        loop {
            let ended = !self.store.is_dead() && self.is_ended().await;
            if ended && !to_be_killed {
                return true;
            }
            tokio::time::sleep(LOOK).await;
            self.case.fake.clock().advance(LOOK);
            if self.store.is_dead() || ended {
                return !self.store.is_dead();
            }
            left = left.checked_sub(LOOK).unwrap_or_else(|| panic!("{}: no end", self.case.name));
        }
    }

    async fn is_ended(&mut self) -> bool {
        let state = self.store.incident(incident()).await.unwrap().unwrap().state();
        if state == IncidentState::Validating && !self.helps && !self.harmed {
            self.harmed = true;
            self.harm();
        }
        let is_busy = matches!(state, IncidentState::Fixing | IncidentState::Validating);
        !is_busy && self.store.unfinished_fixes().await.unwrap().is_empty()
    }

    /// Breaks what the fix is about.
    fn harm(&self) {
        if self.fix().target == TargetId::host() {
            self.case.fake.change_host(|host| {
                host.disks.push(DiskFacts {
                    mount: "/".to_owned(),
                    file_system: "ext4".to_owned(),
                    total_bytes: 1 << 40,
                    available_bytes: 0,
                    total_inodes: None,
                    free_inodes: None,
                });
            });
        } else {
            self.case.fake.crash("worker", 1);
        }
    }

    fn end(&self) -> End {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let later = self.case.fake.clock().now() + Duration::from_hours(1);
            let kept = self.store.incident(incident()).await.unwrap().unwrap();
            let outcomes = self.store.outcomes(None).await.unwrap();
            let mut alerts = self.store.due(later, 100).await.unwrap();
            alerts.retain(|delivery| delivery.alert.incident == Some(incident()));
            End {
                state: kept.state(),
                world: picture(&self.case.fake),
                successes: outcomes.iter().map(|outcome| outcome.success).collect(),
                told: alerts.into_iter().map(|delivery| delivery.alert.event).collect(),
            }
        })
    }
}

/// What a story ends in.
#[derive(Debug, PartialEq)]
struct End {
    state: IncidentState,
    /// The world that it left.
    world: String,
    /// What was learnt: of each fix, whether it helped.
    successes: Vec<bool>,
    /// The alerts that were sent of it.
    told: Vec<String>,
}

/// What may become of a fix.
struct Ends {
    /// Nothing was begun.
    untouched: String,
    /// It came through without being cut off.
    whole: End,
}

impl Ends {
    fn of(index: usize, helps: bool) -> Self {
        let mut story = Story::of(index, helps);
        let untouched = picture(&story.case.fake);
        assert!(story.life(None), "nothing kills it");
        let whole = story.end();
        let expected = if helps { IncidentState::Resolved } else { IncidentState::RolledBack };
        assert_eq!(whole.state, expected, "{}", story.case.name);
        assert_eq!(whole.successes, [helps], "{}", story.case.name);
        assert_eq!(whole.told, [expected.to_string()], "{}", story.case.name);
        assert!(helps || whole.world == untouched, "{}: {whole:?} {untouched}", story.case.name);
        Self { untouched, whole }
    }

    fn include(&self, story: &Story, told: &str) {
        let end = story.end();
        let name = story.case.name;
        assert!(story.case.fake.ran("flush") <= 1, "{name} {told}");
        // Cut off before its first step, it is given up and decided on anew.
        if story.case.fake.effects().is_empty() {
            let given_up =
                [IncidentState::Diagnosed, IncidentState::Held, IncidentState::RolledBack];
            assert!(given_up.contains(&end.state), "{name} {told}: {end:?}");
            assert_eq!(end.world, self.untouched, "{name} {told}");
        } else {
            assert_eq!(end, self.whole, "{name} {told}");
        }
    }
}

/// Kills at every write of the repair, and then in the recovery; answers how many lives were cut.
fn kills(index: usize, helps: bool) -> usize {
    let ends = Ends::of(index, helps);
    let mut killed = 0;
    for at in BOTH {
        for first in 0.. {
            let mut story = Story::of(index, helps);
            if story.life(Some((first, at))) {
                break;
            }
            let (second, again) = ((5 * first + index) % WRITES, BOTH[(first + index) % 2]);
            let came_through = story.life(Some((second, again)));
            assert!(came_through || story.life(None), "nothing kills it");
            ends.include(&story, &format!("{at:?} {first}, {again:?} {second}"));
            killed += 1 + usize::from(!came_through);
        }
    }
    killed
}

#[test]
fn killed_at_any_write_and_again_while_it_recovers_a_fix_that_helps_is_kept_whole() {
    let killed: Vec<usize> = (0..cases().len()).map(|index| kills(index, true)).collect();
    assert!(killed.iter().all(|killed| *killed > 20), "{killed:?}");
}

#[test]
fn killed_at_any_write_and_again_while_it_recovers_a_fix_that_harms_is_taken_back_whole() {
    let killed: Vec<usize> = (0..cases().len()).map(|index| kills(index, false)).collect();
    assert!(killed.iter().all(|killed| *killed > 20), "{killed:?}");
}
