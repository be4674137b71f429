//! One cycle, top to bottom: look, diagnose, propose, decide, begin.
//!
//! A cycle decides only from what is true now. It returns when its decisions are made; what
//! follows from them (applying, the validation window) goes on beside the next cycle.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use selfheal_agents::fix_engineer::{self, Proposals, plan};
use selfheal_agents::learning_engine::History;
use selfheal_agents::model::{
    Actor, ContainerFacts, ContainerStatus, Diagnosis, Finding, Fix, Hold, Incident, IncidentId,
    IncidentState, TargetId, Timestamp, Verdict, time_ordered_id,
};
use selfheal_agents::ports::StoreResult;
use selfheal_agents::root_cause::{self, Evidence, Explained, OUTSIDE_ALERT, UNUSUAL_LINES};

use super::api::{ENGINE_UNSEEN, saw_containers};
use super::circumstances::began;
use super::early;
use super::look::{Seen, step};
use super::memories::dismissal_of;
use super::policy::{self, ApprovedFix};
use super::rehearsal::failed_before;
use super::restored::is_under_way;
use super::state::Inner;
use super::{
    AgentStep, CycleReport, CycleStatus, Happening, Rules, Scope, Trigger, summaries, survey,
};

/// What was decided about one incident.
pub(super) struct Decision {
    pub(super) incident: Incident,
    pub(super) approved: Option<ApprovedFix>,
}

/// Everything that decisions of one cycle share.
pub(super) struct Bench<'a> {
    pub(super) seen: &'a Seen,
    pub(super) rules: &'a Rules,
    pub(super) history: &'a History,
    /// Independent roots that fail at once, by what is to blame.
    pub(super) roots: Vec<TargetId>,
    /// Complaints about what came back since, by the keys of their findings.
    pub(super) over: BTreeSet<String>,
    pub(super) dry_run: bool,
    /// What this cycle has approved so far, by target and fix type: it counts as spent.
    pub(super) begun: Mutex<Vec<(TargetId, String)>>,
}

impl Inner {
    /// Runs one cycle.
    pub(super) async fn cycle(
        self: &Arc<Self>,
        scope: Scope,
        trigger: Trigger,
        dry_run: bool,
    ) -> Arc<CycleReport> {
        let started = Instant::now();
        let cycle_id = time_ordered_id(self.world.clock.now());
        let targets = match &scope {
            Scope::All => None,
            Scope::Targets(targets) => Some(targets.len()),
        };
        self.tell(Happening::CycleStarted { cycle_id, trigger, targets });
        let rules = self.rules();
        let mut senses = self.senses.lock().await;
        let mut seen = self.look(&mut senses, &scope, &rules).await;
        // The runtime answers again: what waited for it comes first.
        let dry_run = dry_run || (self.something_waits() && saw_containers(&seen.report.blind));
        for agent in &seen.agents {
            self.tell(Happening::Agent { cycle_id, step: agent.clone() });
        }
        let mut agents = std::mem::take(&mut seen.agents);
        let mut note = |agent: AgentStep| {
            self.tell(Happening::Agent { cycle_id, step: agent.clone() });
            agents.push(agent);
        };
        let writing = self.writing.lock().await;
        let decided = self.decide_all(&mut seen, &rules, dry_run, &mut note).await;
        let incidents = match decided {
            Ok(decisions) => {
                let incidents = self.begin(decisions, dry_run).await;
                if !dry_run {
                    self.keep_log_positions(&seen).await;
                }
                incidents
            }
            Err(error) => {
                tracing::error!(%error, "no decision without the store");
                seen.report.blind.push(format!("nothing was decided: {error}"));
                vec![]
            }
        };
        drop(writing);
        if !dry_run {
            self.remember(&seen, &scope).await;
            self.keep_noticed(&mut senses.survey, &mut seen).await;
            self.keep_known_lines(&mut senses.detector, &seen, &scope).await;
            self.remove_expired_clones(&seen);
            if scope == Scope::All {
                self.tell_what_is_over(&seen).await;
            }
        }
        drop(senses);
        let away = seen.inventory.away.iter().map(|(name, why)| {
            format!("{ENGINE_UNSEEN}{name}` is not seen, and nothing is done there: {why}")
        });
        let blind: Vec<String> = seen.report.blind.iter().cloned().chain(away).collect();
        let report = CycleReport {
            cycle_id,
            trigger,
            dry_run,
            started_at: seen.now,
            took_ms: started.elapsed().as_secs_f64() * 1000.0,
            status: status(&incidents, &seen.findings, &blind),
            agents,
            targets: summaries::targets(&seen, &rules, &incidents, &self.turned().await),
            late: seen.put_off.iter().cloned().collect(),
            rising: seen.report.rising.keys().cloned().collect(),
            findings: seen.findings.clone(),
            incidents: incidents.iter().map(summaries::incident).collect(),
            blind,
        };
        // Before the cycle counts: what is blind at the start is told at once. Until what the last
        // run left is taken up every cycle only looks, and is no dry run to people.
        if !dry_run || !self.has_taken_up() {
            self.tell_blindness(&report).await;
        }
        self.finish(&report, &scope);
        if !dry_run {
            self.follow_late(&seen, &scope, trigger);
            self.look_while_it_rises(&seen);
        }
        Arc::new(report)
    }

