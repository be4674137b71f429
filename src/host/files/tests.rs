use super::*;

use std::os::unix::fs::symlink;
use std::process::Command;

use tempfile::TempDir;

/// A folder with one file in it.
struct Fixture {
    folder: TempDir,
    files: LocalFiles,
}

impl Fixture {
    fn with(content: &[u8]) -> Self {
        let fixture = Self { folder: tempfile::tempdir().unwrap(), files: LocalFiles::new() };
        std::fs::write(fixture.path("app.json"), content).unwrap();
        fixture
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    async fn read(&self) -> FileContent {
        self.files.read(&self.path("app.json")).await.unwrap()
    }

    fn on_disk(&self) -> Vec<u8> {
        std::fs::read(self.path("app.json")).unwrap()
    }

    fn inode(&self) -> u64 {
        std::fs::metadata(self.path("app.json")).unwrap().ino()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn changed(content: &FileContent, bytes: &[u8]) -> FileContent {
    FileContent { bytes: bytes.to_vec(), sha256: sha256(bytes), ..content.clone() }
}

#[tokio::test]
async fn a_replaced_file_holds_the_new_content_and_leaves_nothing_beside_it() {
    let fixture = Fixture::with(b"{\"a\": 1}");
    let before = fixture.read().await;
    let after = changed(&before, b"{\"a\": 2}");
    fixture.files.replace(&after, Some(&before.sha256)).await.unwrap();
    assert_eq!(fixture.on_disk(), b"{\"a\": 2}");
    assert_eq!(fixture.read().await.sha256, after.sha256);
    assert_eq!(fixture.names(), ["app.json"]);
}

#[tokio::test]
async fn mode_and_owner_stay() {
    let fixture = Fixture::with(b"x");
    let path = fixture.path("app.json");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    // Only root may give a file away; others keep their own.
    let owner = if fixture.read().await.uid == 0 { 12_345 } else { fixture.read().await.uid };
    std::os::unix::fs::chown(&path, Some(owner), None).unwrap();
    let before = fixture.read().await;
    assert_eq!((before.mode, before.uid), (0o640, owner));
    fixture.files.replace(&changed(&before, b"y"), Some(&before.sha256)).await.unwrap();
    let after = fixture.read().await;
    assert_eq!((after.mode, after.uid, after.gid), (before.mode, before.uid, before.gid));
}

#[tokio::test]
async fn a_file_somebody_else_changed_is_left_alone() {
    let fixture = Fixture::with(b"ours");
    let before = fixture.read().await;
    std::fs::write(fixture.path("app.json"), b"theirs").unwrap();
    let refused = fixture.files.replace(&changed(&before, b"new"), Some(&before.sha256)).await;
    assert!(matches!(refused, Err(WorldError::Conflict { .. })), "{refused:?}");
    assert_eq!(fixture.on_disk(), b"theirs");
}

#[tokio::test]
async fn a_file_mounted_by_itself_keeps_its_inode() {
    let fixture = Fixture::with(b"a longer content than the new one");
    fixture.files.set_in_place([fixture.path("app.json")].into());
    assert!(fixture.files.in_place(&fixture.path("app.json")));
    let (before, inode) = (fixture.read().await, fixture.inode());
    fixture.files.replace(&changed(&before, b"short"), Some(&before.sha256)).await.unwrap();
    assert_eq!(fixture.on_disk(), b"short");
    assert_eq!(fixture.inode(), inode);
}

#[tokio::test]
async fn a_deleted_file_is_put_back() {
    let fixture = Fixture::with(b"good");
    let before = fixture.read().await;
    std::fs::remove_file(fixture.path("app.json")).unwrap();
    let expecting = fixture.files.replace(&before, Some(&before.sha256)).await;
    assert!(matches!(expecting, Err(WorldError::NotFound { .. })), "{expecting:?}");
    fixture.files.replace(&before, None).await.unwrap();
    assert_eq!(fixture.on_disk(), b"good");
}

#[tokio::test]
async fn a_link_may_lead_within_the_folder_but_not_out_of_it() {
    let fixture = Fixture::with(b"inside");
    let outside = Fixture::with(b"outside");
    symlink(fixture.path("app.json"), fixture.path("near")).unwrap();
    symlink(outside.path("app.json"), fixture.path("far")).unwrap();
    assert_eq!(fixture.files.read(&fixture.path("near")).await.unwrap().bytes, b"inside");
    let refused = fixture.files.read(&fixture.path("far")).await;
    assert!(matches!(refused, Err(WorldError::Denied { .. })), "{refused:?}");
    let content = FileContent { path: fixture.path("far"), ..outside.read().await };
    let refused = fixture.files.replace(&changed(&content, b"taken"), None).await;
    assert!(matches!(refused, Err(WorldError::Denied { .. })), "{refused:?}");
    assert_eq!(outside.on_disk(), b"outside");
}

#[tokio::test]
async fn a_linked_folder_below_a_declared_root_may_not_lead_out_of_the_root() {
    let fixture = Fixture::with(b"inside");
    let outside = Fixture::with(b"outside");
    fixture.files.set_roots([fixture.path("")].into());
    symlink(outside.folder.path(), fixture.path("conf")).unwrap();
    let refused = fixture.files.read(&fixture.path("conf/app.json")).await;
    assert!(matches!(refused, Err(WorldError::Denied { .. })), "{refused:?}");
}

#[tokio::test]
async fn replacing_a_link_changes_the_file_it_leads_to() {
    let fixture = Fixture::with(b"old");
    symlink("app.json", fixture.path("current")).unwrap();
    let before = fixture.files.read(&fixture.path("current")).await.unwrap();
    fixture.files.replace(&changed(&before, b"new"), Some(&before.sha256)).await.unwrap();
    assert_eq!(fixture.on_disk(), b"new");
    assert!(Path::new(&fixture.path("current")).is_symlink());
}

#[tokio::test]
async fn what_is_not_a_small_regular_file_is_refused_at_once() {
    let fixture = Fixture::with(b"");
    let pipe = fixture.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let large = fixture.path("large");
    File::create(&large).unwrap().set_len(LARGEST_BYTES + 1).unwrap();
    for path in [pipe, large, fixture.folder.path().to_str().unwrap().to_owned()] {
        let refused = fixture.files.read(&path).await;
        assert!(matches!(refused, Err(WorldError::Refused { .. })), "{path}: {refused:?}");
    }
    for path in ["relative/app.json", "/etc/../etc/passwd"] {
        let refused = fixture.files.read(path).await;
        assert!(matches!(refused, Err(WorldError::Refused { .. })), "{path}: {refused:?}");
    }
    let missing = fixture.files.read(&fixture.path("missing")).await.unwrap_err();
    assert_eq!(missing.to_string(), format!("the file {} does not exist", fixture.path("missing")));
}

/// A small file system of memory, gone at the end of the test.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None`, with a loud word, where mounting is not permitted.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
            .arg(folder.path())
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        let _ = writeln!(io::stderr(), "SKIPPED: no permission to mount a small file system");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_leaves_the_old_content() {
    let Some(disk) = SmallDisk::mount() else { return };
    let path = disk.0.path().join("app.conf").to_str().unwrap().to_owned();
    let old = vec![b'o'; 8 * 1024];
    for in_place in [false, true] {
        std::fs::write(&path, &old).unwrap();
        let files = LocalFiles::new();
        if in_place {
            files.set_in_place([path.clone()].into());
        }
        let before = files.read(&path).await.unwrap();
        let too_much = changed(&before, &vec![b'n'; 128 * 1024]);
        let failed = files.replace(&too_much, Some(&before.sha256)).await;
        assert!(matches!(failed, Err(WorldError::Refused { .. })), "{failed:?}");
        assert!(std::fs::read(&path).unwrap() == old, "in place: {in_place}");
        assert_eq!(std::fs::read_dir(disk.0.path()).unwrap().count(), 1, "no rest of the try");
    }
}

#[tokio::test]
async fn a_folder_lists_its_configuration_files_and_a_file_itself() {
    let fixture = Fixture::with(b"{}");
    for name in [".env", "b.YAML", "settings.py", "main.py", "data.db", "README"] {
        std::fs::write(fixture.path(name), b"").unwrap();
    }
    std::fs::create_dir(fixture.path("folder.conf")).unwrap();
    let folder = fixture.folder.path().to_str().unwrap();
    let wanted = [".env", "app.json", "b.YAML", "settings.py"].map(|name| fixture.path(name));
    assert_eq!(fixture.files.list(folder).await.unwrap(), wanted);
    let database = fixture.path("data.db");
    assert_eq!(fixture.files.list(&database).await.unwrap(), [database]);
    let missing = fixture.files.list(&fixture.path("missing")).await;
    assert!(matches!(missing, Err(WorldError::NotFound { .. })), "{missing:?}");
}
