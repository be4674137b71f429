use selfheal_agents::fakes::{MemoryStore, start_time};
use selfheal_agents::fix_engineer::actions::{ConfigRestore, ConfigSet};
use selfheal_agents::fix_engineer::config_file::sha256;
use selfheal_agents::model::{
    BackupId, Confidence, FileContent, Fix, FixId, IncidentId, Ledger, StepRole, TargetId,
};
use selfheal_agents::ports::Backups;
use uuid::Uuid;

use super::*;

const HEAD: [&str; 2] = ["--- a/srv/a.conf", "+++ b/srv/a.conf"];

fn lines(before: &str, after: &str) -> Vec<String> {
    let lines = between("/srv/a.conf", before, after).unwrap();
    assert_eq!(lines[..2], HEAD);
    lines[2..].to_vec()
}

#[test]
fn one_changed_line_is_shown_with_its_neighbours_and_where_it_stands() {
    let before = "a\nb\nc\nd\ndelay = 1\ne\nf\ng\nh\n";
    let shown = lines(before, &before.replace("= 1", "= 1.5"));
    let expected =
        ["@@ -2,7 +2,7 @@", " b", " c", " d", "-delay = 1", "+delay = 1.5", " e", " f", " g"];
    assert_eq!(shown, expected);
}

#[test]
fn changes_far_from_each_other_are_hunks_of_their_own() {
    let before: String = (1..=30).map(|n| format!("line {n}\n")).collect();
    let after = before.replace("line 2\n", "").replace("line 29\n", "line 29\nmore\n");
    let hunks: Vec<String> =
        lines(&before, &after).into_iter().filter(|line| line.starts_with("@@")).collect();
    assert_eq!(hunks, ["@@ -1,5 +1,4 @@", "@@ -27,4 +26,5 @@"]);
}

#[test]
fn what_stays_the_same_has_no_diff_and_a_last_line_without_end_is_told() {
    assert_eq!(between("/srv/a.conf", "a\n", "a\n"), None);
    assert_eq!(between("/srv/a.conf", "", ""), None);
    let without = "\\ No newline at end of file";
    assert_eq!(lines("", "a"), ["@@ -0,0 +1 @@", "+a", without]);
    assert_eq!(lines("a\na\n", "a\n"), ["@@ -1,2 +1 @@", " a", "-a"]);
}

#[test]
fn secrets_beside_a_change_stay_hidden_and_long_files_are_cut() {
    let shown = lines("password = hunter22\nx = 1\n", "password = hunter22\nx = 2\n");
    assert!(!shown.join("\n").contains("hunter22"), "{shown:?}");
    let long: String = (0..500).map(|n| format!("{n}\n")).collect();
    let shown = lines(&long, "");
    assert_eq!(shown.len(), MAX_LINES + 1);
    // The hunk's own line is one of those shown.
    assert_eq!(shown.last().unwrap(), " … 301 lines more");
}

/// Everything that patch(1) needs: applied by hand, the hunks make the new text of the old one.
#[test]
fn the_numbers_of_a_hunk_are_those_of_its_lines() {
    let before: String = (1..=40).map(|n| format!("{n}\n")).collect();
    let after = before.replace("\n5\n", "\nfive\nand a half\n").replace("\n33\n", "\n");
    let (mut old, mut new) = (0, 0);
    let mut hunks = vec![];
    for line in lines(&before, &after) {
        if let Some(numbers) = line.strip_prefix("@@ -") {
            hunks.push((numbers.to_owned(), old, new));
            (old, new) = (0, 0);
        }
        old += usize::from(line.starts_with([' ', '-']));
        new += usize::from(line.starts_with([' ', '+']));
    }
    hunks.push((String::new(), old, new));
    for pair in hunks.windows(2) {
        let (numbers, (_, old, new)) = (&pair[0].0, &pair[1]);
        assert!(numbers.contains(&format!(",{old} +")), "{numbers} {old}");
        assert!(numbers.ends_with(&format!(",{new} @@")), "{numbers} {new}");
    }
    assert_eq!(hunks.len(), 3);
}

