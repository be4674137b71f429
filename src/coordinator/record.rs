//! Writes down what became of an incident or a cycle, and tells whoever must know.

use chrono::TimeDelta;
use selfheal_agents::fix_engineer::actions::Action;
use selfheal_agents::model::{Actor, Hold, Incident, IncidentState, Severity, Timestamp};
use selfheal_agents::ports::Alert;

use super::progress::Progress;
use super::state::{Blind, Inner, lock};
use super::{CycleReport, Happening, Scope, TargetSummary, summaries};
use crate::{alerts, streams};

/// A part of the world that cannot be seen is told of after this long.
const BLIND_FOR: TimeDelta = TimeDelta::seconds(60);

/// Beyond so many messages that wait for other programs, what is new of an incident is told later:
/// three hours at ten a second, of about half a kilobyte each.
const MOST_MESSAGES: u64 = 100_000;

/// What passes by itself is told of when it has not after this long.
pub(super) const WAIT_PAGE_AFTER: TimeDelta = TimeDelta::minutes(15);

/// Whether a person must be told: it is critical or lasts for `after`, since much passes, and cannot wait or has been told of
/// because it waited for long.
fn is_worth_a_page(incident: &Incident, after: TimeDelta, now: Timestamp) -> bool {
    // That it flaps was told, and each of its spells is not worth a word.
    if incident.holds.iter().any(|hold| matches!(hold, Hold::Flapping { .. })) {
        return false;
    }
    if incident.can_wait() {
        return incident.wait.is_some_and(|wait| wait.told);
    }
    incident.severity == Severity::Critical || now - incident.opened_at >= after
}

/// Notes once that an incident waits for so long that a person must know.
fn tell_of_wait(incident: &mut Incident, now: Timestamp) {
    let Some(wait) = &mut incident.wait else { return };
    if wait.told || now - wait.since < WAIT_PAGE_AFTER {
        return;
    }
    wait.told = true;
    let minutes = (now - wait.since).num_minutes();
    let text = format!("held for {minutes} minutes for what should pass: a person is told");
    incident.note(now, Actor::PolicyGate, text);
}

impl Inner {
    /// Takes a step in an incident's life; one the design does not know is written down as
    /// what it is, a fault of ours.
    pub(super) fn go(
        &self,
        incident: &mut Incident,
        next: IncidentState,
        actor: Actor,
        text: impl Into<String>,
    ) {
        let text = text.into();
        let now = self.world.clock.now();
        if (incident.state(), next) == (IncidentState::Validating, IncidentState::Resolved) {
            lock(&self.hours).heal(&incident.targets(), now);
        }
        if let Err(error) = incident.become_state(next, now, actor.clone(), text.clone()) {
            tracing::error!(incident.id = %incident.id, %error, text, "a step that the design does not know");
            incident.note(now, actor, format!("{text} ({error})"));
        }
    }

    /// Writes an incident and tells listeners.
    pub(super) async fn save(&self, incident: &mut Incident) {
        self.save_quietly(incident).await;
        let text = incident.timeline.last().map_or_else(String::new, |entry| entry.text.clone());
        tracing::info!(
            incident.id = %incident.id,
            incident.state = %incident.state(),
            target.id = %incident.target,
            "{}: {text}",
            incident.target
        );
        self.tell(Happening::Incident { incident: summaries::incident(incident), text });
    }

    /// Writes an incident, and queues for other programs what is new about it: every one passes
    /// here. What was decided is written into the audit log first, so that nothing is in force that
    /// is not in it; what could not be written there is tried again, not with each time.
    pub(super) async fn save_quietly(&self, incident: &mut Incident) {
        self.audit_decisions(incident).await;
        let told = incident.announced.clone();
        let news = if self.may_tell().await { streams::news_of(incident) } else { vec![] };
        if !news.is_empty() {
            match self.store.save_incident_and_tell(incident, &news).await {
                Ok(()) => return,
                // Without what is told of it there may be room; that is told with the next time.
                Err(error) => {
                    tracing::debug!(incident.id = %incident.id, %error, "nothing is told of it yet");
                    incident.announced = told;
                }
            }
        }
        if let Err(error) = self.store.save_incident(incident).await {
            tracing::error!(incident.id = %incident.id, %error, "the incident is not written");
        }
    }

    /// Whether other programs are told now: not where so much waits for them already that the rest
    /// is better told once that is gone.
    async fn may_tell(&self) -> bool {
        self.rules().streams
            && self.store.messages_waiting().await.is_ok_and(|waiting| waiting < MOST_MESSAGES)
    }