    /// Diagnoses what was seen and decides about each incident; writes nothing in a dry run.
    async fn decide_all(
        &self,
        seen: &mut Seen,
        rules: &Rules,
        dry_run: bool,
        note: &mut impl FnMut(AgentStep),
    ) -> StoreResult<Vec<Decision>> {
        let started = Instant::now();
        let open = self.store.open_incidents().await?;
        self.leave_out_what_is_over(seen, &open).await?;
        let catalogue = self.catalogue();
        let runbooks: Vec<_> = catalogue.iter().collect();
        let proven = self.proven(seen).await?;
        seen.leave_out_old_remains(&proven);
        let onsets = survey::onsets(&open);
        let changes = self.changes_before(seen, &onsets).await;
        let since_well = self.since_well(seen, &changes).await?;
        let findings = root_cause::by_target(&seen.findings);
        let evidence = Evidence {
            report: &seen.report,
            findings: &findings,
            graph: &seen.graph,
            runbooks: &runbooks,
            targets: &seen.inventory.targets,
            proven: &proven,
            changes: &changes,
            since_well: &since_well,
            onsets: &onsets,
            neighbours: &seen.neighbours,
            now: seen.now,
        };
        let explained = root_cause::diagnose(evidence);
        let over = root_cause::complaints_over(&evidence);
        note(step("root-cause", started, format!("{} cause(s) named", explained.len())));

        let started = Instant::now();
        if !dry_run {
            self.note_news(&explained, &open, seen);
            self.sample_states(seen, &open).await;
            self.take_back_successes(&explained, seen).await?;
        }
        let history = self.history().await?;
        if !dry_run {
            self.stop_if_too_much_failed(&history).await?;
        }
        let understood = |one: &&Explained| is_understood(&one.diagnosis);
        let roots = explained.iter().filter(understood).map(|one| one.diagnosis.blamed.clone());
        let roots = roots.chain(failing_elsewhere(&open, seen)).collect();
        let begun = Mutex::default();
        let bench = Bench { seen, rules, history: &history, roots, over, dry_run, begun };
        let mut decisions = vec![];
        let (mut spoken_of, mut silenced) = (BTreeSet::new(), BTreeSet::new());
        for one in explained {
            if self.is_dismissed(&one).await? {
                silenced.insert(dismissal_of(&one));
                continue;
            }
            let Some(incident) = self.incident_for(&one, &open, &bench) else {
                continue;
            };
            spoken_of.insert(incident.id);
            decisions.push(self.decide_one(incident, one, &bench, evidence).await?);
        }
        let approved = decisions.iter().filter(|d| d.approved.is_some()).count();
        let summary = format!("{} decision(s), {approved} to be applied", decisions.len());
        note(step("fix-engineer", started, summary));
        decisions.extend(Self::recovered(&open, &spoken_of, &bench)?);
        if !dry_run {
            self.forget_dismissals(bench.seen, &silenced).await?;
        }
        Ok(decisions)
    }

