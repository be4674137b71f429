//! Bodies of the calls that freeze and unfreeze.
//!
//! What a person wrote is checked and cleaned here, and nowhere else; nothing is frozen here.

use chrono::TimeDelta;
use schemars::JsonSchema;
use selfheal_agents::model::{Timestamp, clean};
use serde::{Deserialize, Serialize};

use crate::coordinator::Freeze;

/// A freeze that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FreezeRequest {
    /// How long, such as `30m` or `2h`; until it is ended by hand without it.
    #[serde(rename = "for")]
    #[schemars(regex(
        pattern = r"^([1-9][0-9]{0,3} ?[smh]|([1-9][0-9]?|[12][0-9]{2}|3[0-5][0-9]) ?d)$"
    ))]
    pub duration: Option<String>,
    /// Everything on every node of the fleet, and not on this one alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fleet: bool,
    /// Only this target; everything without it.
    pub target: Option<selfheal_agents::model::TargetId>,
    /// Why.
    pub reason: Option<String>,
}

/// The longest freeze that ends by itself.
const LONGEST_FREEZE: TimeDelta = TimeDelta::days(366);

impl FreezeRequest {
    /// When it ends; `None` if a person must end it. The error says what a length looks like.
    pub fn until(&self, now: Timestamp) -> Result<Option<Timestamp>, String> {
        let Some(text) = self.duration.as_deref() else {
            return Ok(None);
        };
        let length = humantime::parse_duration(text.trim())
            .ok()
            .and_then(|length| TimeDelta::from_std(length).ok())
            .filter(|length| (TimeDelta::nanoseconds(1)..=LONGEST_FREEZE).contains(length));
        length.map(|length| Some(now + length)).ok_or_else(|| {
            let text = clean(text, 40);
            format!("`{text}` is no length of time such as 30m, 2h or 1d, at most a year")
        })
    }

    /// Sees that whoever means the whole fleet names no target.
    pub fn is_of_all(&self) -> Result<(), String> {
        match &self.target {
            Some(target) if self.fleet => Err(format!(
                "`fleet` is everything on every node, and `target` only `{target}`: leave one out"
            )),
            _ => Ok(()),
        }
    }

    /// Why, cleaned; a person need not say.
    pub fn reason(&self) -> String {
        clean(self.reason.as_deref().unwrap_or("asked for by a person"), 300)
    }
}

impl FreezeState {
    /// What a freeze means, and what is frozen now.
    pub fn frozen(freeze: &Freeze, freezes: Vec<Freeze>) -> Self {
        let what = freeze.target.as_ref();
        let what = what.map_or_else(|| "all targets".to_owned(), |t| format!("`{t}`"));
        let until = freeze.until.map_or_else(
            || "until it is ended by hand (selfheal unfreeze)".to_owned(),
            |until| format!("until {}", until.format("%Y-%m-%d %H:%M UTC")),
        );
        let message = format!("No automatic fixes of {what} {until}");
        Self { message, freezes, others: vec![] }
    }

    /// What is said where one was ended.
    pub(crate) const ENDED: &str = "Automatic fixes go on";

    /// What the end of a freeze means, and what is frozen still.
    pub fn ended(was_frozen: bool, freezes: Vec<Freeze>) -> Self {
        let message = if was_frozen { Self::ENDED } else { "Nothing was frozen" };
        Self { message: message.to_owned(), freezes, others: vec![] }
    }

    /// The same with what the other nodes of the fleet did.
    #[must_use]
    pub fn with_others(mut self, others: Vec<OtherNode>) -> Self {
        let done = others.iter().filter(|other| other.done).count();
        let (done, all) = (done + 1, others.len() + 1);
        self.message = format!("{}, on {done} of {all} nodes", self.message);
        self.others = others;
        self
    }

    /// Whether every node that was asked did it.
    pub fn is_everywhere(&self) -> bool {
        self.others.iter().all(|other| other.done)
    }
}

/// What a freeze call did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FreezeState {
    /// What was done, in words.
    pub message: String,
    /// Freezes in force now on this node.
    pub freezes: Vec<Freeze>,
    /// What the other nodes did, where the whole fleet was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherNode>,
}

/// What another node of the fleet did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OtherNode {
    /// Its name.
    pub node: String,
    /// Whether it did it.
    pub done: bool,
    /// What it said, or why it did not do it yet.
    pub said: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_has_a_length_a_person_would_write() {
        let now = chrono::Utc::now();
        let until = |text: &str| {
            FreezeRequest { duration: Some(text.to_owned()), ..FreezeRequest::default() }.until(now)
        };
        assert_eq!(until("30m"), Ok(Some(now + TimeDelta::minutes(30))));
        assert_eq!(until(" 1d 2h "), Ok(Some(now + TimeDelta::hours(26))));
        for wrong in ["", "0s", "soon", "-5m", "3000d", "999999999999999999999y"] {
            assert!(until(wrong).is_err(), "{wrong}");
        }
        assert_eq!(FreezeRequest::default().until(now), Ok(None));
    }
}
