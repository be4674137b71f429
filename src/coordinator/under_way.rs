//! What others are doing to a target right now, that a fix would spoil.
//!
//! Asked of the world when a fix is about to be decided on, not at every look: no event tells
//! of a program that runs inside a container, and a pull names no container.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::{join, join_all};
use selfheal_agents::model::{ContainerFacts, Fix, Hold, TargetId, clean, engine_of};
use selfheal_agents::ports::{WorldError, WorldResult};

use super::circumstances::data_servers;
use super::cycle::Bench;
use super::deployments::deployment;
use super::state::Inner;

/// How long whoever waits for the decision waits for this, too.
const PATIENCE: Duration = Duration::from_secs(3);
/// An image pulled this recently is about to be used: whoever pulls it makes the containers anew
/// when all images of the stack are there.
const IMAGE_UPDATE: TimeDelta = TimeDelta::seconds(60);

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
    /// A deployment or image update.
    pub(super) deployment: Option<Hold>,
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
        if containers.is_empty() {
            return found;
        }
        let engines: BTreeMap<_, _> =
            containers.keys().map(|name| (engine_of(name), *name)).collect();
        let pulls = |beside| in_time("whether an image was pulled", self.pulls(beside, bench));
        let pulls = join_all(engines.values().copied().map(pulls));
        let ask = |facts| in_time("whether a backup runs in it", self.backed_up(facts));
        let (pulls, backups) = join(pulls, join_all(containers.values().copied().map(ask))).await;
        let pulls = pulls.into_iter().map(|pulls| found.known(pulls).unwrap_or_default());
        let pulls: BTreeMap<_, _> = engines.into_keys().zip(pulls).collect();
        for ((name, facts), backup) in containers.into_iter().zip(backups) {
            let seen = found.deployment.take().or_else(|| deployment(bench.seen, facts));
            let pulls = pulls.get(&engine_of(name)).map_or(&[][..], Vec::as_slice);
            found.deployment = seen.or_else(|| just_pulled(pulls, facts));
            let backup = found.known(backup).flatten();
            found.backup = found.backup.take().or(backup);
        }
        found
    }

    /// The images that were just pulled on the engine of a container.
    async fn pulls(&self, beside: &str, bench: &Bench<'_>) -> WorldResult<Vec<String>> {
        match self.world.runtime.pulls(beside, bench.seen.now - IMAGE_UPDATE).await {
            // Somebody keeps events from us for good; nobody would ever be healed.
            Err(WorldError::Denied { .. } | WorldError::Refused { .. }) => Ok(vec![]),
            answer => answer,
        }
    }

    /// Whether a backup runs in it, in words.
    async fn backed_up(&self, container: &ContainerFacts) -> WorldResult<Option<String>> {
        if container.is_down() {
            return Ok(None);
        }
        match self.world.runtime.processes(&container.name).await {
            Ok(processes) => Ok(backup_among(&processes, &container.name)),
            // It has ended since, or the host has no `ps`: then the databases' own word must do.
            Err(WorldError::NotFound { .. } | WorldError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl UnderWay {
    /// The answer; without one, what is not known is noted.
    fn known<T>(&mut self, answer: Result<T, String>) -> Option<T> {
        answer.map_err(|unknown| self.unknown = Some(unknown)).ok()
    }
}

/// The answer, or in words what is not known without it.
async fn in_time<T>(
    what: &str,
    question: impl Future<Output = WorldResult<T>>,
) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, question).await {
        Ok(answer) => answer.map_err(|error| format!("{what} ({error})")),
        Err(_) => Err(format!("{what} (no answer within {PATIENCE:?})")),
    }
}

/// What was pulled for it; when that was, nobody says.
fn just_pulled(pulls: &[String], container: &ContainerFacts) -> Option<Hold> {
    let ours = pulls.iter().find(|image| same_image(image, &container.image));
    ours.map(|image| Hold::DeploymentUnderWay {
        seen: format!("the image `{}` was just pulled", clean(image, 200)),
        until: None,
    })
}

/// A dump, base backup or restore that a database serves: also one that runs elsewhere.
fn dump_in_database(bench: &Bench<'_>, target: &TargetId, container: &str) -> Option<String> {
    data_servers(bench, target, Some(container)).find_map(|(id, known)| match known {
        Some(Ok(facts)) => {
            let program = facts.database()?.backups.first()?;
            Some(format!("`{program}` is connected to `{id}`"))
        }
        _ => None,
    })
}

fn backup_among(processes: &[String], container: &str) -> Option<String> {
    let program = processes.iter().find_map(|command| {
        let mut words = command.split_whitespace();
        let first = program_of(words.next()?);
        // Some are scripts: then their interpreter comes first.
        let program = if is_interpreter(first) { program_of(words.next()?) } else { first };
        // These wait for others to back something up, and never end.
        let serves = words.next().is_some_and(|word| word == "server" || word == "serve");
        (BACKUP_PROGRAMS.contains(&program) && !serves).then_some(program)
    })?;
    Some(format!("`{program}` runs in `container:{container}`"))
}

fn program_of(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

fn is_interpreter(program: &str) -> bool {
    ["python", "perl", "ruby", "sh", "bash"].iter().any(|known| program.starts_with(known))
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
