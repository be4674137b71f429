//! What a person declares because discovery cannot see it: targets, tunables, dependencies.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use selfheal_agents::health_monitor::Declared;
use selfheal_agents::model::{
    DatabaseEndpoint, Dependency, DependencySource, Endpoint, HttpEndpoint, InvalidTargetId, Mode,
    SecretText, Target, TargetId, TargetKind, TargetPolicy, Tunable, TunableRole,
};
use serde::{Deserialize, Serialize};
use url::Url;

use super::formats::parse_apply;
use super::settings::Settings;
use super::values::{Address, ApplyText, Secret, TargetText};

/// The kinds of target that settings can add.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DeclaredKind {
    /// An HTTP endpoint.
    Http,
    /// A PostgreSQL server.
    Postgres,
    /// A MySQL or MariaDB server.
    Mysql,
    /// A Redis or Valkey server.
    Redis,
    /// A TCP port that only has to accept.
    Tcp,
}

/// A target that discovery cannot see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetSettings {
    /// What it is: `http`, `postgres`, `mysql`, `redis` or `tcp`.
    pub kind: DeclaredKind,
    /// Its name; together with the kind it is unique.
    pub name: String,
    /// How it is reached: `http://` or `https://`, `postgres://user@host:port/database`,
    /// `mysql://user@host:port`, `redis://host:port/number` (`rediss://` with TLS), `tcp://host:port`.
    pub url: Address,
    /// The container whose symptom this target shows; what its labels restrain holds here,
    /// too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The password, for `postgres`, `mysql` and `redis`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// A file that holds the password, instead of `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Status codes that are right, for `http`; empty means 200 to 399.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(range(min = 100, max = 599)))]
    pub expected_status: Vec<u16>,
    /// A text the answer must hold, for `http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_contains: Option<String>,
    /// More request headers, for `http`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// Not ours to mend: it may be blamed, a person is told, nothing is touched.
    #[serde(default)]
    pub external: bool,
    /// In a fleet: whether other nodes reach the same thing, so that only the one that looks after
    /// it changes it. Without it: where it is on another machine and in no container here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<bool>,
}

/// A setting of a service that fixes may turn, and how far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TunableSettings {
    /// Whose behaviour it changes.
    #[schemars(with = "TargetText")]
    pub target: TargetId,
    /// The file on this host, as an absolute path.
    pub file: PathBuf,
    /// The key in it; dots separate levels.
    pub key: String,
    /// What it means: `delay`, `batch_size`, `timeout`, `pool_size` or `memory`.
    pub role: TunableRole,
    /// The lowest value a fix may set.
    pub min: f64,
    /// The highest value a fix may set.
    pub max: f64,
    /// How a change reaches the service: `restart`, `signal:HUP` or `none` when it reads
    /// the file by itself.
    #[serde(default = "default_apply")]
    #[schemars(with = "ApplyText")]
    pub apply: String,
    /// Once a change has helped, try a smaller one, in a validation window of its own. Without it:
    /// where a change needs no restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub walk_back: Option<bool>,
}

fn default_apply() -> String {
    "restart".to_owned()
}

/// `from` needs `to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DependencySettings {
    /// Who needs.
    #[schemars(with = "TargetText")]
    pub from: TargetId,
    /// Who is needed.
    #[schemars(with = "TargetText")]
    pub to: TargetId,
}

impl DeclaredKind {
    /// The model's kind.
    pub const fn to_model(self) -> TargetKind {
        match self {
            Self::Http => TargetKind::Http,
            Self::Postgres => TargetKind::Postgres,
            Self::Mysql => TargetKind::Mysql,
            Self::Redis => TargetKind::Redis,
            Self::Tcp => TargetKind::Tcp,
        }
    }
}

impl TargetSettings {
    /// Its name, or why it can have none.
    pub(super) fn id(&self) -> Result<TargetId, InvalidTargetId> {
        format!("{}:{}", self.kind.to_model().as_str(), self.name).parse()
    }

    /// Keys that were set and mean nothing for this kind.
    pub(super) fn keys_of_other_kinds(&self) -> Vec<&'static str> {
        let http = self.kind == DeclaredKind::Http;
        let database = self.kind.to_model().is_data_service();
        [
            ("expected_status", !http && !self.expected_status.is_empty()),
            ("body_contains", !http && self.body_contains.is_some()),
            ("headers", !http && !self.headers.is_empty()),
            ("password", !database && self.password.is_some()),
            ("password_file", !database && self.password_file.is_some()),
        ]
        .into_iter()
        .filter_map(|(key, wrong)| wrong.then_some(key))
        .collect()
    }
}

