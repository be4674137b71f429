//! What people allowed for good: a kind of fix for a kind of trouble on one target, which is not
//! asked for there any more.
//!
//! It lifts only the mode `approve`; every other guard stands. What cannot be read allows nothing.

use std::sync::Arc;

use selfheal_agents::model::{
    Diagnosis, Fix, Hold, Incident, IncidentId, Mode, TargetId, Timestamp,
};
use selfheal_agents::ports::StoreResult;
use serde::{Deserialize, Serialize};

use super::RequestError;
use super::policy::{self, Facts};
use super::state::Inner;

/// Under which name it is kept.
const ALLOWED: &str = "allowed";

/// One thing that is not asked for any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// Where.
    pub target: TargetId,
    /// For which trouble.
    pub issue_type: String,
    /// Which kind of fix.
    pub fix_type: String,
    /// Who said so.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

impl Allowed {
    fn is_of(&self, target: &TargetId, issue_type: &str, fix_type: &str) -> bool {
        self.target == *target && self.issue_type == issue_type && self.fix_type == fix_type
    }
}

/// How far a person's word on a held fix reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// This fix, this time.
    Once,
    /// Also its like there from now on.
    Always,
}

/// Refuses to allow for good what is held by more than the mode that asks: as it was proposed, and
/// as it stands now. Who saw a reason to doubt said yes to this one, not to all that come.
pub(super) fn refuse_for_good(
    incident: &Incident,
    fix: &Fix,
    facts: &Facts,
) -> Result<(), RequestError> {
    let now = policy::decide(fix.clone(), facts).err().unwrap_or_default();
    let doubts: Vec<String> = incident
        .holds
        .iter()
        .chain(&now)
        .filter(|hold| !policy::only_asks(hold))
        .map(Hold::to_string)
        .collect();
    let Some(doubt) = doubts.last() else { return Ok(()) };
    Err(RequestError::Conflict(format!(
        "always is only for what is asked for because of the mode `approve` alone, and this is held \
         for more: {doubt}; approve it once (`selfheal approve {}`)",
        incident.id
    )))
}

impl Inner {
    /// Everything that is not asked for any more.
    pub(super) async fn allowed(&self) -> StoreResult<Vec<Allowed>> {
        Ok(self.recall(ALLOWED).await?.unwrap_or_default())
    }

    /// The mode for this fix here, with what people allowed.
    pub(super) async fn mode_with_allowed(
        &self,
        mode: Mode,
        diagnosis: &Diagnosis,
        fix: &Fix,
    ) -> StoreResult<Mode> {
        if mode != Mode::Approve {
            return Ok(mode);
        }
        let allowed = self.allowed().await?;
        let is_of = |one: &Allowed| one.is_of(&fix.target, &diagnosis.issue_type, &fix.fix_type);
        Ok(if allowed.iter().any(is_of) { Mode::Auto } else { mode })
    }

    /// Applies the fix of a held incident, and asks for its like there no more.
    pub(super) async fn approve_always(
        self: &Arc<Self>,
        id: IncidentId,
        who: &str,
    ) -> Result<(), RequestError> {
        // First once: what cannot be done now is not allowed for later either.
        self.approve(id, who, Word::Always).await?;
        let incident = self.incident_or_error(id).await?;
        let Some(fix) = incident.fix else { return Ok(()) };
        let one = Allowed {
            target: fix.target,
            issue_type: fix.issue_type,
            fix_type: fix.fix_type,
            by: who.to_owned(),
            at: self.world.clock.now(),
        };
        let _writing = self.writing.lock().await;
        let mut allowed = self.allowed().await?;
        allowed.retain(|old| !old.is_of(&one.target, &one.issue_type, &one.fix_type));
        allowed.push(one);
        Ok(self.keep_in_mind(ALLOWED, &allowed).await?)
    }

    /// Asks again.
    pub(super) async fn ask_again(
        &self,
        target: &TargetId,
        issue_type: &str,
        fix_type: &str,
    ) -> Result<(), RequestError> {
        let _writing = self.writing.lock().await;
        let mut allowed = self.allowed().await?;
        let before = allowed.len();
        allowed.retain(|old| !old.is_of(target, issue_type, fix_type));
        if allowed.len() == before {
            let what = format!("`{fix_type}` for `{issue_type}` is not allowed on `{target}`");
            return Err(RequestError::NotFound(what));
        }
        Ok(self.keep_in_mind(ALLOWED, &allowed).await?)
    }
}