fn fix(nth: u128, action: Action) -> Fix {
    Fix {
        id: FixId(Uuid::from_u128(nth)),
        fix_type: action.name().to_owned(),
        target: action.target(),
        issue_type: "a-test".to_owned(),
        summary: format!("fix {nth}"),
        steps: vec![Step { action, role: StepRole::Repair }],
        ledger: Ledger::with_base(90, "base"),
        original_confidence: Confidence::literal(90),
        confidence: Confidence::literal(90),
        interruption_secs: 0,
        quiet: false,
        course: selfheal_agents::model::Course::First,
        warnings: vec![],
        proposed_at: start_time(),
    }
}

fn backup(fix: &Fix, serial: u32, path: &str, text: &str) -> Backup {
    let file = FileContent {
        path: path.to_owned(),
        bytes: text.as_bytes().to_vec(),
        sha256: sha256(text.as_bytes()),
        mode: 0o644,
        uid: 0,
        gid: 0,
        modified_secs: 0,
    };
    Backup {
        id: BackupId::at(start_time(), serial),
        at: start_time(),
        incident: IncidentId(Uuid::nil()),
        fix: fix.id,
        target: fix.target.clone(),
        fix_type: fix.fix_type.clone(),
        reason: fix.summary.clone(),
        confidence: fix.confidence,
        captured: vec![Captured::File(file)],
        left_behind: vec![None],
        rolled_back_at: None,
    }
}

#[tokio::test]
async fn each_fix_of_an_incident_is_shown_from_its_own_backup() {
    let target = TargetId::container("web");
    let restores = fix(
        1,
        Action::ConfigRestore(ConfigRestore {
            target: target.clone(),
            file: "/srv/a.conf".to_owned(),
            good: "good\n".to_owned(),
            good_since: start_time(),
        }),
    );
    let turns = fix(
        2,
        Action::ConfigSet(ConfigSet {
            target: target.clone(),
            file: "/srv/b.json".to_owned(),
            key: "delay_s".to_owned(),
            from: 1.0,
            to: 1.5,
        }),
    );
    let store = MemoryStore::default();
    let mut incident = Incident::open(IncidentId(Uuid::nil()), target, vec![], start_time());
    for (serial, fix, path, text) in
        [(1, &restores, "/srv/a.conf", "bad\n"), (2, &turns, "/srv/b.json", "{\"delay_s\": 1.0}\n")]
    {
        let backup = backup(fix, serial, path, text);
        incident.backups.push(store.save_backup(&backup).await.unwrap());
    }
    incident.earlier_fixes = vec![restores];
    incident.fix = Some(turns);
    let shown = of_incident(&store, &incident).await.unwrap();
    let told: Vec<(&str, &str, &str, &str)> = shown
        .iter()
        .map(|d| (d.fix.as_str(), d.file.as_str(), d.lines[3].as_str(), d.lines[4].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("fix 1", "/srv/a.conf", "-bad", "+good"),
            ("fix 2", "/srv/b.json", "-{\"delay_s\": 1.0}", "+{\"delay_s\": 1.5}"),
        ]
    );
}

#[tokio::test]
async fn of_a_fix_that_was_not_begun_the_turned_number_is_shown() {
    let turns = fix(
        2,
        Action::ConfigSet(ConfigSet {
            target: TargetId::container("web"),
            file: "/srv/a.conf".to_owned(),
            key: "delay_s".to_owned(),
            from: 1.0,
            to: 1.5,
        }),
    );
    let target = turns.target.clone();
    let mut incident = Incident::open(IncidentId(Uuid::nil()), target, vec![], start_time());
    incident.fix = Some(turns);
    let shown = of_incident(&MemoryStore::default(), &incident).await.unwrap();
    assert_eq!(shown[0].lines, [HEAD[0], HEAD[1], "-delay_s = 1", "+delay_s = 1.5"]);
}
