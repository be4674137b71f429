//! What is watched: targets, how they are named, and what they depend on.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Endpoint, Tunable};

/// The kind of a target: the part of its id before the colon.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// The machine Selfheal runs on.
    Host,
    /// A container; one of another engine than the own is called `ENGINE/NAME`.
    Container,
    /// A PostgreSQL server.
    Postgres,
    /// A MySQL or MariaDB server.
    Mysql,
    /// A Redis or Valkey server.
    Redis,
    /// An HTTP endpoint.
    Http,
    /// A TCP endpoint that only has to accept.
    Tcp,
}

impl TargetKind {
    /// The word used in ids, settings and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Container => "container",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
            Self::Http => "http",
            Self::Tcp => "tcp",
        }
    }

    /// Every kind, in the order in which tables show them.
    pub const ALL: [Self; 7] = [
        Self::Host,
        Self::Container,
        Self::Postgres,
        Self::Mysql,
        Self::Redis,
        Self::Http,
        Self::Tcp,
    ];

    /// Whether such a target keeps data for others.
    pub const fn is_data_service(self) -> bool {
        matches!(self, Self::Postgres | Self::Mysql | Self::Redis)
    }
}

/// The name of one target, `kind:name`, or `host` alone.
///
/// Names come from strangers (container names, settings), so they are bounded and
/// hold only printable characters without white space.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId {
    kind: TargetKind,
    name: String,
}

/// Why a text is not a target id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a target: {reason}; write `host` or KIND:NAME, such as `container:web`")]
pub struct InvalidTargetId {
    text: String,
    reason: &'static str,
}

impl TargetId {
    /// The longest name accepted, in characters.
    pub const MAX_NAME: usize = 200;

    /// The one host.
    pub fn host() -> Self {
        Self { kind: TargetKind::Host, name: String::new() }
    }

    /// A container by its name, without Docker's leading slash.
    pub fn container(name: &str) -> Self {
        Self::lossy(TargetKind::Container, name)
    }

    /// A target of any kind; characters that an id may not hold become `_`.
    pub fn lossy(kind: TargetKind, name: &str) -> Self {
        if kind == TargetKind::Host {
            return Self::host();
        }
        let name: String = name
            .chars()
            .take(Self::MAX_NAME)
            .map(|c| if is_name_char(c) { c } else { '_' })
            .collect();
        Self { kind, name: if name.is_empty() { "_".to_owned() } else { name } }
    }

    /// The kind.
    pub const fn kind(&self) -> TargetKind {
        self.kind
    }

    /// The name after the colon; empty for the host.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The container's name, if this is a container.
    pub fn container_name(&self) -> Option<&str> {
        (self.kind == TargetKind::Container).then_some(self.name.as_str())
    }

    /// What it is called on other nodes of the fleet, where nothing has its name: `container:web@nas`.
    #[must_use]
    pub fn at_node(&self, node: &str) -> Self {
        // The host has no name to which one could be added.
        let (kind, name) = match self.kind {
            TargetKind::Host => (TargetKind::Container, self.kind.as_str()),
            kind => (kind, self.name.as_str()),
        };
        Self::lossy(kind, &format!("{name}@{node}"))
    }

    /// The other engine whose container this is.
    pub fn engine(&self) -> Option<&str> {
        self.container_name().and_then(engine_of)
    }
}

/// The engine that a container's name begins with, `nas` of `nas/web`; `None` for those of the own
/// engine, whose names hold no slash.
pub fn engine_of(container: &str) -> Option<&str> {
    container.split_once('/').map(|(engine, _)| engine)
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_.-/@+".contains(c) || (c.is_alphanumeric() && !c.is_control())
}

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TargetKind::Host => f.write_str("host"),
            kind => write!(f, "{}:{}", kind.as_str(), self.name),
        }
    }
}

impl FromStr for TargetId {
    type Err = InvalidTargetId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shown: String = text.chars().take(60).collect();
        let refuse = |reason| InvalidTargetId { text: shown.clone(), reason };
        if text == "host" {
            return Ok(Self::host());
        }
        let (kind, name) = text.split_once(':').ok_or_else(|| refuse("it has no colon"))?;
        let kind = TargetKind::ALL
            .into_iter()
            .find(|k| k.as_str() == kind && *k != TargetKind::Host)
            .ok_or_else(|| refuse("the kind is unknown"))?;
        if name.is_empty() {
            return Err(refuse("the name is empty"));
        }
        if name.chars().count() > Self::MAX_NAME {
            return Err(refuse("the name is longer than 200 characters"));
        }
        if !name.chars().all(is_name_char) {
            return Err(refuse("the name holds a character that no target name has"));
        }
        Ok(Self { kind, name: name.to_owned() })
    }
}

