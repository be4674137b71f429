//! Tries a fix on a clone of the container before the container is touched.
//!
//! Its invariant: until a rehearsal is over nothing is in the journal and nothing that works was
//! touched, so an end of Selfheal in its midst leaves a clone and nothing else; that is removed by
//! the next start, or by any Selfheal once its label says that it has expired. What a rehearsal
//! takes is time, in which a person may have stopped, frozen or mended something: the gate decides
//! again afterwards. Which end of a clone proves what is `fix_engineer::rehearsal`'s to say.

use std::sync::Arc;

use chrono::TimeDelta;
use selfheal_agents::fix_engineer::actions::Act as _;
use selfheal_agents::fix_engineer::rehearsal::{
    Changed, Compared, Ending, Share, Terms, changed_by, conclude, ending, rehearses,
    room_for_clone, seen_at, unsafe_because,
};
use selfheal_agents::health_monitor::Inventory;
use selfheal_agents::model::{
    Actor, Blueprint, CloneFile, ContainerFacts, Course, Fix, Hold, Incident, LogCursor, Rehearsal,
    RehearsalClone, RehearsalVerdict, Remake, TargetId, clean, rehearsal_name,
};
use selfheal_agents::ports::WorldError;
use selfheal_agents::root_cause::basis_of_container;
use tokio::time::Instant;

use super::cycle::Bench;
use super::leases::Lease;
use super::policy::{self, ApprovedFix};
use super::state::{Inner, TICK};

/// A clone outlives the end of its rehearsal by so much at most, should nobody remove it.
const LEFT_OVER: TimeDelta = TimeDelta::minutes(5);
/// So long a failed rehearsal speaks against the same fix of the same container.
const SPEAKS_FOR: TimeDelta = TimeDelta::hours(1);
/// How far back the container's own words are looked at.
const WORDS_BACK: TimeDelta = TimeDelta::minutes(10);
/// How many lines are looked at, ...
const LINES: usize = 200;
/// ... how many of a clone's are kept, ...
const LINES_KEPT: usize = 10;
/// ... and how much of each, in characters.
const LINE_CHARS: usize = 300;

/// What was seen of a clone, and what it proves.
type Proof = (RehearsalVerdict, String, Vec<String>);

impl Inner {
    /// Tries the fix where that is asked for; answers what the gate then decides.
    pub(super) async fn rehearse(
        self: &Arc<Self>,
        incident: &mut Incident,
        approved: &ApprovedFix,
        lease: &Lease,
    ) -> Result<ApprovedFix, Vec<Hold>> {
        let Some(name) = rehearses(approved.fix(), self.rules().rehearse) else {
            return Ok(approved.clone());
        };
        let original = self.world.runtime.container(name).await.map_err(|error| unknown(&error))?;
        let basis = basis_of_container(&original);
        if self.is_settled(incident, approved, &basis) {
            return Ok(approved.clone());
        }
        lease.only_reserve();
        let verdict = self.rehearse_on_clone(incident, approved.fix(), &original).await?;
        if verdict == RehearsalVerdict::Failed {
            let why = incident.rehearsal.as_ref().map(|known| known.why.clone());
            return Err(vec![Hold::RehearsalFailed { why: why.unwrap_or_default() }]);
        }
        let approved = self.decide_again(incident, approved).await?;
        lease.begin();
        Ok(approved)
    }

    /// Whether it was rehearsed for this very container: just now, or so that a person knows how
    /// it failed and wants it all the same.
    fn is_settled(&self, incident: &Incident, approved: &ApprovedFix, basis: &str) -> bool {
        let now = self.world.clock.now();
        incident.rehearsal_of(&approved.fix().summary, basis).is_some_and(|known| {
            let fresh =
                policy::too_old(known.started_at, now, self.rules().plan_lifetime).is_none();
            match known.verdict {
                RehearsalVerdict::Failed => approved.approved_by().is_some(),
                _ => fresh,
            }
        })
    }

    async fn rehearse_on_clone(
        &self,
        incident: &mut Incident,
        fix: &Fix,
        original: &ContainerFacts,
    ) -> Result<RehearsalVerdict, Vec<Hold>> {
        let ended = || {
            let changed = "Selfheal ended while it was tried on a clone".to_owned();
            vec![Hold::StaleDiagnosis { changed }]
        };
        let clone = rehearsal_name(&original.name, fix.id);
        let turn = self.cancel.run_until_cancelled(self.clones.enter(&clone)).await;
        let _turn = turn.ok_or_else(ended)?;
        let started_at = self.world.clock.now();
        let begun = Instant::now();
        let text = format!("tried on a clone first, `{clone}`: {}", fix.summary);
        incident.note(started_at, Actor::FixEngineer, text);
        self.save(incident).await;
        let trying = self.try_on_clone(incident, fix, original, &clone);
        let proof = self.cancel.run_until_cancelled(trying).await;
        self.unstage(&clone).await;
        let (verdict, why, lines) = proof.ok_or_else(ended)?;
        let took_secs = begun.elapsed().as_secs_f64();
        let text = format!("rehearsal {} after {took_secs:.1} s: {why}", verdict.as_str());
        tracing::info!(
            incident.id = %incident.id, container.name = original.name, took_secs,
            "rehearsal {}: {why}", verdict.as_str()
        );
        incident.note(self.world.clock.now(), Actor::FixEngineer, text);
        let (fix, basis) = (fix.summary.clone(), basis_of_container(original));
        incident.rehearsed(Rehearsal { fix, basis, started_at, took_secs, verdict, why, lines });
        self.save(incident).await;
        Ok(verdict)
    }

