//! One file of `knowledge/`: what a kind of trouble looks like, what it means, what mends it.
//!
//! These types *are* the file format: the TOML of a runbook deserialises into
//! [`Runbook`], the JSON schema is derived from it, and unknown keys are refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Category, ChangeKind, ContainerFacts, Difference, Observation, Severity, TargetKind,
    TunableRole, Verdict,
};

/// One runbook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Runbook {
    /// Unique; lower case with hyphens; the issue type that learning counts by.
    pub id: String,
    /// One line.
    pub title: String,
    /// The family.
    pub category: Category,
    /// How bad.
    pub severity: Severity,
    /// The component it is about, such as `postgresql`; the folder's name.
    pub technology: String,
    /// Whether the trouble was provoked in the real program.
    pub status: Provenance,
    /// Where it applies.
    #[serde(default)]
    pub applies: Applies,
    /// What it looks like; one match is enough.
    #[serde(rename = "signature", default)]
    pub signatures: Vec<Signature>,
    /// What shows that it is over: lines from before that was seen count no more.
    #[serde(default)]
    pub over_when: Option<CheckSays>,
    /// What it means.
    pub diagnosis: DiagnosisTemplate,
    /// What makes it more or less likely.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// What mends it, best first.
    #[serde(rename = "fix", default)]
    pub fixes: Vec<FixTemplate>,
    /// Why none of the actions mends it, for a runbook without a fix.
    #[serde(default)]
    pub no_fix: Option<String>,
    /// What not to do, and why.
    #[serde(default)]
    pub avoid: Vec<String>,
    /// Authoritative sources of the facts.
    #[serde(default)]
    pub links: Vec<String>,
    /// Ids of other runbooks whose examples this one rightly matches too, or whose signatures
    /// rightly match its own; both have to say so. `*` admits every runbook that names this one.
    #[serde(default)]
    pub shares: Vec<String>,
    /// Log lines that must and must not match.
    #[serde(default)]
    pub examples: Examples,
}

/// Where the knowledge comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// Provoked in the real program; its own lines are the examples.
    Reproduced,
    /// Taken from documentation; never reaches the automatic threshold by itself.
    Documented,
}

/// Where a runbook applies; an empty list means everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Applies {
    /// Kinds of target.
    pub kinds: Vec<TargetKind>,
    /// Parts of image names, such as `postgres`.
    pub images: Vec<String>,
    /// Ports the container listens on, such as 5432, for images whose names tell nothing.
    pub ports: Vec<u16>,
}

impl Applies {
    /// Whether it is about targets of this kind and the program in `container`: a part of the
    /// image's name or a port fits, or neither is named. What is named fits no unknown container.
    pub fn fits(&self, kind: TargetKind, container: Option<Program<'_>>) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&kind)) && self.fits_program(container)
    }

    fn fits_program(&self, container: Option<Program<'_>>) -> bool {
        if self.images.is_empty() && self.ports.is_empty() {
            return true;
        }
        container.is_some_and(|program| {
            self.images.iter().any(|part| program.image.contains(part.as_str()))
                || self.ports.iter().any(|port| program.ports.contains(port))
        })
    }
}

/// What tells which program runs in a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program<'a> {
    /// The image, as named at creation.
    pub image: &'a str,
    /// TCP ports it listens on, as far as the image or the container says.
    pub ports: &'a [u16],
}

impl<'a> From<&'a ContainerFacts> for Program<'a> {
    fn from(facts: &'a ContainerFacts) -> Self {
        Self { image: &facts.image, ports: &facts.exposed_ports }
    }
}

/// What the trouble looks like: a log pattern or a check's verdict, never both.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Signature {
    /// A regular expression on one line; case matters unless it begins with `(?i)`.
    pub log: Option<String>,
    /// Lines that must match within the last ten minutes before it counts.
    pub at_least: Option<u64>,
    /// A check's name; the part after a colon (`host.disk:/var`) is left out.
    pub check: Option<String>,
    /// The values that count; empty means any.
    pub is: Vec<String>,
    /// The least verdict that counts; without it `warning`, or any when `is` is given.
    pub verdict: Option<Verdict>,
    /// Who writes the line: the program in trouble itself, or a client of it.
    pub side: Side,
}

/// A check of the target, or of what runs in the same container, that says one of these words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckSays {
    /// The check's name.
    pub check: String,
    /// The values that count.
    pub is: Vec<String>,
}

impl CheckSays {
    /// Whether the observation is of this check and one of the words.
    pub fn fits(&self, observation: &Observation) -> bool {
        observation.check == self.check && self.is.contains(&observation.value.to_string())
    }
}

/// Which side of a connection writes a line.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The program that is in trouble.
    #[default]
    Server,
    /// A program that depends on the one in trouble: what it says speaks against its dependency,
    /// whatever the runbook `blames`, and it runs in whatever image.
    Client,
}

impl Side {
    /// Whether it is the program in trouble itself.
    pub fn is_server(&self) -> bool {
        *self == Self::Server
    }
}