    /// The open incident this belongs to, or a new one; `None` while its targets are being
    /// repaired or watched, since whoever repairs them looks at them.
    fn incident_for(
        &self,
        one: &Explained,
        open: &[Incident],
        bench: &Bench<'_>,
    ) -> Option<Incident> {
        let blamed = &one.diagnosis.blamed;
        // Odd lines may stand beside several diagnoses.
        let keys: BTreeSet<&str> =
            one.findings.iter().filter(|f| !f.is_pattern()).map(|f| f.key.as_str()).collect();
        let belongs = |incident: &&Incident| {
            incident.target == *blamed
                || incident.findings.iter().any(|f| keys.contains(f.key.as_str()))
        };
        let being_repaired = |incident: &&Incident| {
            (is_under_way(incident) || self.waits_to_be_taken_up(incident.id))
                && (belongs(incident) || incident.targets().contains(blamed))
        };
        if self.leases.is_busy(blamed) || open.iter().any(|i| being_repaired(&i)) {
            return None;
        }
        let now = bench.seen.now;
        let mut incident = open.iter().find(belongs).cloned().unwrap_or_else(|| {
            let id = IncidentId(time_ordered_id(now));
            let mut opened = Incident::open(id, blamed.clone(), one.findings.clone(), now);
            opened.began_at = began(one, bench);
            opened
        });
        merge_findings(&mut incident, &one.findings);
        Some(incident)
    }

    async fn decide_one(
        &self,
        mut incident: Incident,
        one: Explained,
        bench: &Bench<'_>,
        evidence: Evidence<'_>,
    ) -> StoreResult<Decision> {
        let now = bench.seen.now;
        diagnosed(&mut incident, &one, now);
        let catalogue = self.catalogue();
        let runbook = catalogue.get(&one.diagnosis.issue_type);
        let remembered = self.remembered(&one.diagnosis.blamed, bench.seen).await?;
        let workshop = plan::Workshop {
            world: &self.world,
            evidence,
            remembered: &remembered,
            limits: bench.rules.limits,
        };
        let proposals = match runbook {
            Some(r) => fix_engineer::propose(&one.diagnosis, r, workshop, bench.history).await,
            None => Proposals::default(),
        };
        let warnings = runbook.map_or_else(Vec::new, |r| r.avoid.clone());
        let (chosen, holds) = self.choose(&incident, &one, proposals, warnings, bench).await?;
        match chosen {
            Ok(approved) => {
                let spent = (approved.fix().target.clone(), approved.fix().fix_type.clone());
                bench.begun.lock().unwrap_or_else(PoisonError::into_inner).push(spent);
                incident.fix = Some(approved.fix().clone());
                incident.holds.clear();
                incident.shadow = None;
                Ok(Decision { incident, approved: Some(approved) })
            }
            Err(fix) => {
                incident.fix = fix.map(|fix| *fix);
                hold(&mut incident, holds, now);
                if !bench.dry_run {
                    self.cast_shadow(&mut incident, now).await;
                }
                Ok(Decision { incident, approved: None })
            }
        }
    }

