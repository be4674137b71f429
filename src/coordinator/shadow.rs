//! Watches what comes without a fix that may not act: whether it would have been right.
//!
//! It begins where nothing but the mode, or trust not yet earned, holds a fix, and ends with the
//! incident. Nothing is touched for it; that it cannot be told what others did is no confirmation.

use selfheal_agents::fix_engineer::actions::{Act, Action};
use selfheal_agents::learning_engine::{History, ShadowReport};
use selfheal_agents::model::{
    Actor, Autonomy, Captured, Fix, Hold, Incident, Shadow, ShadowEnd, ShadowRun, Step, StepRole,
    TargetId, Timestamp,
};
use selfheal_agents::ports::{Store, StoreResult};

use super::memories::{keep_in, recall_from};
use super::policy::Unearned;
use super::state::Inner;

/// Before the name of each fix that would have been applied.
const SHADOWS: &str = "shadow.";
/// Ends remembered of one fix on one target: the newest.
const RUNS_KEPT: usize = 100;

fn name_of(target: &TargetId, issue_type: &str, fix_type: &str) -> String {
    format!("{SHADOWS}{target}.{issue_type}.{fix_type}")
}

fn readable(values: Vec<(String, serde_json::Value)>) -> impl Iterator<Item = ShadowRun> {
    values
        .into_iter()
        .filter_map(|(_, value)| serde_json::from_value::<Vec<ShadowRun>>(value).ok())
        .flatten()
}

/// Every time a fix would have been applied, as far as that is kept.
pub(super) async fn runs(store: &dyn Store) -> StoreResult<Vec<ShadowRun>> {
    Ok(readable(store.values(SHADOWS).await?).collect())
}

/// What was recorded of the fixes for one kind of trouble of one target.
pub(super) async fn runs_about(
    store: &dyn Store,
    target: &TargetId,
    issue_type: &str,
) -> StoreResult<Vec<ShadowRun>> {
    let runs = readable(store.values(&name_of(target, issue_type, "")).await?);
    Ok(runs.filter(|run| run.target == *target && run.issue_type == issue_type).collect())
}

/// The names under which runs are kept of targets that are not there, or that nobody can read.
pub(super) async fn names_of_gone(
    store: &dyn Store,
    is_there: impl Fn(&TargetId) -> bool,
) -> StoreResult<Vec<String>> {
    let mut gone = store.values(SHADOWS).await?;
    gone.retain(|(_, value)| {
        let runs = serde_json::from_value::<Vec<ShadowRun>>(value.clone()).unwrap_or_default();
        !runs.iter().any(|run| is_there(&run.target))
    });
    Ok(gone.into_iter().map(|(name, _)| name).collect())
}

/// What would have been done, and what came without it.
pub async fn report(
    store: &dyn Store,
    autonomy: Autonomy,
    needed: usize,
) -> StoreResult<ShadowReport> {
    let history =
        History::new(store.outcomes(None).await?, vec![]).with_shadows(runs(store).await?);
    let open = store.open_incidents().await?;
    let open: Vec<Shadow> = open.into_iter().filter_map(|incident| incident.shadow).collect();
    Ok(ShadowReport { autonomy, needed, rows: history.shadow_rows(&open) })
}

impl Inner {
    /// What this fix still has to earn, if it must.
    pub(super) fn unearned(&self, fix: &Fix, history: &History) -> Option<Unearned> {
        let rules = self.rules();
        let confirmed = history.confirmed(&fix.issue_type, &fix.fix_type, &fix.target);
        let must = rules.autonomy == Autonomy::Earned && confirmed < rules.earned_after;
        must.then_some(Unearned { confirmed, needed: rules.earned_after })
    }

    /// Begins to watch what comes without the fix of a held incident, where only a person's wish
    /// keeps it from running.
    pub(super) async fn cast_shadow(&self, incident: &mut Incident, now: Timestamp) {
        let wishes = |hold: &Hold| matches!(hold, Hold::Mode { .. } | Hold::Shadow { .. });
        let would_act = !incident.holds.is_empty() && incident.holds.iter().all(wishes);
        // What was to be done first is what would have been done.
        if !would_act || incident.shadow.is_some() {
            return;
        }
        let Some(fix) = incident.fix.clone() else { return };
        let mut before = Some(vec![]);
        for step in &fix.steps {
            let captured = self.as_it_is(step).await;
            before = before.zip(captured).map(|(all, one)| [all, vec![one]].concat());
        }
        // What is so already would not tell that somebody did it.
        if let Some(known) = &before
            && self.is_so(&fix, known).await
        {
            before = None;
        }
        incident.shadow = Some(Shadow { fix: Box::new(fix), since: now, before });
    }

