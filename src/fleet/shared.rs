//! Which targets other nodes reach as well, and by which name all of them know one.

use std::collections::BTreeMap;

use selfheal_agents::model::{Endpoint, TargetId, TargetKind, engine_of};

use crate::config::Settings;
use crate::docker::{Address, is_this_machine};

/// What is shared: by its address, since each node may call it otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Shared {
    /// Of what is declared and runs in no container here: `None` is this node's own.
    declared: BTreeMap<TargetId, Option<String>>,
    /// What was shared under names that the settings do not know any more: a fix begun there goes on.
    former: BTreeMap<TargetId, String>,
    /// Of all containers, where the engine is another machine's.
    engine: Option<String>,
    /// Of all containers of the other engines, by name.
    engines: BTreeMap<String, String>,
}

impl Shared {
    pub(super) fn of(settings: &Settings) -> Self {
        let declared = settings.targets.iter().zip(settings.declared_targets()).filter_map(
            |(declared, target)| {
                if target.container.is_some() {
                    return None;
                }
                let (place, is_here) = place(target.endpoint.as_ref()?);
                let is_shared = declared.shared.unwrap_or(!is_here);
                let key = format!("{}:{place}", target.id.kind().as_str());
                Some((target.id, is_shared.then_some(key)))
            },
        );
        let engine = Address::parse(&settings.docker.host).ok().and_then(|at| lease_of_engine(&at));
        let engines = settings.docker.engines.iter().filter_map(|engine| {
            let (address, _) = engine.address().ok()?;
            Some((engine.name.clone(), lease_of_engine(&address)?))
        });
        Self {
            declared: declared.collect(),
            former: BTreeMap::new(),
            engine,
            engines: engines.collect(),
        }
    }

    /// These after `before`, whose names are still known.
    pub(super) fn after(mut self, before: &Self) -> Self {
        let shared = before.declared.iter().filter_map(|(id, key)| Some((id, key.as_ref()?)));
        for (id, key) in before.former.iter().chain(shared) {
            if !self.declared.contains_key(id) {
                self.former.insert(id.clone(), key.clone());
            }
        }
        // Another engine is talked to only after a start; what it is leased under changes then, too.
        self.engine.clone_from(&before.engine);
        self.engines.clone_from(&before.engines);
        self
    }

    /// The lease that stands for a target; `None` where it is this node's own.
    pub(super) fn lease_of(&self, target: &TargetId) -> Option<&str> {
        match (target.kind(), self.declared.get(target)) {
            (TargetKind::Host, _) => None,
            (_, Some(declared)) => declared.as_deref(),
            // A container, or something found in one.
            (_, None) => {
                let of_engine = || match engine_of(target.name()) {
                    None => self.engine.as_ref(),
                    Some(engine) => self.engines.get(engine),
                };
                self.former.get(target).or_else(of_engine).map(String::as_str)
            }
        }
    }

    /// Whether the settings name something under that lease now.
    pub(super) fn names(&self, lease: &str) -> bool {
        self.leases().any(|known| known == lease)
    }

    /// Every lease of what the settings name now.
    pub(super) fn leases(&self) -> impl Iterator<Item = &str> {
        let declared = self.declared.values().flatten();
        declared.chain(&self.engine).chain(self.engines.values()).map(String::as_str)
    }

    /// What this node calls a target that another calls so, and that stands under that lease.
    pub(super) fn known_as<'a>(&'a self, lease: &str, there: &'a TargetId) -> Option<&'a TargetId> {
        // The containers of a shared engine have the same names everywhere.
        let same = || (self.lease_of(there) == Some(lease)).then_some(there);
        self.targets_of(lease).next().or_else(same)
    }

    /// What is declared here under that lease.
    pub(super) fn targets_of(&self, lease: &str) -> impl Iterator<Item = &TargetId> {
        let own = self.declared.iter();
        own.filter(move |(_, key)| key.as_deref() == Some(lease)).map(|(target, _)| target)
    }
}

/// An engine of another machine may be other nodes', too. By the host alone: one that some reach by
/// TCP and others by SSH is one engine all the same, and two of one host may have one lease.
fn lease_of_engine(address: &Address) -> Option<String> {
    let host = match address {
        Address::Tcp { host, .. } => host.as_str(),
        Address::Ssh(ssh) => ssh.host.as_str(),
        Address::Unix(_) => return None,
    };
    (!is_this_machine(host)).then(|| format!("docker:{}", host.to_lowercase()))
}