    /// The first fix the gate lets through; else the best one with all reasons against it.
    async fn choose(
        &self,
        incident: &Incident,
        one: &Explained,
        proposals: Proposals,
        warnings: Vec<String>,
        bench: &Bench<'_>,
    ) -> StoreResult<(Result<ApprovedFix, Option<Box<Fix>>>, Vec<Hold>)> {
        let mut best = None;
        for mut fix in proposals.fixes {
            fix.warnings.clone_from(&warnings);
            let mut facts = self.facts(&one.diagnosis, &fix, bench).await?;
            facts.failed_rehearsal = failed_before(incident, &fix, bench);
            match policy::decide(fix.clone(), &facts) {
                Ok(approved) => return Ok((Ok(approved), vec![])),
                Err(holds) => best = best.or(Some((fix, holds))),
            }
        }
        if let Some((fix, holds)) = best {
            return Ok((Err(Some(Box::new(fix))), holds));
        }
        let target = one.diagnosis.blamed.clone();
        let busy = self.busy_there(&one.diagnosis, bench);
        let mut holds = vec![if let Some(hold) = bench.seen.looked_after_there(&target) {
            hold
        } else if let Some(hold) = proposals.managed {
            hold
        } else if one.diagnosis.external {
            Hold::TargetExternal { target }
        } else if self.in_recovery(bench, &target) == Some(true) {
            // It becomes ready by itself; who wakes somebody for that wakes him for nothing.
            Hold::DatabaseInRecovery { target }
        } else if let Some(unmet) = proposals.not_yet {
            let mut holds = early::holds(incident, unmet, bench.seen.now);
            holds.extend(busy);
            return Ok((Err(None), holds));
        } else if let Some(mut holds) = early::goes_on(incident, bench.seen) {
            holds.extend(busy);
            return Ok((Err(None), holds));
        } else {
            Hold::NoFixKnown
        }];
        holds.extend(busy);
        holds.extend(proposals.unfit.into_iter().map(|why| Hold::CouldNotApply { why }));
        Ok((Err(None), holds))
    }

    /// Incidents in scope of which nothing is left to see: it works again by itself.
    fn recovered(
        open: &[Incident],
        spoken_of: &BTreeSet<IncidentId>,
        bench: &Bench<'_>,
    ) -> StoreResult<Vec<Decision>> {
        let is_wrong = |f: &&Finding| f.is_trouble() && !bench.over.contains(&f.key);
        let trouble = bench.seen.findings.iter().filter(is_wrong);
        let wrong: BTreeSet<&TargetId> = trouble.map(|f| &f.target).collect();
        let looked_at = |target: &TargetId| {
            // A target that is gone for good is looked at as well: there is nothing left.
            bench.seen.report.target(target).map_or_else(
                || bench.seen.inventory.is_gone(target),
                |report| {
                    let unseen = |f: &ContainerFacts| f.status == ContainerStatus::Unknown;
                    report.state.facts.is_ok() && !report.state.container().is_some_and(unseen)
                },
            )
        };
        let mut decisions = vec![];
        if !bench.seen.report.blind.is_empty() {
            return Ok(decisions);
        }
        for incident in open {
            let waits = matches!(
                incident.state(),
                IncidentState::Open | IncidentState::Diagnosed | IncidentState::Held
            );
            let targets = incident.targets();
            let well = targets.iter().all(|t| looked_at(t) && !wrong.contains(t));
            if !waits || spoken_of.contains(&incident.id) || !well {
                continue;
            }
            let mut incident = incident.clone();
            let text = "it works again without a fix";
            incident
                .become_state(IncidentState::Resolved, bench.seen.now, Actor::HealthMonitor, text)
                .map_err(|e| selfheal_agents::ports::StoreError::Conflict(e.to_string()))?;
            decisions.push(Decision { incident, approved: None });
        }
        Ok(decisions)
    }

    /// Writes the decisions down, tells people, and begins the approved repairs.
    async fn begin(self: &Arc<Self>, decisions: Vec<Decision>, dry_run: bool) -> Vec<Incident> {
        let mut incidents = vec![];
        for decision in decisions {
            let incident = decision.incident;
            if dry_run {
                incidents.push(incident);
                continue;
            }
            let incident = match decision.approved {
                Some(approved) => self.begin_repair(incident, approved).await,
                None => self.write_down(incident).await,
            };
            incidents.push(incident);
        }
        incidents
    }
}

/// Incidents about what this cycle did not look at and that is not known to work again: many
/// small cycles must not do what one over everything would not.
fn failing_elsewhere(open: &[Incident], seen: &Seen) -> impl Iterator<Item = TargetId> {
    let failing = open.iter().filter(|i| seen.report.target(&i.target).is_none() && is_failing(i));
    failing.map(|incident| incident.target.clone())
}