    async fn try_on_clone(
        &self,
        incident: &Incident,
        fix: &Fix,
        original: &ContainerFacts,
        clone: &str,
    ) -> Proof {
        let terms = Terms::of(original, self.rules().plan_lifetime / 2);
        let not_possible = |why: String| (RehearsalVerdict::NotPossible, why, vec![]);
        let share = match self.stage(incident, fix, original, clone, terms).await {
            Ok(share) => share,
            Err(why) => return not_possible(why),
        };
        let (ending, seen) = match self.run_clone(clone, terms).await {
            Ok(seen) => seen,
            Err(error) => return not_possible(error.to_string()),
        };
        let mut lines = self.words_of(clone, None).await;
        let probes = seen.iter().flat_map(|facts: &ContainerFacts| &facts.health_log);
        lines.extend(probes.filter(|p| p.exit_code != 0).map(|p| clean(&p.output, LINE_CHARS)));
        let back = LogCursor { at: self.world.clock.now() - WORDS_BACK, seen_at: 0 };
        let compared = Compared {
            original,
            original_lines: &self.words_of(&original.name, Some(back)).await,
            lines: &lines,
            needs: &needs_of(&original.name, &self.inventory.borrow()),
            share,
        };
        let (verdict, why) = conclude(&ending, compared);
        if verdict == RehearsalVerdict::Passed {
            lines.clear();
        }
        let kept = lines.split_off(lines.len().saturating_sub(LINES_KEPT));
        (verdict, why, kept)
    }

    /// Makes the clone and answers how much it got; an error says why there is none.
    async fn stage(
        &self,
        incident: &Incident,
        fix: &Fix,
        original: &ContainerFacts,
        name: &str,
        terms: Terms,
    ) -> Result<Share, String> {
        let inventory = Arc::clone(&self.inventory.borrow());
        if let Some(why) = unsafe_because(original, inventory.containers.values()) {
            return Err(why);
        }
        let host = self.world.host.host().await.map_err(|error| error.to_string())?;
        let room = room_for_clone(&host).ok_or("the host has too little memory to spare")?;
        let tried = self.tried(fix, original).await?;
        let share = tried.share(original, room);
        let at_most = TimeDelta::from_std(terms.at_most).unwrap_or(LEFT_OVER);
        let clone = RehearsalClone {
            name: name.to_owned(),
            incident: incident.id,
            expires_at: self.world.clock.now() + at_most + LEFT_OVER,
            memory_bytes: room.0,
            own_memory_bytes: tried.memory_bytes,
            cpu_nanos: room.1,
            own_cpu_nanos: tried.cpu_nanos,
            files: tried.files,
        };
        let staged = self.world.runtime.stage(&clone, &tried.from, &tried.with).await;
        staged.map(|()| share).map_err(|error| error.to_string())
    }

    /// How the container is made, and what the fix makes of it.
    async fn tried(&self, fix: &Fix, original: &ContainerFacts) -> Result<Tried, String> {
        let fix = self.executor.ready(fix.clone()).await.map_err(|error| error.to_string())?;
        let from = self.world.runtime.blueprint(&original.name).await;
        let mut tried = Tried::of(from.map_err(|error| error.to_string())?);
        for step in &fix.steps {
            let before = step.action.capture(&self.world).await;
            let before = before.map_err(|error| error.to_string())?;
            tried.take(changed_by(&step.action, before)?, original)?;
        }
        Ok(tried)
    }

    /// Starts a clone and looks at it; answers how it was last, where it could be started.
    async fn run_clone(
        &self,
        clone: &str,
        terms: Terms,
    ) -> Result<(Ending, Option<ContainerFacts>), WorldError> {
        match self.world.runtime.start(clone).await {
            Ok(()) => self.look_at_clone(clone, terms).await,
            Err(WorldError::Refused { why, .. }) => {
                Ok((Ending::NotStarted(clean(&why, LINE_CHARS)), None))
            }
            Err(error) => Err(error),
        }
    }