/// Where it is, and whether that is this machine.
fn place(endpoint: &Endpoint) -> (String, bool) {
    let at =
        |host: &str, port: u16| (format!("{}:{port}", host.to_lowercase()), is_this_machine(host));
    match endpoint {
        Endpoint::Postgres(at_server) | Endpoint::Mysql(at_server) | Endpoint::Redis(at_server) => {
            at(&at_server.host, at_server.port)
        }
        Endpoint::Tcp { host, port } => at(host, *port),
        Endpoint::Http(http) => match url::Url::parse(&http.url) {
            // Neither user nor password nor query: they are no part of where it is.
            Ok(url) => {
                let host = url.host_str().unwrap_or_default();
                let port = url.port_or_known_default().unwrap_or_default();
                (format!("{host}:{port}{}", url.path()), is_this_machine(host))
            }
            Err(_) => (String::new(), true),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load_from};

    fn shared(text: &str) -> Shared {
        let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        std::fs::write(file.path(), text).unwrap();
        let sources = Sources { explicit: Some(file.path().to_owned()), ..Sources::default() };
        Shared::of(&load_from(&sources).unwrap().settings)
    }

    #[test]
    fn shared_is_what_is_on_no_machine_of_a_node_unless_the_settings_say_otherwise() {
        let shared = shared(
            r#"
            [[target]]
            kind = "redis"
            name = "cache"
            url = "redis://:secret@Cache.lan/1"
            [[target]]
            kind = "postgres"
            name = "near"
            url = "postgres://me@127.0.0.1/x"
            [[target]]
            kind = "http"
            name = "shop"
            url = "http://localhost:81/health?token=s3cret"
            shared = true
            [[target]]
            kind = "tcp"
            name = "mail"
            url = "tcp://10.0.0.9:25"
            shared = false
            "#,
        );
        let lease = |id: &str| shared.lease_of(&id.parse().unwrap()).map(str::to_owned);
        assert_eq!(lease("redis:cache").as_deref(), Some("redis:cache.lan:6379"));
        assert_eq!(lease("http:shop").as_deref(), Some("http:localhost:81/health"));
        for own in ["postgres:near", "tcp:mail", "host", "container:web", "postgres:found"] {
            assert_eq!(lease(own), None, "{own}");
        }
        assert_eq!(shared.leases().count(), 2);
        let of_cache: Vec<_> = shared.targets_of("redis:cache.lan:6379").collect();
        assert_eq!(of_cache.len(), 1);
    }

    #[test]
    fn what_was_shared_under_a_name_that_is_gone_is_not_taken_for_this_node_s_own() {
        let named = |name: &str| {
            shared(&format!(
                "[[target]]\nkind = \"redis\"\nname = \"{name}\"\nurl = \"redis://cache.lan\"\n"
            ))
        };
        let before = named("cache");
        let renamed = named("store").after(&before);
        let lease = |id: &str| renamed.lease_of(&id.parse().unwrap());
        assert_eq!(lease("redis:cache"), Some("redis:cache.lan:6379"));
        assert_eq!(lease("redis:store"), lease("redis:cache"));
        let removed = shared("").after(&renamed);
        assert_eq!(removed.lease_of(&"redis:cache".parse().unwrap()), lease("redis:cache"));
        assert!(!removed.names("redis:cache.lan:6379") && renamed.names("redis:cache.lan:6379"));
    }

    #[test]
    fn the_containers_of_an_engine_on_another_machine_are_shared_as_one() {
        let shared = shared("[docker]\nhost = \"tcp://Engine.lan:2375\"\n");
        let web: TargetId = "container:web".parse().unwrap();
        assert_eq!(shared.lease_of(&web), Some("docker:engine.lan"));
        assert_eq!(shared.lease_of(&TargetId::host()), None);
        let other = "[[docker.engine]]\nname = \"nas\"\nhost = \"tcp://nas.lan:2375\"\n";
        let beside = self::shared(other);
        assert_eq!(beside.lease_of(&web), None);
        assert_eq!(beside.lease_of(&TargetId::container("nas/web")), Some("docker:nas.lan"));
        assert!(beside.leases().eq(["docker:nas.lan"]));
        let by_ssh = self::shared(&other.replace("tcp://nas.lan:2375", "ssh://ops@Nas.lan"));
        assert!(by_ssh.leases().eq(["docker:nas.lan"]));
        // It is still talked to until the next start.
        let there = TargetId::container("nas/web");
        assert_eq!(beside.known_as("docker:nas.lan", &there), Some(&there));
        assert_eq!(beside.known_as("docker:nas.lan", &web), None, "that is this node's own");
        let dropped = self::shared("").after(&beside);
        assert_eq!(dropped.lease_of(&TargetId::container("nas/web")), Some("docker:nas.lan"));
        let own = self::shared("[docker]\nhost = \"tcp://127.0.0.1:2375\"\n");
        assert_eq!(own.lease_of(&web), None);
    }
}