/// How the target is reached, or what is wrong with its address.
pub(super) fn endpoint(target: &TargetSettings) -> Result<Endpoint, String> {
    let (schemes, example) = expected_address(target.kind);
    let refuse = || format!("`{}` is no such address; write one like `{example}`", target.url);
    let url = Url::parse(target.url.expose().trim()).map_err(|_| refuse())?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(refuse)?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    if !schemes.contains(&url.scheme()) {
        return Err(refuse());
    }
    match target.kind {
        DeclaredKind::Http => Ok(Endpoint::Http(http(target))),
        DeclaredKind::Tcp => url.port().map(|port| Endpoint::Tcp { host, port }).ok_or_else(refuse),
        DeclaredKind::Postgres => Ok(Endpoint::Postgres(database(target, &url, host, 5432))),
        DeclaredKind::Mysql => Ok(Endpoint::Mysql(database(target, &url, host, 3306))),
        DeclaredKind::Redis => Ok(Endpoint::Redis(database(target, &url, host, 6379))),
    }
}

const fn expected_address(kind: DeclaredKind) -> (&'static [&'static str], &'static str) {
    match kind {
        DeclaredKind::Http => (&["http", "https"], "http://127.0.0.1:8080/health"),
        DeclaredKind::Postgres => {
            (&["postgres", "postgresql"], "postgres://monitor@127.0.0.1:5432/orders")
        }
        DeclaredKind::Mysql => (&["mysql", "mariadb"], "mysql://monitor@127.0.0.1:3306"),
        DeclaredKind::Redis => (&["redis", "rediss"], "redis://127.0.0.1:6379/0"),
        DeclaredKind::Tcp => (&["tcp"], "tcp://127.0.0.1:25"),
    }
}

fn http(target: &TargetSettings) -> HttpEndpoint {
    HttpEndpoint {
        url: target.url.expose().trim().to_owned(),
        expected_status: target.expected_status.clone(),
        body_contains: target.body_contains.clone(),
        headers: target
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.expose().to_owned()))
            .collect(),
    }
}

fn database(target: &TargetSettings, url: &Url, host: String, port: u16) -> DatabaseEndpoint {
    let named = |text: &str| (!text.is_empty()).then(|| percent_decoded(text));
    let asks_tls = url.query_pairs().any(|(key, value)| {
        let word = value.to_ascii_lowercase();
        matches!(&*key, "sslmode" | "ssl-mode")
            && matches!(&*word, "require" | "required" | "verify-ca" | "verify-full")
    });
    DatabaseEndpoint {
        host,
        port: url.port().unwrap_or(port),
        user: named(url.username()),
        password: target
            .password
            .as_ref()
            .map(Secret::to_model)
            .or_else(|| url.password().map(|text| SecretText::new(percent_decoded(text)))),
        database: named(url.path().trim_start_matches('/')),
        tls: url.scheme() == "rediss" || asks_tls,
    }
}

/// Text of an address with its `%41` turned back; a `%` that begins no such stays.
fn percent_decoded(text: &str) -> String {
    let mut bytes = vec![];
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = code.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let Some(byte) = code.filter(|_| *first == b'%') {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Settings {
    /// All that is declared, in the model's words. `own_container` is the container Selfheal
    /// itself runs in, which settings cannot know.
    pub fn declared(&self, own_container: Option<String>) -> Declared {
        Declared {
            targets: self.declared_targets(),
            tunables: self.declared_tunables(),
            dependencies: self.declared_dependencies(),
            own_container,
        }
    }

    /// The declared targets in the model's words.
    pub fn declared_targets(&self) -> Vec<Target> {
        let targets = self.targets.iter().filter_map(|target| {
            let endpoint = endpoint(target).ok()?;
            let mut declared = Target::bare(target.id().ok()?);
            declared.endpoint = Some(endpoint);
            declared.container.clone_from(&target.container);
            declared.policy = TargetPolicy { external: target.external, ..TargetPolicy::default() };
            Some(declared)
        });
        targets.collect()
    }

    /// The declared tunables in the model's words.
    pub fn declared_tunables(&self) -> Vec<Tunable> {
        let tunables = self.tunables.iter().map(|tunable| {
            let apply = parse_apply(&tunable.apply).unwrap_or_default();
            Tunable {
                target: tunable.target.clone(),
                file: tunable.file.to_string_lossy().into_owned(),
                key: tunable.key.clone(),
                role: tunable.role,
                min: tunable.min,
                max: tunable.max,
                walk_back: tunable.walk_back.unwrap_or(apply.is_smooth()),
                apply,
            }
        });
        tunables.collect()
    }

    /// The declared dependencies in the model's words.
    pub fn declared_dependencies(&self) -> Vec<Dependency> {
        let dependencies = self.dependencies.iter().map(|dependency| Dependency {
            from: dependency.from.clone(),
            to: dependency.to.clone(),
            source: DependencySource::Settings,
        });
        dependencies.collect()
    }

    /// The mode in force for a target and, if one is at work, a runbook: the target's own
    /// (settings before the container's label), the runbook's, the more careful of both
    /// where both are set, else the global one.
    pub fn mode_for(&self, target: &TargetId, label: Option<Mode>, runbook: Option<&str>) -> Mode {
        let of_target = self.policy.target.get(&target.to_string()).map(|p| p.mode).or(label);
        let of_runbook = runbook.and_then(|id| self.policy.runbook.get(id)).map(|p| p.mode);
        of_target.into_iter().chain(of_runbook).min().unwrap_or(self.mode)
    }
}