    /// Looks at a clone until it has proved something; answers how it was last.
    async fn look_at_clone(
        &self,
        clone: &str,
        terms: Terms,
    ) -> Result<(Ending, Option<ContainerFacts>), WorldError> {
        let begun = Instant::now();
        let started_at = self.world.clock.now();
        loop {
            // Not by the clock, which somebody may set.
            let ran = begun.elapsed();
            let now = started_at + TimeDelta::from_std(ran).unwrap_or_default();
            match self.world.runtime.container(clone).await {
                Ok(facts) => {
                    if let Some(ending) = ending(&facts, started_at, now, terms) {
                        return Ok((ending, Some(facts)));
                    }
                }
                Err(error) if error.is_transient() && ran < terms.at_most => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(TICK).await;
        }
    }

    async fn words_of(&self, container: &str, since: Option<LogCursor>) -> Vec<String> {
        let read = self.world.runtime.logs(container, since, LINES).await.unwrap_or_default();
        read.lines.iter().map(|line| clean(&line.text, LINE_CHARS)).collect()
    }

    /// What the gate says now: a rehearsal takes its time, and a person may have come between.
    async fn decide_again(
        self: &Arc<Self>,
        incident: &Incident,
        approved: &ApprovedFix,
    ) -> Result<ApprovedFix, Vec<Hold>> {
        let stale = |changed: String| vec![Hold::StaleDiagnosis { changed }];
        let rules = self.rules();
        let (_senses, seen) = self.look_until_answered(&incident.target, &rules).await;
        let _writing = self.writing.lock().await;
        let targets = incident.targets();
        if seen.put_off.contains(&incident.target) {
            let what =
                format!("`{}` answers late, and how it is now is not known", incident.target);
            return Err(vec![Hold::FactsMissing { what }]);
        }
        let is_try = approved.fix().course == Course::Back;
        if !is_try
            && !seen.findings.iter().any(|f| f.is_own_trouble() && targets.contains(&f.target))
        {
            return Err(stale(format!("`{}` works again", incident.target)));
        }
        let diagnosis = incident.diagnosis.as_ref();
        let diagnosis = diagnosis.ok_or_else(|| stale("nobody is blamed any more".to_owned()))?;
        let fix = approved.fix().clone();
        let facts = self.facts_now(incident, diagnosis, &fix, &seen).await;
        let facts = facts.map_err(|error| unknown(&error))?;
        let decided = match approved.approved_by() {
            Some(person) => policy::decide_for(person, fix, &facts)?,
            None => policy::decide(fix, &facts)?,
        };
        match self.changed_since(incident, &decided).await {
            Some(changed) => Err(stale(changed)),
            None => Ok(decided),
        }
    }
}

/// What a clone is made from, and what the fix makes of it.
struct Tried {
    from: Blueprint,
    with: Remake,
    files: Vec<CloneFile>,
    memory_bytes: Option<u64>,
    cpu_nanos: Option<u64>,
}

impl Tried {
    fn of(from: Blueprint) -> Self {
        let with = Remake::default();
        Self { from, with, files: vec![], memory_bytes: None, cpu_nanos: None }
    }

    /// How much of the host a clone gets of what the container would have with the fix.
    fn share(&self, original: &ContainerFacts, room: (u64, u64)) -> Share {
        let memory = self.memory_bytes.or(original.limits.memory_bytes);
        Share {
            // The highest number stands for no limit.
            own_memory_bytes: memory.filter(|bytes| *bytes < u64::MAX),
            own_cpu_nanos: self.cpu_nanos.or(original.cpu_limit_nanos),
            room,
        }
    }

    fn take(&mut self, changed: Changed, original: &ContainerFacts) -> Result<(), String> {
        match changed {
            Changed::Made(from, with) => (self.from, self.with) = (*from, with),
            Changed::File { path, bytes } => {
                let file = seen_at(original, &path, bytes);
                let file = file.ok_or_else(|| format!("`{}` sees no {path}", original.name))?;
                self.files.push(file);
            }
            Changed::Memory(bytes) => self.memory_bytes = Some(bytes),
            Changed::Cpu(nanos) => self.cpu_nanos = Some(nanos),
            Changed::Nothing => {}
        }
        Ok(())
    }
}

fn unknown(error: &impl std::fmt::Display) -> Vec<Hold> {
    vec![Hold::FactsMissing { what: error.to_string() }]
}

/// The names by which a container may call what it needs.
fn needs_of(container: &str, inventory: &Inventory) -> Vec<String> {
    let own = TargetId::container(container);
    let needed = inventory.dependencies.iter().filter(|need| need.from == own);
    let mut names: Vec<String> = vec![];
    for need in needed {
        let known = inventory.targets.get(&need.to).and_then(|target| target.container.clone());
        let behind = need.to.container_name().map(str::to_owned).or(known);
        let Some(facts) = behind.and_then(|name| inventory.containers.get(&name)) else {
            names.push(need.to.name().to_owned());
            continue;
        };
        names.push(facts.name.clone());
        names.extend(facts.compose_service().cloned());
        names.extend(facts.networks.iter().flat_map(|network| network.aliases.clone()));
    }
    names.retain(|name| !name.is_empty());
    names
}

/// What became of the clone this very fix was tried on lately, if that failed.
pub(super) fn failed_before(incident: &Incident, fix: &Fix, bench: &Bench<'_>) -> Option<String> {
    let name = rehearses(fix, bench.rules.rehearse)?;
    let now = bench.seen.inventory.containers.get(name)?;
    let known = incident.rehearsal_of(&fix.summary, &basis_of_container(now))?;
    let failed = known.verdict == RehearsalVerdict::Failed;
    let lately = bench.seen.now - known.started_at < SPEAKS_FOR;
    (failed && lately).then(|| known.why.clone())
}