/// Incidents but for this one that are not known to work again, also about what was looked at.
pub(super) fn failing_beside(
    incident: &Incident,
    open: &[Incident],
    seen: &Seen,
) -> impl Iterator<Item = TargetId> {
    let well = move |other: &Incident| {
        seen.report.target(&other.target).is_some_and(|target| target.verdict() == Verdict::Ok)
    };
    let failing = open.iter().filter(move |i| i.id != incident.id && !well(i) && is_failing(i));
    failing.map(|other| other.target.clone())
}

/// Whether it says what is wrong, beside that something is odd or that others alert: however many
/// of those there are, they are no common cause.
fn is_understood(diagnosis: &Diagnosis) -> bool {
    ![UNUSUAL_LINES, OUTSIDE_ALERT].contains(&&*diagnosis.issue_type)
}

fn is_failing(incident: &Incident) -> bool {
    let works = incident.validation.as_ref().is_some_and(|window| window.recovered_at.is_some());
    let understood = incident.diagnosis.as_ref().is_none_or(is_understood);
    !works && understood
}

fn diagnosed(incident: &mut Incident, one: &Explained, now: Timestamp) {
    let known = incident.diagnosis.as_ref();
    let same = known.is_some_and(|d| {
        d.issue_type == one.diagnosis.issue_type && d.blamed == one.diagnosis.blamed
    });
    let text = format!("{} ({})", one.diagnosis.summary, one.diagnosis.confidence);
    incident.target = one.diagnosis.blamed.clone();
    incident.diagnosis = Some(one.diagnosis.clone());
    if same {
        return;
    }
    // What was waited for was a fix of another trouble.
    incident.holds.retain(|hold| !matches!(hold, Hold::TooEarly { .. }));
    // From `held` a new diagnosis goes back to `diagnosed`; the gate decides anew.
    if incident.become_state(IncidentState::Diagnosed, now, Actor::RootCause, text.clone()).is_err()
    {
        incident.note(now, Actor::RootCause, text);
    }
}

/// Holds an incident for these reasons; says so in its story unless it said the same before.
pub(super) fn hold(incident: &mut Incident, holds: Vec<Hold>, now: Timestamp) {
    let names = |holds: &[Hold]| {
        let no_fix_known = holds.contains(&Hold::NoFixKnown);
        // Where nobody knows a fix, it is no news that something is young, and then nothing is.
        let news = |hold: &&Hold| !(no_fix_known && matches!(hold, Hold::TooEarly { .. }));
        holds.iter().filter(news).map(Hold::name).collect::<Vec<_>>()
    };
    let same = incident.state() == IncidentState::Held && names(&incident.holds) == names(&holds);
    let text = holds.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    incident.hold_for(holds, now);
    if same {
        return;
    }
    let text = format!("not done automatically: {text}");
    if incident.become_state(IncidentState::Held, now, Actor::PolicyGate, text.clone()).is_err() {
        incident.note(now, Actor::PolicyGate, text);
    }
}

fn merge_findings(incident: &mut Incident, findings: &[Finding]) {
    for finding in findings {
        match incident.findings.iter_mut().find(|known| known.key == finding.key) {
            Some(known) => {
                let first_seen = known.first_seen.min(finding.first_seen);
                *known = Finding { first_seen, ..finding.clone() };
            }
            None => incident.findings.push(finding.clone()),
        }
    }
    incident.severity =
        incident.findings.iter().map(|f| f.severity).max().unwrap_or(incident.severity);
}

/// What cannot be seen is not well.
fn status(incidents: &[Incident], findings: &[Finding], blind: &[String]) -> CycleStatus {
    let healing = |incident: &Incident| {
        matches!(incident.state(), IncidentState::Fixing | IncidentState::Validating)
    };
    if incidents.iter().any(healing) {
        CycleStatus::Healing
    } else if blind.is_empty()
        && findings.iter().all(|f| !f.is_trouble())
        && incidents.iter().all(|i| i.state().is_closed())
    {
        CycleStatus::Healthy
    } else {
        CycleStatus::IssuesFound
    }
}
