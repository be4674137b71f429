use std::io::Read as _;
use std::os::unix::fs::PermissionsExt;

use selfheal_agents::fakes::MemoryStore;
use tempfile::TempDir;

use super::*;

mod kept;

fn read(dir: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    Log::open(dir)?.text().read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn verify(bytes: &[u8], witnesses: &[Head]) -> Verdict {
    Log::of(bytes.to_vec()).verify(witnesses).unwrap()
}

fn entries(bytes: &[u8]) -> Vec<Entry> {
    bytes.split(|byte| *byte == b'\n').filter_map(Entry::read).collect()
}

/// What the daemon does at its start.
async fn started(dir: &TempDir, store: &Arc<MemoryStore>) -> Audit {
    let audit = Audit::open(dir.path(), store.clone()).await;
    audit.examine().await;
    audit
}

/// Leaves the first four entries of a log and has so many appended without the store.
fn cut_to_four_and_append_alone(dir: &Path, alone: usize) {
    let path = dir.join(FILE);
    let text = std::fs::read_to_string(&path).unwrap();
    let left: String = text.split_inclusive('\n').take(4).collect();
    std::fs::write(&path, left).unwrap();
    for number in 0..alone {
        append_alone(dir, &act(number)).unwrap();
    }
}

fn act(number: usize) -> Act {
    let at = "2026-11-22T12:00:00Z".parse().unwrap();
    let by = By { who: format!("anna-{}", number % 3), via: Via::Api };
    Act::new(at, by, "approve").on("container:web").saying(format!("for the {number}th time"))
}

/// A log of so many entries in a folder, and the store that knows its end.
async fn log(entries: usize) -> (TempDir, Arc<MemoryStore>, Audit) {
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::<MemoryStore>::default());
    let audit = Audit::open(dir.path(), store.clone()).await;
    for number in 0..entries {
        assert!(audit.write(&[act(number)]).await);
    }
    (dir, store, audit)
}

async fn verdict(dir: &TempDir, store: &MemoryStore) -> Verdict {
    let head = head_in(store).await.unwrap();
    Log::open(dir.path()).and_then(|log| log.verify(head.as_slice())).unwrap()
}

/// Numbers that look like chance and are the same each time (SplitMix64).
struct Random(u64);

impl Random {
    /// The next one, below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }
}

/// A different log by one mutation, as a person, a disk or a program might make it.
fn mutated(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut upto = |end: usize| random.below(end);
    let mut lines: Vec<Vec<u8>> =
        bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let (one, other, at) = (upto(lines.len()), upto(lines.len()), upto(bytes.len()));
    let mut mutant = bytes.to_vec();
    match upto(9) {
        0 => mutant[at] ^= 1 << upto(8),
        1 => mutant.truncate(at),
        2 => drop(mutant.remove(at)),
        3 => mutant.insert(at, u8::try_from(upto(256)).unwrap()),
        4 => drop(mutant.drain(at..(at + upto(900)).min(bytes.len()))),
        kind => {
            match kind {
                5 => drop(lines.remove(one)),
                6 => lines.swap(one, other),
                7 => lines.insert(other, lines[one].clone()),
                _ => lines.truncate(one),
            }
            mutant = lines.concat();
        }
    }
    mutant
}

#[tokio::test]
async fn ten_thousand_mutations_and_truncations_are_all_found() {
    let (dir, store, _audit) = log(40).await;
    let bytes = read(dir.path()).unwrap();
    let head = head_in(store.as_ref()).await.unwrap();
    let whole = verify(&bytes, head.as_slice());
    assert_eq!((whole.entries, whole.faults.len(), whole.torn_bytes), (40, 0, 0), "{whole:?}");
    let mut random = Random(13);
    let (mut tried, mut torn_alone) = (0, 0);
    while tried < 10_000 {
        let mutant = mutated(&bytes, &mut random);
        if mutant == bytes {
            continue;
        }
        tried += 1;
        let verdict = verify(&mutant, head.as_slice());
        // What is put behind the last entry looks as a crash does, and is told.
        let is_behind = verdict.faults.is_empty() && verdict.torn_bytes > 0;
        torn_alone += usize::from(is_behind);
        assert!(!verdict.faults.is_empty() || is_behind, "{}", String::from_utf8_lossy(&mutant));
        assert!(!is_behind || mutant.starts_with(&bytes));
    }
    assert!(torn_alone < 10, "{torn_alone}");
}

