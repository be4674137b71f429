//! The labelled set: what the repository has of real programs, in trouble and well.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads files")]

use std::fs;
use std::path::{Path, PathBuf};

use selfheal_agents::error_detector::{Catalogue, Keep};
use selfheal_agents::model::{Provenance, Runbook, Severity};

/// Technologies whose lines are left out of sight while levels and words of failure are written:
/// half of those with captured lines. Their runbooks were written from these lines, so runbooks
/// are not judged by them alone.
pub(crate) const KEPT_ASIDE: [&str; 16] = [
    "caddy",
    "dns",
    "erlang",
    "etcd",
    "grpc",
    "haproxy",
    "memcached",
    "mosquitto",
    "nats",
    "perl",
    "pgbouncer",
    "php",
    "rabbitmq",
    "redis",
    "systemd",
    "tls",
];

/// What a program writes that is well.
pub(crate) struct Healthy {
    /// The folder of its runbooks.
    pub(crate) technology: String,
    /// Each form of line up to three times, in the order of the program's life.
    pub(crate) lines: Vec<String>,
}

pub(crate) fn is_kept_aside(technology: &str) -> bool {
    KEPT_ASIDE.contains(&technology)
}

/// Whether a runbook's lines are in the set: captured from the real program, and of trouble.
pub(crate) fn is_labelled(runbook: &Runbook) -> bool {
    runbook.status == Provenance::Reproduced
        && runbook.severity >= Severity::Warning
        && !runbook.examples.matching.is_empty()
}

/// Every runbook, with its examples.
pub(crate) fn catalogue() -> Catalogue {
    let root = root().join("knowledge");
    let folders = below(&root).into_iter().filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| below(&folder)).map(|path| {
        let name = path.strip_prefix(&root).expect("it lies below").to_string_lossy().into_owned();
        (name, fs::read_to_string(&path).expect("a runbook can be read"))
    });
    Catalogue::load_over([], files, Keep::Everything).0
}

/// The logs of programs that are well.
pub(crate) fn healthy() -> Vec<Healthy> {
    let of = |path: &PathBuf| {
        let name = path.file_stem().expect("a log has a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(path).expect("a log can be read");
        let technology = if name == "mariadb" { "mysql".to_owned() } else { name };
        Healthy { technology, lines: text.lines().map(str::to_owned).collect() }
    };
    below(&root().join("tests/knowledge/healthy")).iter().map(of).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What a folder holds, always in the same order.
fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("an entry can be read").path()).collect();
    paths.sort();
    paths
}
