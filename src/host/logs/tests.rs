use std::io::Write as _;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

struct Place {
    folder: TempDir,
    aside: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), aside: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn root(&self) -> LogFolder {
        LogFolder { root: self.folder.path().to_string_lossy().into_owned(), below: String::new() }
    }

    fn logs(&self) -> LocalLogs {
        LocalLogs::new(self.aside.path().join("copies"))
    }

    async fn file(&self, name: &str) -> LogFile {
        let survey = self.logs().survey(&self.root()).await.unwrap();
        survey.files.into_iter().find(|file| file.name == name).unwrap()
    }
}

fn lines(count: usize) -> String {
    (0..count).map(|n| format!("line {n:06}\n")).collect()
}

#[tokio::test]
async fn the_end_of_a_log_stays_from_the_beginning_of_a_line_and_its_writer_goes_on() {
    let place = Place::new();
    let mut writer = File::options().create(true).append(true).open(place.path("app.log")).unwrap();
    writer.write_all(lines(10_000).as_bytes()).unwrap();
    writer.sync_all().unwrap();
    let file = place.file("app.log").await;
    place.logs().trim(&place.root(), &file, 30).await.unwrap();
    writer.write_all(b"after\n").unwrap();
    let text = std::fs::read_to_string(place.path("app.log")).unwrap();
    assert_eq!(text, "line 009998\nline 009999\nafter\n");
    assert!(place.file("app.log").await.taken_bytes < file.taken_bytes);
}

#[tokio::test]
async fn a_short_log_is_left_whole() {
    let place = Place::new();
    std::fs::write(place.path("app.log"), lines(3)).unwrap();
    let file = place.file("app.log").await;
    place.logs().trim(&place.root(), &file, 4096).await.unwrap();
    assert_eq!(std::fs::read_to_string(place.path("app.log")).unwrap(), lines(3));
}

#[tokio::test]
async fn a_copy_of_what_goes_is_kept_with_its_checksum() {
    let place = Place::new();
    std::fs::write(place.path("app.log.1"), lines(100)).unwrap();
    let file = place.file("app.log.1").await;
    let kept = place.logs().set_aside(&place.root(), &file).await.unwrap();
    place.logs().remove(&place.root(), &file).await.unwrap();
    place.logs().remove(&place.root(), &file).await.unwrap();
    assert!(!place.path("app.log.1").exists());
    assert_eq!(kept.bytes, lines(100).len() as u64);
    let sha256 = selfheal_agents::fix_engineer::config_file::sha256(lines(100).as_bytes());
    assert_eq!(kept.sha256, Some(sha256));
    // Where the machine of the test has room at all.
    if let Some(copy) = kept.copy {
        assert_eq!(std::fs::read_to_string(copy).unwrap(), lines(100));
    }
}

fn digest(text: &str) -> String {
    selfheal_agents::fix_engineer::config_file::sha256(text.as_bytes())
}

#[tokio::test]
async fn of_a_log_too_large_for_a_copy_the_checksum_is_taken_down() {
    let place = Place::new();
    std::fs::write(place.path("app.log"), lines(20_000)).unwrap();
    let file = place.file("app.log").await;
    let mut logs = place.logs();
    logs.patience.largest_copy = 1000;
    let kept = logs.set_aside(&place.root(), &file).await.unwrap();
    assert_eq!(kept.sha256, Some(digest(&lines(20_000))));
    assert_eq!((kept.copy, kept.ends), (None, None));
}

#[tokio::test]
async fn a_log_that_takes_too_long_to_read_is_known_by_its_ends() {
    let place = Place::new();
    // More than a beginning and an end: neither is the whole.
    let text = lines(200_000);
    std::fs::write(place.path("app.log"), &text).unwrap();
    let file = place.file("app.log").await;
    let mut logs = place.logs();
    logs.patience.reading = Duration::ZERO;
    let kept = logs.set_aside(&place.root(), &file).await.unwrap();
    assert_eq!((kept.sha256, kept.copy, kept.bytes), (None, None, text.len() as u64));
    let ends = kept.ends.unwrap();
    assert_eq!(ends.bytes, 1024 * 1024);
    assert_eq!(ends.first_sha256, digest(&text[..1024 * 1024]));
    assert_eq!(ends.last_sha256, digest(&text[text.len() - 1024 * 1024..]));
    let left = std::fs::read_dir(place.aside.path().join("copies"));
    assert!(left.map_or(0, Iterator::count) == 0, "no half a copy stays");
}

#[tokio::test]
async fn links_and_files_with_two_names_are_no_logs() {
    let place = Place::new();
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret.log");
    std::fs::write(&secret, "secret").unwrap();
    symlink(&secret, place.path("linked.log")).unwrap();
    std::fs::hard_link(&secret, place.path("twice.log")).unwrap();
    symlink(outside.path(), place.path("sub")).unwrap();
    std::fs::write(place.path("data.db"), "data").unwrap();
    assert_eq!(place.logs().survey(&place.root()).await.unwrap().files, vec![]);
    let through = LogFolder { below: "sub".to_owned(), ..place.root() };
    assert!(place.logs().survey(&through).await.is_err(), "a linked folder is not entered");
    let up = LogFolder { below: "..".to_owned(), ..place.root() };
    assert!(place.logs().survey(&up).await.is_err());
}

#[tokio::test]
async fn a_file_that_was_swapped_for_a_link_or_another_is_not_touched() {
    let place = Place::new();
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret.log");
    std::fs::write(&secret, "secret").unwrap();
    std::fs::write(place.path("app.log"), lines(100)).unwrap();
    std::fs::write(place.path("app.log.1"), lines(100)).unwrap();
    let (current, rotated) = (place.file("app.log").await, place.file("app.log.1").await);
    for name in ["app.log", "app.log.1"] {
        std::fs::remove_file(place.path(name)).unwrap();
        symlink(&secret, place.path(name)).unwrap();
    }
    let logs = place.logs();
    assert!(logs.trim(&place.root(), &current, 0).await.is_err());
    assert!(logs.remove(&place.root(), &rotated).await.is_err());
    assert!(logs.set_aside(&place.root(), &current).await.is_err());
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "secret");
    assert!(place.path("app.log.1").is_symlink());
}