#[tokio::test]
async fn a_log_that_is_forged_as_a_whole_is_found_by_a_head_that_was_noted_elsewhere() {
    let (dir, store, audit) = log(5).await;
    let noted = audit.witness().await.unwrap();
    audit.write(&[act(5)]).await;
    assert_eq!(verify(&read(dir.path()).unwrap(), std::slice::from_ref(&noted)).faults, [""; 0]);
    let (forged, _, _) = log(4).await;
    for _ in 4..8 {
        append_alone(forged.path(), &act(9)).unwrap();
    }
    let forged = verify(&read(forged.path()).unwrap(), &[noted]);
    assert_eq!(forged.entries, 8);
    assert_eq!(forged.faults.len(), 1, "{forged:?}");
    assert!(forged.faults[0].starts_with("entry 5 is another than was known"), "{forged:?}");
    assert!(verdict(&dir, &store).await.faults.is_empty());
}

#[tokio::test]
async fn what_is_wrong_is_said_with_the_entry_that_it_is_about() {
    let (dir, store, _audit) = log(6).await;
    let text = String::from_utf8(read(dir.path()).unwrap()).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let head = head_in(store.as_ref()).await.unwrap();
    let said =
        |lines: &[&str]| verify(lines.concat().as_bytes(), head.as_slice()).faults.join("; ");
    let altered = lines[2].replace("3th", "4th").replace("2th", "9th");
    let with = |at: usize, line: &'static str| {
        let mut lines = lines.clone();
        lines[at] = line;
        said(&lines)
    };
    assert_eq!(
        said(&[lines[0], lines[1], &altered, lines[3], lines[4], lines[5]]),
        "line 3 was altered"
    );
    assert_eq!(with(1, ""), "entry 2 is removed before line 2");
    assert_eq!(said(&[lines[0], lines[4], lines[5]]), "entries 2 to 4 are removed before line 2");
    assert_eq!(said(&lines[..5]), "the last entry, 6, is removed");
    assert_eq!(said(&lines[..2]), "the last entries, 3 to 6, are removed");
    assert!(said(&[]).starts_with("all entries are removed: 6 were known"));
    let again = said(&[lines[0], lines[0], lines[1], lines[2], lines[3], lines[4], lines[5]]);
    assert!(again.starts_with("entry 1 (line 2) stands where entry 2 should"), "{again}");
}

#[tokio::test]
async fn a_line_that_a_crash_cut_off_is_no_tampering_and_is_repaired_with_a_word() {
    for left in [1, 60, 200] {
        let (dir, store, audit) = log(3).await;
        drop(audit);
        let path = dir.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        let mut torn = whole.clone();
        // The store is told after the line is on disk: it knows the one before.
        torn.extend_from_slice(&whole[..left]);
        std::fs::write(&path, &torn).unwrap();
        let seen = verdict(&dir, &store).await;
        assert_eq!((seen.faults.len(), seen.torn_bytes), (0, left), "{seen:?}");

        let audit = Audit::open(dir.path(), store.clone()).await;
        assert!(audit.write(&[act(3)]).await);
        let seen = verdict(&dir, &store).await;
        assert_eq!((seen.faults.len(), seen.torn_bytes, seen.entries), (0, 0, 5), "{seen:?}");
        let told = entries(&read(dir.path()).unwrap()).remove(3);
        assert_eq!((told.act.as_str(), told.who.as_str()), ("audit_repaired", "selfheal"));
        assert!(told.detail.contains(&format!("{left} bytes")), "{told:?}");
    }
}

#[tokio::test]
async fn what_was_cut_off_is_missed_for_ever_whoever_writes_on_and_is_told_once() {
    // Only the running Selfheal writes on; or first the command line, without the store.
    for appended_alone in [0, 1, 2, 5] {
        let (dir, store, audit) = log(6).await;
        drop(audit);
        cut_to_four_and_append_alone(dir.path(), appended_alone);
        for start in 0..3 {
            let audit = started(&dir, &store).await;
            assert!(audit.write(&[act(start)]).await);
            assert!(!verdict(&dir, &store).await.faults.is_empty(), "{appended_alone}, {start}");
        }
        let bytes = read(dir.path()).unwrap();
        let told = entries(&bytes).iter().filter(|entry| entry.act == "audit_altered").count();
        assert_eq!(told, 1, "{appended_alone}: {}", String::from_utf8_lossy(&bytes));
    }
}

