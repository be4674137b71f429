//! What is put away, read across files, and removed.

use chrono::TimeDelta;

use super::*;
use crate::audit::kept;

const KEEP: Duration = Duration::from_hours(24);

fn hour(hour: i64) -> Timestamp {
    "2026-11-22T12:00:00Z".parse::<Timestamp>().unwrap() + TimeDelta::hours(hour)
}

fn hourly(at: i64) -> Act {
    Act::of_selfheal(hour(at), "held").on("container:web").saying(format!("hour {at}"))
}

/// A log of an entry an hour, looked after as a daemon does it, with entries kept for a day.
async fn of_hours(hours: i64) -> (TempDir, Arc<MemoryStore>, Audit) {
    let (dir, store, audit) = log(0).await;
    for at in 0..hours {
        assert!(audit.write(&[hourly(at)]).await);
        audit.tidy(hour(at), KEEP).await;
    }
    (dir, store, audit)
}

fn away(dir: &TempDir) -> Vec<std::path::PathBuf> {
    kept::put_away(dir.path()).unwrap().into_iter().map(|away| away.path).collect()
}

#[tokio::test]
async fn the_chain_goes_on_across_files_for_whoever_writes_reads_or_verifies() {
    let (dir, store, audit) = of_hours(13).await;
    let files = away(&dir);
    assert_eq!(files.len(), 3, "{files:?}");
    // The command line writes first after one was put away, and into none that is there.
    audit.tidy(hour(20), KEEP).await;
    assert!(!dir.path().join(FILE).exists());
    append_alone(dir.path(), &hourly(13)).unwrap();
    assert_eq!(audit.witness().await.unwrap().seq, 14);
    audit.tidy(hour(23), KEEP).await;
    assert!(audit.write(&[hourly(14)]).await);
    drop(audit);
    let audit = started(&dir, &store).await;
    assert!(audit.write(&[hourly(15)]).await);
    let seen = verdict(&dir, &store).await;
    assert_eq!((seen.entries, seen.begins, seen.faults.len()), (16, None, 0), "{seen:?}");
    for limit in [1, 3, 100] {
        let newest = audit.newest(limit).await.unwrap();
        let told: Vec<u64> = newest.iter().map(|entry| entry.seq).collect();
        assert_eq!(told, (1..=16).rev().take(limit).collect::<Vec<_>>());
    }
    let all = entries(&read(dir.path()).unwrap());
    assert!(all.iter().map(|entry| entry.seq).eq(1..=16));
}

#[tokio::test]
async fn what_is_wrong_in_a_file_that_was_put_away_is_told_with_its_name() {
    let (dir, store, _audit) = of_hours(13).await;
    let [first, second, _] = &away(&dir)[..] else { panic!("three files") };
    let (one, other) = (std::fs::read_to_string(first).unwrap(), std::fs::read(second).unwrap());
    let name = first.file_name().unwrap().to_str().unwrap();

    std::fs::write(first, one.replace("hour 1", "hour 7")).unwrap();
    let seen = verdict(&dir, &store).await;
    assert_eq!(seen.faults, [format!("line 2 of {name} was altered")]);

    std::fs::write(first, &one[..one.len() - 9]).unwrap();
    let seen = verdict(&dir, &store).await;
    assert_eq!(seen.faults[0], format!("the end of {name} is cut off"), "{seen:?}");
    std::fs::write(first, one).unwrap();

    std::fs::remove_file(second).unwrap();
    let seen = verdict(&dir, &store).await;
    assert!(seen.faults[0].starts_with("entries 5 to 8 are removed before line 1 of"), "{seen:?}");
    std::fs::write(second, other).unwrap();

    std::fs::remove_file(first).unwrap();
    let seen = verdict(&dir, &store).await;
    assert_eq!(seen.faults, ["entries 1 to 4 are removed before line 1"]);
}

