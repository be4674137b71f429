use std::fs::File;
use std::time::SystemTime;

use selfheal_agents::fakes::start_time;
use selfheal_agents::model::{Confidence, FixId, IncidentId, LogAside, LogFolder, TargetId};
use uuid::Uuid;

use super::*;

/// A vault in a folder of its own, and its copies of trimmed logs.
fn vault() -> (tempfile::TempDir, Vault) {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::new(dir.path());
    for made in [&vault.blobs, &vault.copies] {
        std::fs::create_dir_all(made).unwrap();
    }
    (dir, vault)
}

/// A copy that was written so long ago.
fn copy(vault: &Vault, name: &str, age: Duration) -> String {
    let path = vault.copies.join(name);
    std::fs::write(&path, name).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
    path.to_string_lossy().into_owned()
}

/// The backup of a fix that trimmed logs, of which these copies were kept.
fn of_logs(serial: u32, copies: &[&str]) -> Backup {
    let file = |copy: &&str| LogAside {
        name: "app.log".to_owned(),
        bytes: 4,
        sha256: None,
        ends: None,
        copy: Some((*copy).to_owned()),
    };
    let folder = LogFolder { root: "/srv/log".to_owned(), below: String::new() };
    Backup {
        id: BackupId::at(start_time(), serial),
        at: start_time(),
        incident: IncidentId(Uuid::nil()),
        fix: FixId(Uuid::nil()),
        target: TargetId::container("web"),
        fix_type: "logs.trim".to_owned(),
        reason: "make room".to_owned(),
        confidence: Confidence::literal(90),
        captured: vec![Captured::Logs { folder, files: copies.iter().map(file).collect() }],
        left_behind: vec![None],
        rolled_back_at: None,
    }
}

fn kept(vault: &Vault) -> Vec<String> {
    let mut names = files::names(&vault.copies).unwrap();
    names.sort();
    names
}

#[test]
fn a_copy_of_a_log_stays_as_long_as_a_backup_that_names_it() {
    let (_dir, vault) = vault();
    let year = Duration::from_hours(24 * 365);
    let [one, shared] = ["one", "shared"].map(|name| copy(&vault, name, year));
    let first = vault.save(&of_logs(1, &[&one, &shared])).unwrap();
    vault.save(&of_logs(2, &[&shared])).unwrap();
    assert_eq!(vault.remove_where(|_| false).unwrap(), 0);
    assert_eq!(kept(&vault), ["one", "shared"], "however old they are");
    assert_eq!(vault.remove_where(|backup| backup.id == first).unwrap(), 1);
    assert_eq!(kept(&vault), ["shared"]);
    assert_eq!(vault.remove_where(|_| true).unwrap(), 1);
    assert_eq!(kept(&vault), Vec::<String>::new());
}

#[test]
fn a_copy_that_no_backup_names_yet_goes_only_when_none_is_being_made_of_it_any_more() {
    let (_dir, vault) = vault();
    copy(&vault, "new", Duration::from_mins(5));
    copy(&vault, ".left-over", Duration::from_hours(2));
    vault.remove_where(|_| false).unwrap();
    assert_eq!(kept(&vault), ["new"]);
}

#[test]
fn where_a_backup_cannot_be_read_every_copy_stays() {
    let (_dir, vault) = vault();
    copy(&vault, "old", Duration::from_hours(2));
    let id = vault.save(&of_logs(1, &[])).unwrap();
    std::fs::write(vault.dir.join(id.as_str()).join(MANIFEST), "torn").unwrap();
    vault.remove_where(|_| true).unwrap();
    assert_eq!(kept(&vault), ["old"]);
}

#[test]
fn without_a_copy_ever_made_nothing_is_missed() {
    let (_dir, vault) = vault();
    std::fs::remove_dir(&vault.copies).unwrap();
    assert_eq!(vault.remove_where(|_| false).unwrap(), 0);
}
