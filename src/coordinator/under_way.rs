//! What others are doing to a target right now, that a fix would spoil.
//!
//! Asked of the world when a fix is about to be decided on, not at every look: no event tells
//! of a program that runs inside a container, and a pull names no container.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::join;
use selfheal_agents::model::{
    ContainerFacts, Facts as TargetFacts, Fix, RuntimeEventKind, TargetId, TargetKind, clean,
};
use selfheal_agents::ports::WorldError;

use super::cycle::Bench;
use super::state::Inner;

/// A container made or removed this recently is part of a deployment.
const DEPLOYMENT: TimeDelta = TimeDelta::seconds(10);
/// How long whoever waits for the decision waits for this, too.
const PATIENCE: Duration = Duration::from_secs(3);
/// An image pulled this recently is about to be used: whoever pulls it makes the containers anew
/// when all images of the stack are there.
const IMAGE_UPDATE: TimeDelta = TimeDelta::seconds(60);
const PROJECT: &str = "com.docker.compose.project";

/// Programs that copy data out or back and are worth nothing when they are cut off. Names of the
/// programs of PostgreSQL, MySQL, MariaDB, MongoDB, restic and Borg, as their manuals have them.
const BACKUP_PROGRAMS: [&str; 15] = [
    "borg",
    "mariabackup",
    "mariadb-backup",
    "mariadb-dump",
    "mongodump",
    "mongorestore",
    "mysqldump",
    "mysqlpump",
    "pg_basebackup",
    "pg_dump",
    "pg_dumpall",
    "pg_restore",
    "pgbackrest",
    "restic",
    "xtrabackup",
];

/// What was found out.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    /// A deployment or image update, in words.
    pub(super) deployment: Option<String>,
    /// A backup, in words.
    pub(super) backup: Option<String>,
    /// What could not be found out.
    pub(super) unknown: Option<String>,
}

impl Inner {
    /// What is under way around everything that `fix` touches.
    pub(super) async fn under_way(&self, bench: &Bench<'_>, fix: &Fix) -> UnderWay {
        let inventory = &bench.seen.inventory;
        let mut found = UnderWay::default();
        let mut containers = BTreeMap::new();
        for target in fix.touches() {
            let name = inventory.targets.get(&target).and_then(|known| known.container.as_deref());
            let Some(name) = name else { continue };
            match inventory.containers.get(name) {
                Some(facts) => {
                    containers.insert(name, facts);
                }
                // Its labels are not known either.
                None => found.unknown = Some(format!("the container `{name}` cannot be seen")),
            }
            found.backup = found.backup.or_else(|| dump_in_database(bench, &target, name));
        }
        for facts in containers.into_values() {
            found.deployment = found.deployment.or_else(|| deployment(bench, facts));
            let asked = join(self.pulled(bench, facts), self.backed_up(facts));
            match tokio::time::timeout(PATIENCE, asked).await {
                Ok((pulled, backed_up)) => {
                    found.take(pulled, |found| &mut found.deployment);
                    found.take(backed_up, |found| &mut found.backup);
                }
                Err(_) => found.unknown = Some(format!("what is under way in `{}`", facts.name)),
            }
        }
        found
    }

    /// Whether its image was just pulled.
    async fn pulled(
        &self,
        bench: &Bench<'_>,
        container: &ContainerFacts,
    ) -> Result<Option<String>, String> {
        match self.world.runtime.pulls(bench.seen.now - IMAGE_UPDATE).await {
            Ok(pulls) => {
                let ours = pulls.iter().find(|image| same_image(image, &container.image));
                Ok(ours.map(|image| format!("the image `{}` was just pulled", clean(image, 200))))
            }
            // Somebody keeps events from us for good; nobody would ever be healed.
            Err(WorldError::Denied { .. } | WorldError::Refused { .. }) => Ok(None),
            Err(error) => Err(format!("whether an image was pulled ({error})")),
        }
    }

    /// Whether a backup runs in it.
    async fn backed_up(&self, container: &ContainerFacts) -> Result<Option<String>, String> {
        if container.is_down() {
            return Ok(None);
        }
        match self.world.runtime.processes(&container.name).await {
            Ok(processes) => Ok(backup_among(&processes, &container.name)),
            // It has ended since, or the host has no `ps`: then the databases' own word must do.
            Err(WorldError::NotFound { .. } | WorldError::Refused { .. }) => Ok(None),
            Err(error) => Err(format!("whether a backup runs in it ({error})")),
        }
    }
}

impl UnderWay {
    fn take(
        &mut self,
        answer: Result<Option<String>, String>,
        place: fn(&mut Self) -> &mut Option<String>,
    ) {
        match answer {
            Ok(Some(seen)) => {
                place(self).get_or_insert(seen);
            }
            Ok(None) => {}
            Err(unknown) => self.unknown = Some(unknown),
        }
    }
}