#[tokio::test]
async fn what_is_old_is_removed_with_a_word_and_what_is_removed_without_one_is_missed() {
    let (dir, store, audit) = of_hours(40).await;
    let seen = verdict(&dir, &store).await;
    let begins = seen.begins.unwrap();
    assert!(seen.faults.is_empty() && begins > 10, "{seen:?}");
    let all = entries(&read(dir.path()).unwrap());
    assert_eq!(all[0].seq, begins);
    assert!(all[0].at < hour(39) - TimeDelta::hours(20), "{:?}", all[0]);
    assert!(all.iter().all(|entry| entry.at > hour(39) - TimeDelta::hours(29)), "{:?}", all[0]);
    let told: Vec<_> = all.iter().filter(|entry| entry.act == kept::SHORTENED).collect();
    let last = told.last().unwrap();
    assert!(last.detail.starts_with(&format!("{}:{}", begins - 1, all[0].previous)), "{last:?}");
    assert!(last.detail.ends_with("all before it are removed: entries are kept for 1day"));

    let older = Head { seq: 2, hash: "0".repeat(64) };
    let seen = Log::open(dir.path()).and_then(|log| log.verify(&[older])).unwrap();
    assert!(seen.faults[0].starts_with("entry 2 cannot be compared: it is no longer kept"));

    std::fs::remove_file(&away(&dir)[0]).unwrap();
    let seen = verdict(&dir, &store).await;
    assert!(seen.begins.is_none() && seen.faults.len() == 1, "{seen:?}");
    assert!(seen.faults[0].starts_with("entries 1 to "), "{seen:?}");
    drop(audit);
}

#[tokio::test]
async fn a_removal_that_was_cut_off_is_told_again_and_done() {
    let (dir, store, audit) = of_hours(23).await;
    let oldest = away(&dir)[0].clone();
    let bytes = std::fs::read(&oldest).unwrap();
    audit.tidy(hour(30), KEEP).await;
    assert!(!oldest.exists());
    std::fs::write(&oldest, bytes).unwrap();
    assert_eq!(verdict(&dir, &store).await.faults, [""; 0]);
    audit.tidy(hour(30), KEEP).await;
    assert!(!oldest.exists());
    assert_eq!(verdict(&dir, &store).await.faults, [""; 0]);
}

#[tokio::test]
async fn of_more_than_is_kept_the_oldest_goes_first() {
    let (dir, ..) = of_hours(10).await;
    let outdated = |most| kept::outdated(dir.path(), hour(10), KEEP, most).unwrap();
    assert!(outdated(1024 * 1024).is_none());
    assert_eq!(outdated(1024).map(|outdated| outdated.path), away(&dir).first().cloned());
}

#[tokio::test]
async fn a_large_log_is_verified_and_its_end_read_in_little_memory() {
    let (dir, store, audit) = log(1).await;
    let acts: Vec<Act> = (0..10_000).map(hourly).collect();
    assert!(audit.write(&acts).await);
    let length = dir.path().join(FILE).metadata().unwrap().len();
    let head = head_in(store.as_ref()).await.unwrap();
    let mut entries = 0;
    let verifying = allocation_counter::measure(|| {
        let verdict = Log::open(dir.path()).and_then(|log| log.verify(head.as_slice()));
        entries = verdict.unwrap().entries;
    });
    assert_eq!(entries, 10_001);
    assert!(length > 2_500_000 && verifying.bytes_max < 200_000, "{length}: {verifying:?}");
    let asking = allocation_counter::measure(|| {
        let newest = Log::open(dir.path()).and_then(|log| log.newest(20));
        entries = newest.unwrap()[0].seq;
    });
    assert_eq!(entries, 10_001);
    assert!(asking.bytes_max < 300_000, "{asking:?}");
}

#[tokio::test(start_paused = true)]
async fn a_decision_that_could_not_be_written_waits_half_a_minute_and_an_act_does_not() {
    let (dir, _store, audit) = log(0).await;
    let path = dir.path().join(FILE);
    std::fs::create_dir(&path).unwrap();
    assert!(!audit.write_in_time(&[act(0)]).await);
    std::fs::remove_dir(&path).unwrap();
    tokio::time::advance(Duration::from_secs(29)).await;
    assert!(!audit.write_in_time(&[act(0)]).await);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(audit.write_in_time(&[act(0)]).await);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(!audit.write(&[act(1)]).await);
    std::fs::remove_dir(&path).unwrap();
    assert!(audit.write(&[act(1)]).await);
}

#[tokio::test]
async fn a_file_that_does_not_begin_with_an_entry_keeps_those_before_it_and_is_named() {
    let (dir, ..) = of_hours(13).await;
    let second = away(&dir)[1].clone();
    let text = std::fs::read_to_string(&second).unwrap();
    std::fs::write(&second, format!("spoilt{text}")).unwrap();
    let Err(error) = kept::outdated(dir.path(), hour(90), KEEP, kept::MOST_BYTES) else {
        panic!("it is not said that nothing is removed any more");
    };
    assert!(error.to_string().contains(&second.display().to_string()), "{error}");
}