#[tokio::test]
async fn what_was_cut_off_under_a_running_selfheal_is_missed_whoever_wrote_on_before_it() {
    for appended_alone in [0, 1, 2, 3, 5, 60] {
        let (dir, store, audit) = log(6).await;
        cut_to_four_and_append_alone(dir.path(), appended_alone);
        for number in 0..3 {
            assert!(audit.write(&[act(number)]).await);
            assert!(!verdict(&dir, &store).await.faults.is_empty(), "{appended_alone}, {number}");
        }
        audit.witness().await;
        assert!(!verdict(&dir, &store).await.faults.is_empty(), "{appended_alone}");
    }
}

#[tokio::test]
async fn a_log_that_is_gone_goes_on_where_it_was_and_lacks_what_it_had() {
    let (dir, store, audit) = log(3).await;
    std::fs::remove_file(dir.path().join(FILE)).unwrap();
    assert!(verdict(&dir, &store).await.faults[0].starts_with("all entries are removed"));
    assert!(audit.write(&[act(3)]).await);
    let seen = verdict(&dir, &store).await;
    assert_eq!(seen.faults, ["entries 1 to 3 are removed before line 1"]);
    assert_eq!(seen.head.unwrap().seq, 4);
}

#[tokio::test]
async fn the_command_line_writes_beside_a_daemon_which_takes_note_of_it() {
    let (dir, store, audit) = log(2).await;
    append_alone(dir.path(), &act(2)).unwrap();
    append_alone(dir.path(), &act(3)).unwrap();
    assert_eq!(head_in(store.as_ref()).await.unwrap().unwrap().seq, 2);
    assert_eq!(audit.witness().await.unwrap().seq, 4);
    assert_eq!(head_in(store.as_ref()).await.unwrap().unwrap().seq, 4);
    append_alone(dir.path(), &act(4)).unwrap();
    assert!(audit.write(&[act(5)]).await);
    let seen = verdict(&dir, &store).await;
    assert_eq!((seen.entries, seen.faults.len()), (6, 0), "{seen:?}");
}

#[tokio::test]
async fn many_who_write_at_once_make_one_chain() {
    let (dir, store, audit) = log(0).await;
    let path = dir.path().to_owned();
    let others: Vec<_> = (0..4)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || {
                for number in 0..20 {
                    append_alone(&path, &act(number)).unwrap();
                }
            })
        })
        .collect();
    for number in 0..20 {
        assert!(audit.write(&[act(number)]).await);
    }
    for other in others {
        other.join().unwrap();
    }
    audit.witness().await;
    let seen = verdict(&dir, &store).await;
    assert_eq!((seen.entries, seen.faults.len()), (100, 0), "{seen:?}");
    let mode = path.join(FILE).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_log_that_cannot_be_written_says_so_and_goes_on_once_it_can() {
    let (dir, store, audit) = log(1).await;
    let path = dir.path().join(FILE);
    let kept = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    // Not even root writes into a folder.
    std::fs::create_dir(&path).unwrap();
    assert!(!audit.write(&[act(1)]).await);
    std::fs::remove_dir(&path).unwrap();
    std::fs::write(&path, kept).unwrap();
    assert!(audit.write(&[act(1)]).await);
    assert_eq!(verdict(&dir, &store).await.faults, [""; 0]);
}

#[tokio::test]
async fn whoever_holds_the_lock_keeps_nothing_waiting_for_ever() {
    let (dir, store, audit) = log(1).await;
    let held = std::fs::File::open(dir.path().join(FILE)).unwrap();
    held.lock().unwrap();
    assert!(!audit.write(&[act(1)]).await);
    // Neither does who only reads: these come to an end.
    audit.witness().await;
    drop(Audit::open(dir.path(), store.clone()).await);
    drop(held);
    assert!(audit.write(&[act(1)]).await);
    assert_eq!(verdict(&dir, &store).await.entries, 2);
}