/// A dump, base backup or restore that PostgreSQL serves: also one that runs elsewhere.
fn dump_in_database(bench: &Bench<'_>, target: &TargetId, container: &str) -> Option<String> {
    let databases = bench.seen.inventory.targets.values().filter(|known| {
        let is_its = known.id == *target || known.container.as_deref() == Some(container);
        known.id.kind() == TargetKind::Postgres && is_its
    });
    for database in databases {
        let report = bench.seen.report.target(&database.id);
        if let Some(Ok(TargetFacts::Postgres(facts))) = report.map(|report| &report.state.facts)
            && let Some(program) = facts.backups.first()
        {
            return Some(format!("`{program}` is connected to `{}`", database.id));
        }
    }
    None
}

fn backup_among(processes: &[String], container: &str) -> Option<String> {
    let program = processes.iter().find_map(|command| {
        let mut words = command.split_whitespace();
        let named = |word: &str| {
            let name = word.rsplit('/').next()?;
            BACKUP_PROGRAMS.into_iter().find(|known| *known == name)
        };
        let first = words.next()?;
        // Some are scripts: then their interpreter comes first.
        let program = named(first).or_else(|| named(words.next()?))?;
        // These wait for others to back something up, and never end.
        let serves = words.next().is_some_and(|word| word == "server" || word == "serve");
        let is_argument = program != first.rsplit('/').next()? && !is_interpreter(first);
        (!serves && !is_argument).then_some(program)
    })?;
    Some(format!("`{program}` runs in `container:{container}`"))
}

fn is_interpreter(word: &str) -> bool {
    let name = word.rsplit('/').next().unwrap_or(word);
    ["python", "perl", "ruby", "sh", "bash"].iter().any(|known| name.starts_with(known))
}

/// Whether both name the same image; a name without a tag means `latest`.
fn same_image(one: &str, other: &str) -> bool {
    fn whole(name: &str) -> (&str, &str) {
        let name = name.strip_prefix("docker.io/").unwrap_or(name);
        let name = name.strip_prefix("library/").unwrap_or(name);
        let after_host = name.rfind('/').map_or(0, |slash| slash + 1);
        if name[after_host..].contains('@') {
            return (name, "");
        }
        match name[after_host..].rfind(':') {
            Some(colon) => (&name[..after_host + colon], &name[after_host + colon + 1..]),
            None => (name, "latest"),
        }
    }
    whole(one) == whole(other)
}

/// A container of the same project that was just made or removed, in words.
fn deployment(bench: &Bench<'_>, facts: &ContainerFacts) -> Option<String> {
    let project = facts.labels.get(PROJECT);
    let same_project = |id: &TargetId| {
        id.name() == facts.name
            || project.is_some_and(|project| {
                bench
                    .seen
                    .inventory
                    .containers
                    .get(id.name())
                    .is_some_and(|other| other.labels.get(PROJECT) == Some(project))
            })
    };
    bench
        .seen
        .events
        .iter()
        .filter(|(id, _)| same_project(id))
        .flat_map(|(_, events)| events)
        .filter(|e| matches!(e.kind, RuntimeEventKind::Create | RuntimeEventKind::Destroy))
        .filter(|e| !e.by_selfheal && e.at > bench.seen.now - DEPLOYMENT)
        .map(|e| {
            let age = (bench.seen.now - e.at).num_seconds();
            format!("`{}` was {} {age} s ago", e.target, verb(&e.kind))
        })
        .next()
}

const fn verb(kind: &RuntimeEventKind) -> &'static str {
    if matches!(kind, RuntimeEventKind::Create) { "made" } else { "removed" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_tag_or_a_registry_is_the_same_image() {
        assert!(same_image("nginx:latest", "nginx"));
        assert!(same_image("docker.io/library/nginx:1.25", "nginx:1.25"));
        assert!(same_image("localhost:5000/shop", "localhost:5000/shop:latest"));
        assert!(!same_image("nginx:1.25", "nginx:1.26"));
        assert!(!same_image("shop@sha256:aa", "shop"));
        assert!(!same_image("localhost:5000/shop", "shop"));
    }

    #[test]
    fn a_backup_is_known_by_its_program_and_not_by_a_word() {
        let found = |command: &str| backup_among(&[command.to_owned()], "db");
        let words = found("/usr/bin/pg_dump -U shop shop").unwrap();
        assert_eq!(words, "`pg_dump` runs in `container:db`");
        assert!(found("/usr/bin/python3 /usr/bin/borg create ::{now} /data").is_some());
        assert!(found("borg create ::{now} /data").is_some());
        for waiting in ["pgbackrest server", "/usr/bin/python3 /usr/bin/borg serve", "borg serve"] {
            assert_eq!(found(waiting), None, "{waiting}");
        }
        assert_eq!(found("grep pg_dump /var/log/cron"), None);
        assert_eq!(found("postgres: shop shop [local] COPY"), None);
        assert_eq!(found(""), None);
    }
}