    /// What a step would touch, as it is; `None` where that cannot be told, or is not to stand in
    /// an incident's record.
    async fn as_it_is(&self, step: &Step) -> Option<Captured> {
        match &step.action {
            // How a container was made holds its secrets. A person's program is not for finding out
            // what others did: it would run within a cycle, and even where nothing may be done.
            Action::ContainerRecreate(_) | Action::RunCommand(_) => None,
            // To capture logs is to copy them, for which there may be no room.
            Action::LogsTrim(trim) => {
                Some(Captured::Logs { folder: trim.folder.clone(), files: vec![] })
            }
            action => action.capture(&self.world).await.ok(),
        }
    }

    /// Ends it with an incident that is closed without a fix.
    pub(super) async fn end_shadow(&self, incident: &mut Incident) {
        let Some(shadow) = incident.shadow.take() else { return };
        let by_person =
            incident.timeline.last().is_some_and(|entry| matches!(entry.actor, Actor::Person(_)));
        let (end, text) = if by_person {
            (ShadowEnd::Dismissed, "a person saw nothing to mend")
        } else if self.was_done(&shadow).await {
            (ShadowEnd::SameWay, "somebody else had done the same")
        } else {
            (ShadowEnd::ByItself, "nobody had done that")
        };
        let now = self.world.clock.now();
        let text = format!("without `{}`: {text}", shadow.fix.fix_type);
        incident.note(now, Actor::LearningEngine, text);
        self.keep_run(&shadow.ended(incident.id, end, now)).await;
    }

    /// Ends it with a person's approval.
    pub(super) async fn approved_out_of(&self, shadow: Option<Shadow>, incident: &Incident) {
        let Some(shadow) = shadow else { return };
        let now = self.world.clock.now();
        self.keep_run(&shadow.ended(incident.id, ShadowEnd::Approved, now)).await;
    }

    /// Whether all that would have been done is done, though not by Selfheal.
    async fn was_done(&self, shadow: &Shadow) -> bool {
        let Some(before) = &shadow.before else { return false };
        // What was stored holds no password, and servers may be reached elsewhere now.
        let Ok(fix) = self.executor.ready(shadow.fix.as_ref().clone()).await else { return false };
        self.is_so(&fix, before).await
    }

    /// Whether every repair of a fix is in effect, by something that somebody must have done.
    async fn is_so(&self, fix: &Fix, before: &[Captured]) -> bool {
        let steps = fix.steps.iter().zip(before);
        for (step, before) in steps.filter(|(step, _)| step.role == StepRole::Repair) {
            let tells = !step.action.comes_by_itself() && self.is_the_same(step, before).await;
            if !tells || !matches!(step.action.is_applied(&self.world, before).await, Ok(true)) {
                return false;
            }
        }
        true
    }

    /// Whether the container whose life a step is about is still that one: to make it anew is
    /// something else than to start it again, though it runs since then.
    async fn is_the_same(&self, step: &Step, before: &Captured) -> bool {
        let (Captured::Container { id, .. }, target) = (before, step.action.target()) else {
            return true;
        };
        let Some(name) = target.container_name() else { return true };
        self.world.runtime.container(name).await.is_ok_and(|now| now.id == *id)
    }

    /// Replaces what is known of the run's incident, or adds it.
    pub(super) async fn keep_run(&self, run: &ShadowRun) {
        let name = name_of(&run.target, &run.issue_type, &run.fix_type);
        let store = self.store.as_ref();
        let kept = async {
            let mut runs: Vec<ShadowRun> = recall_from(store, &name).await?.unwrap_or_default();
            runs.retain(|known| known.incident != run.incident);
            runs.push(run.clone());
            let surplus = runs.len().saturating_sub(RUNS_KEPT);
            runs.drain(..surplus);
            keep_in(store, &name, &runs).await
        };
        if let Err(error) = kept.await {
            tracing::error!(incident.id = %run.incident, %error, "what came without the fix is not recorded");
        }
    }
}