impl Serialize for TargetId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TargetId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What the text of an id looks like.
const PATTERN: &str =
    r"^(host|(container|postgres|mysql|redis|http|tcp):[\p{L}\p{N}_./@+-]{1,200})$";

impl JsonSchema for TargetId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TargetId".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "`host` or KIND:NAME, such as `container:web`",
            "pattern": PATTERN
        })
    }
}

/// How far Selfheal may go by itself.
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
pub enum Mode {
    /// Report what it would have done.
    Observe,
    /// Ask a person for each fix.
    Approve,
    /// Act when every guard agrees.
    #[default]
    Auto,
}

impl Mode {
    /// The word used in settings and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Approve => "approve",
            Self::Auto => "auto",
        }
    }
}

/// What a person said about a target, by settings or by container labels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TargetPolicy {
    /// `selfheal.enable=false`: never touch; it may still be blamed.
    pub excluded: bool,
    /// `selfheal.external=true`: a cause that only a person can mend.
    pub external: bool,
    /// `selfheal.mode`: overrides the global mode when it is stricter or set.
    pub mode: Option<Mode>,
    /// `autoheal.stop.timeout` or the container's own, in seconds.
    pub stop_timeout_secs: Option<u32>,
}

impl TargetPolicy {
    /// What holds where both were said of one thing: of each word the more careful. Settings
    /// cannot lift what a label restrains, nor the other way round.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        Self {
            excluded: self.excluded || other.excluded,
            external: self.external || other.external,
            mode: self.mode.into_iter().chain(other.mode).min(),
            stop_timeout_secs: self.stop_timeout_secs.or(other.stop_timeout_secs),
        }
    }
}

/// Where a dependency was learnt. The order is the order of trust.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DependencySource {
    /// Settings: `container = "web"` of a target, or a declared dependency.
    Settings,
    /// The label `selfheal.depends-on`.
    Label,
    /// Compose's `com.docker.compose.depends_on`.
    Compose,
    /// An environment variable that names the other one as a host.
    Environment,
    /// A data service found inside the container it runs in.
    Hosting,
    /// A proxy's configuration that passes requests on to it.
    Proxy,
    /// A connection seen in the container's own network.
    Connection,
}

impl DependencySource {
    /// The word used in the API and in sentences.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Label => "label",
            Self::Compose => "compose",
            Self::Environment => "environment",
            Self::Hosting => "hosting",
            Self::Proxy => "proxy",
            Self::Connection => "connection",
        }
    }

    /// How sure it is that the need is one, percent: a place in an order, not a measurement.
    /// Who wrote it down on purpose is believed; an environment variable may be left over; a
    /// proxy works without one of many; a connection may be a monitor's or a backup's.
    pub const fn weight(self) -> u8 {
        match self {
            Self::Settings | Self::Label | Self::Hosting => 100,
            Self::Compose => 90,
            Self::Environment => 70,
            Self::Proxy => 50,
            Self::Connection => 30,
        }
    }

    /// Whether it only hints at a need.
    pub const fn is_hint(self) -> bool {
        matches!(self, Self::Proxy | Self::Connection)
    }
}

/// A need with everything that speaks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Need {
    /// Who needs.
    pub from: TargetId,
    /// Who is needed.
    pub to: TargetId,
    /// Where this was learnt, the surest first.
    pub sources: Vec<DependencySource>,
    /// How sure it is, percent: that of the surest source.
    pub weight: u8,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources: Vec<&str> = self.sources.iter().map(|source| source.as_str()).collect();
        let Self { from, to, weight, .. } = self;
        write!(f, "{from} needs {to} ({}; weight {weight})", sources.join(", "))
    }
}

/// `from` needs `to`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Dependency {
    /// Who needs.
    pub from: TargetId,
    /// Who is needed.
    pub to: TargetId,
    /// Where this was learnt.
    pub source: DependencySource,
}

/// A target and what is known about it without observing it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Its name.
    pub id: TargetId,
    /// How it is reached, where it is not the host or a container.
    pub endpoint: Option<Endpoint>,
    /// The container whose symptom this target shows: `container` in settings,
    /// or the container a data service was found in.
    pub container: Option<String>,
    /// What a person said about it.
    pub policy: TargetPolicy,
    /// What a fix may turn here.
    pub tunables: Vec<Tunable>,
}

impl Target {
    /// A target with no endpoint, no policy and no tunables.
    pub fn bare(id: TargetId) -> Self {
        let container = id.container_name().map(str::to_owned);
        Self { id, endpoint: None, container, policy: TargetPolicy::default(), tunables: vec![] }
    }
}
