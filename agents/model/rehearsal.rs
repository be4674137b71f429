//! A rehearsal: a fix is tried on a clone of the container before the container itself is touched.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FixId, Incident, IncidentId, Timestamp};

/// Which fixes are rehearsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rehearse {
    /// None.
    Never,
    /// Those that make a container again.
    #[default]
    Recreate,
    /// Those too that change the configuration or the limits of a container.
    Always,
}

/// What a rehearsal proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RehearsalVerdict {
    /// The clone works.
    Passed,
    /// The clone fails, and not because it is alone: nothing was touched.
    Failed,
    /// Nothing: the clone fails as one that is alone may fail.
    Inconclusive,
    /// There was none: a clone would not be safe, or could not be made.
    NotPossible,
}

impl RehearsalVerdict {
    /// The verdict in words for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Inconclusive => "inconclusive",
            Self::NotPossible => "not possible",
        }
    }
}

/// A rehearsal that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rehearsal {
    /// What was rehearsed, in one sentence.
    pub fix: String,
    /// What it was rehearsed for: the container as it was, by its id and image.
    pub basis: String,
    /// When it began.
    pub started_at: Timestamp,
    /// What it cost, in seconds.
    pub took_secs: f64,
    /// What it proved.
    pub verdict: RehearsalVerdict,
    /// Why, in one sentence.
    pub why: String,
    /// What the clone wrote last, cleaned; empty where it works.
    pub lines: Vec<String>,
}

/// So many failed rehearsals of one incident are kept.
const MOST_KEPT: usize = 8;

impl Incident {
    /// Takes this for its newest rehearsal, and remembers it if it failed.
    pub fn rehearsed(&mut self, rehearsal: Rehearsal) {
        let failed = &mut self.failed_rehearsals;
        failed.retain(|known| !known.is_of(&rehearsal.fix, &rehearsal.basis));
        if rehearsal.verdict == RehearsalVerdict::Failed {
            failed.push(rehearsal.clone());
            failed.drain(..failed.len().saturating_sub(MOST_KEPT));
        }
        self.rehearsal = Some(rehearsal);
    }

    /// What is known of how this fix did on a clone of this very container.
    pub fn rehearsal_of(&self, fix: &str, basis: &str) -> Option<&Rehearsal> {
        let mut known = self.rehearsal.iter().chain(&self.failed_rehearsals);
        known.find(|known| known.is_of(fix, basis))
    }
}

impl Rehearsal {
    fn is_of(&self, fix: &str, basis: &str) -> bool {
        self.fix == fix && self.basis == basis
    }
}

/// What a clone is to be, beside what the fix makes of the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RehearsalClone {
    /// What it is called: see [`rehearsal_name`].
    pub name: String,
    /// What it is tried for.
    pub incident: IncidentId,
    /// From then on anybody may remove it.
    pub expires_at: Timestamp,
    /// The most memory it gets, in bytes; a lower limit of its own stays.
    pub memory_bytes: u64,
    /// Its own limit once the fix is applied, in bytes, where that changes it.
    pub own_memory_bytes: Option<u64>,
    /// The most processor time it gets, in billionths of a core; a lower limit of its own stays.
    pub cpu_nanos: u64,
    /// Its own limit of that once the fix is applied, where that changes it.
    pub own_cpu_nanos: Option<u64>,
    /// Files that are other than the container's, in the container's own paths.
    pub files: Vec<CloneFile>,
}

/// A file as the fix makes it.
#[derive(Clone, PartialEq, Eq)]
pub struct CloneFile {
    /// Where the folder or file of the host that holds it is seen in the container.
    pub mount: String,
    /// Its path in the container.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for CloneFile {
    /// Without the content, which may hold passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes)", self.path, self.bytes.len())
    }
}

/// The label of a clone: when it expires, in RFC 3339.
pub const REHEARSAL_LABEL: &str = "selfheal.rehearsal";
/// The label of a clone with the incident it is tried for.
pub const REHEARSAL_INCIDENT_LABEL: &str = "selfheal.rehearsal.incident";

/// Between the name of a container and what tells the clone of one fix from others.
const CLONE: &str = ".selfheal-rehearsal-";
/// Digits that tell it; as many as Docker's own short ids have.
const DIGITS: usize = 12;

/// What the clone of a container is called while this fix is rehearsed.
pub fn rehearsal_name(container: &str, fix: FixId) -> String {
    let id = fix.0.simple().to_string();
    // The last digits of such an id are random; the first are the time.
    format!("{container}{CLONE}{}", &id[id.len() - DIGITS..])
}

/// The container that one of this name is a clone of; `None` for what is no clone.
pub fn rehearsed_container(name: &str) -> Option<&str> {
    let (container, digits) = name.rsplit_once(CLONE)?;
    let known = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    known.then_some(container)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TargetId;

    #[test]
    fn an_incident_knows_each_fix_that_failed_until_it_does_otherwise() {
        let id = IncidentId(uuid::Uuid::nil());
        let at = Timestamp::UNIX_EPOCH;
        let mut incident = Incident::open(id, TargetId::container("web"), vec![], at);
        let rehearsal = |fix: &str, verdict| Rehearsal {
            fix: fix.to_owned(),
            basis: "this web".to_owned(),
            started_at: at,
            took_secs: 1.0,
            verdict,
            why: String::new(),
            lines: vec![],
        };
        incident.rehearsed(rehearsal("one", RehearsalVerdict::Failed));
        incident.rehearsed(rehearsal("two", RehearsalVerdict::Failed));
        let verdict = |incident: &Incident, fix: &str, basis: &str| {
            incident.rehearsal_of(fix, basis).map(|known| known.verdict)
        };
        for fix in ["one", "two"] {
            assert_eq!(
                verdict(&incident, fix, "this web"),
                Some(RehearsalVerdict::Failed),
                "{fix}"
            );
            assert_eq!(verdict(&incident, fix, "another web"), None);
        }
        incident.rehearsed(rehearsal("one", RehearsalVerdict::Passed));
        incident.rehearsed(rehearsal("two", RehearsalVerdict::Failed));
        assert_eq!(verdict(&incident, "one", "this web"), None, "it has not failed any more");
        for number in 0..20 {
            incident.rehearsed(rehearsal(&format!("fix {number}"), RehearsalVerdict::Failed));
        }
        assert_eq!(incident.failed_rehearsals.len(), MOST_KEPT);
        assert!(verdict(&incident, "fix 12", "this web").is_some());
        assert!(verdict(&incident, "fix 11", "this web").is_none());
    }

    #[test]
    fn a_clone_is_known_by_its_name_and_nothing_else_is_taken_for_one() {
        let name = rehearsal_name("shop.web", FixId(uuid::Uuid::from_u128(0xabc)));
        assert_eq!(name, "shop.web.selfheal-rehearsal-000000000abc");
        assert_eq!(rehearsed_container(&name), Some("shop.web"));
        for other in ["web", "web.selfheal-rehearsal-", "web.selfheal-rehearsal-00000000000z"] {
            assert_eq!(rehearsed_container(other), None, "{other}");
        }
    }
}