/// What the trouble means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiagnosisTemplate {
    /// A sentence or two; `{target}` and `{value}` are filled in.
    pub summary: String,
    /// Confidence before any evidence, percent.
    pub base: u8,
    /// Whose fault it is.
    #[serde(default)]
    pub blames: Blames,
    /// Expected time to fix, in seconds.
    #[serde(default = "default_fix_secs")]
    pub expected_fix_secs: u64,
}

const fn default_fix_secs() -> u64 {
    10
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Blames {
    /// The target that shows it.
    #[default]
    Itself,
    /// The container that the target runs in or stands for.
    Container,
    /// Something it depends on; by itself this runbook only points away.
    Dependency,
    /// Somebody outside this host.
    Outside,
}

/// A piece of evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// When it holds.
    pub when: Condition,
    /// Percentage points if it holds; below zero speaks against.
    pub weight: i32,
    /// In words.
    pub why: String,
    /// If this does not hold, the runbook is no candidate at all.
    #[serde(default)]
    pub required: bool,
}

/// Something that is or is not so. All parts given must hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Condition {
    /// Of whom.
    pub on: Scope,
    /// A check's name.
    pub check: Option<String>,
    /// Its value is one of these.
    pub is: Vec<String>,
    /// Its value is above this number.
    pub above: Option<f64>,
    /// Its value is below this number.
    pub below: Option<f64>,
    /// Its verdict is at least this.
    pub verdict: Option<Verdict>,
    /// This runbook's log signature was found there.
    pub finding: Option<String>,
    /// A tunable of this role is declared there.
    pub tunable: Option<TunableRole>,
    /// Whether its container's health check succeeded before, as far as its last outputs and
    /// the remembered events tell: a check that never did may itself be broken.
    pub was_healthy: Option<bool>,
    /// Something of one of these kinds changed on its container within the hour before its
    /// trouble began, by somebody else than Selfheal.
    pub changed: Vec<ChangeKind>,
    /// Its container was made anew since it was last seen to work for long, and differs from
    /// that in one of these.
    pub since_well: Vec<Difference>,
    /// With `since_well`: it differs in nothing else.
    pub in_nothing_else: bool,
    /// Whether its container was never seen to work since it was made anew.
    pub never_well: Option<bool>,
    /// Turns the whole condition round.
    pub not: bool,
}

/// Of whom a condition speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The target that shows the signature.
    #[default]
    Target,
    /// The container it runs in or stands for.
    Container,
    /// Any target it depends on, however far.
    Dependency,
    /// Any target that depends on it, however far, save its own endpoints.
    Dependent,
    /// The endpoints and data services that stand for its container, asked from outside.
    Endpoint,
    /// The host.
    Host,
}

/// A way to mend it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FixTemplate {
    /// The action's name.
    pub action: String,
    /// Percentage points added to the diagnosis' confidence for this fix.
    #[serde(default)]
    pub adjust: i32,
    /// Why it helps, in words.
    pub why: String,
    /// Only then.
    #[serde(default)]
    pub when: Option<Condition>,
    /// Whether it can wait: done by itself only in a quiet hour of the settings.
    #[serde(default)]
    pub quiet: bool,
    /// Arguments.
    #[serde(rename = "with", default)]
    pub parameters: FixParameters,
}

/// Arguments of a fix; which ones are needed depends on the action.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FixParameters {
    /// `config.set`: which tunable.
    pub role: Option<TunableRole>,
    /// `config.set`, `container.set_memory`, `container.set_cpu`, `redis.set_memory`,
    /// `postgres.alter_system`: the new value is the old one times this, 0.67 to 1.5 (up to 2 for
    /// a container's limits; a processor limit may fall to a quarter of what is used).
    pub factor: Option<f64>,
    /// `container.signal`: such as `HUP`.
    pub signal: Option<String>,
    /// `container.restart`: time between stop signal and kill, in seconds, where no person said
    /// how long; never less than 30 s for what keeps data.
    pub stop_timeout_secs: Option<u32>,
    /// `postgres.terminate_backends`, `mysql.kill_connections`: `idle_in_transaction` or `blocker`;
    /// the latter also `idle`.
    pub sessions: Option<String>,
    /// `postgres.terminate_backends`, `mysql.kill_connections`, `redis.kill_clients`: only what has
    /// been idle for at least this long, in seconds.
    pub older_than_secs: Option<u64>,
    /// `container.recreate`: what becomes as it was when the container last worked.
    pub restores: Option<RestoreWhat>,
    /// `postgres.alter_system`: which setting, one of those a fix may change.
    pub setting: Option<String>,
    /// `command`: the name under which the settings declare it (`[[command]]`).
    pub command: Option<String>,
    /// `redis.set_policy`: what to evict at the limit; one that takes only keys that expire by
    /// themselves.
    pub policy: Option<String>,
}

/// What of a container becomes as it was when it last worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RestoreWhat {
    /// Its image.
    Image,
    /// The environment variables it has lost.
    Variables,
}

/// Lines that must and must not match.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Examples {
    /// Each must match one of this runbook's log signatures.
    #[serde(rename = "match")]
    pub matching: Vec<String>,
    /// None may match.
    pub near_miss: Vec<String>,
}