    /// Writes an incident as a cycle left it, and alerts where a person is needed. Silent
    /// when nothing is new.
    pub(super) async fn write_down(&self, mut incident: Incident) -> Incident {
        let now = self.world.clock.now();
        if incident.state() == IncidentState::Held {
            tell_of_wait(&mut incident, now);
        }
        if incident.state().is_closed() {
            self.end_shadow(&mut incident).await;
        }
        let must_be_told = incident.state() == IncidentState::Held
            && is_worth_a_page(&incident, self.tell_after(), now);
        incident.told |= must_be_told;
        let known = self.store.incident(incident.id).await.ok().flatten();
        let before = known.as_ref().map(Incident::state);
        // Before the incident says that it was told: cut off in between, it is told by the next look.
        if must_be_told {
            self.alert(&incident, alerts::AlertEvent::Held).await;
        } else if incident.state() == IncidentState::Resolved
            && before == Some(IncidentState::Held)
            && incident.told
        {
            self.alert(&incident, alerts::AlertEvent::Recovered).await;
        }
        if known.as_ref().is_some_and(|known| known.timeline.len() == incident.timeline.len()) {
            self.save_quietly(&mut incident).await;
        } else {
            self.save(&mut incident).await;
        }
        incident
    }

    /// Writes down what commands of a person's own said.
    pub(super) fn note_what_commands_said(&self, incident: &mut Incident, progress: &Progress) {
        for (index, step) in progress.fix.steps.iter().enumerate() {
            if let (Action::RunCommand(run), Some(said)) =
                (&step.action, progress.step(index).left_behind)
            {
                let text = format!("the command `{}`: {said}", run.command.name);
                incident.note(self.world.clock.now(), Actor::FixEngineer, text);
            }
        }
    }

    /// Queues an alert about an incident; the same one is sent once. Whether it is queued: where it
    /// is not, Selfheal's own log has it.
    pub(super) async fn alert(&self, incident: &Incident, event: alerts::AlertEvent) -> bool {
        self.send(incident, &alerts::alert_for(incident, event)).await
    }

    /// Tells whoever approved a fix that it was not begun; whether somebody had.
    pub(super) async fn tell_who_approved(&self, incident: &Incident) -> bool {
        let Some(alert) = alerts::approved_in_vain(incident) else { return false };
        self.send(incident, &alert).await;
        true
    }

    async fn send(&self, incident: &Incident, alert: &Alert) -> bool {
        let queued = self.queue_alert(alert).await;
        if let Err(error) = &queued {
            tracing::error!(incident.id = %incident.id, %error, "the alert is not queued: {}", alert.title);
        }
        queued.is_ok()
    }

    /// Tells people once when a part of the world has not been seen for a while; `engines_alone` says
    /// that this is nothing but engines of other hosts.
    pub(super) async fn tell_blindness(&self, report: &CycleReport, engines_alone: bool) {
        let Some(reason) = report.blind.first() else {
            *lock(&self.blind) = None;
            return;
        };
        let at_start = self.standing.borrow().cycles == 0;
        let due = {
            let mut blind = lock(&self.blind);
            let since = report.started_at;
            let spell = blind.get_or_insert(Blind { since, told: false, engines_alone });
            spell.engines_alone = engines_alone;
            // A daemon that is restarted is away for some seconds, and nobody gets up for that;
            // at the start whoever started Selfheal is still there.
            let lasts = report.started_at - spell.since >= BLIND_FOR;
            let due = !spell.told && (lasts || at_start);
            spell.told |= due;
            due
        };
        if !due {
            return;
        }
        let alert = alerts::blind(reason, report.started_at);
        let mut channels = self.channels_for(&alert).await;
        // At the start the log says it already, in the lines that tell where everything is.
        channels.retain(|channel| !at_start || channel != alerts::Log::NAME);
        if let Err(error) = self.store.enqueue(&alert, &channels).await {
            tracing::error!(%error, "the alert is not queued: {}", alert.title);
        }
        self.wake.notify_waiters();
    }

    /// Brings the standing up to date after a cycle.
    pub(super) fn finish(&self, report: &CycleReport, scope: &Scope) {
        self.standing.send_modify(|standing| {
            standing.last_check = Some(self.world.clock.now());
            standing.cycles += 1;
            standing.last_cycle_ms = Some(report.took_ms);
            standing.blind.clone_from(&report.blind);
            standing.runtime_connected = report.saw_containers();
            if *scope == Scope::All {
                // What has not answered yet is shown as it was.
                standing.targets.retain(|known| report.late.contains(&known.id));
            }
            merge(&mut standing.targets, &report.targets);
        });
        self.tell(Happening::CycleFinished {
            cycle_id: report.cycle_id,
            status: report.status,
            took_ms: report.took_ms,
            findings: report.findings.len(),
        });
    }
}

/// Replaces what is known of these targets, and keeps all sorted by name.
pub(super) fn merge(known: &mut Vec<TargetSummary>, new: &[TargetSummary]) {
    known.retain(|old| new.iter().all(|summary| summary.id != old.id));
    known.extend(new.iter().cloned());
    known.sort_by(|a, b| a.id.cmp(&b.id));
}
