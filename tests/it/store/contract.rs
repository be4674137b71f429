//! What every store promises. Each sentence below runs on each implementation.

use std::collections::BTreeMap;
use std::time::Duration;

use selfheal_agents::fakes::MemoryStore;
use selfheal_agents::model::{
    Actor, Captured, Change, ChangeKind, Diagnosis, HealthStatus, IncidentId, IncidentState,
    JournalEntry, LogCursor, RuntimeEventKind, TargetId, Timestamp, time_ordered_id,
};
use selfheal_agents::ports::{CHANGES_KEPT, IncidentQuery, OBSERVATIONS_KEPT, Store, StoreError};
use serde_json::json;

use super::postgres::{database, open_on, server};
use super::samples::*;
use super::sending::{here, open_sending, there};

macro_rules! contract {
    ($($sentence:ident),+ $(,)?) => {
        mod in_memory {
            $(#[tokio::test]
            async fn $sentence() {
                super::$sentence(&super::MemoryStore::default()).await;
            })+
        }
        mod on_sqlite {
            $(#[tokio::test]
            async fn $sentence() {
                let dir = tempfile::tempdir().unwrap();
                super::$sentence(&super::open(dir.path()).await).await;
            })+
        }
        mod on_postgres {
            /// One server for all, each on a database of its own: a server takes its time to start.
            #[tokio::test]
            async fn every_sentence_holds() {
                let Some(server) = super::server() else { return };
                $({
                    eprintln!("{}", stringify!($sentence));
                    let dir = tempfile::tempdir().unwrap();
                    let url = super::database(&server, stringify!($sentence)).await;
                    super::$sentence(&super::open_on(&url, dir.path()).await).await;
                })+
            }

            /// What was kept in the file stands on the server afterwards.
            #[tokio::test]
            async fn every_sentence_leaves_the_server_as_the_file() {
                let Some(server) = super::server() else { return };
                // Each on the heap: together they are more than a test's stack.
                $(Box::pin(async {
                    eprintln!("{}", stringify!($sentence));
                    let (dir, name) = (tempfile::tempdir().unwrap(), stringify!($sentence));
                    let url = super::database(&server, name).await;
                    let (store, mut sender) = super::open_sending(&url, dir.path()).await;
                    // From here on only what changes is sent.
                    sender.send_all().await.unwrap();
                    super::$sentence(store.as_ref()).await;
                    sender.send_all().await.unwrap();
                    let there = super::there(&server, &name[..name.len().min(60)]).await;
                    assert_eq!(there, super::here(dir.path()).await);
                })
                .await;)+
            }
        }
    };
}

contract![
    an_incident_comes_back_as_it_was_saved,
    saving_an_incident_again_replaces_it,
    incidents_are_listed_newest_first_and_in_pages,
    incidents_are_filtered_by_state_target_and_time,
    open_incidents_are_listed_oldest_first,
    the_journal_keeps_order_and_every_bit_of_a_number,
    a_fix_is_unfinished_until_its_last_record_is_final,
    a_second_outcome_of_a_fix_replaces_the_first,
    outcomes_come_oldest_first_since_a_time,
    a_backup_comes_back_with_its_content,
    backups_of_one_second_get_ids_of_their_own,
    backups_are_listed_newest_first_without_content,
    only_the_mutable_part_of_a_backup_changes,
    a_content_that_contradicts_its_checksum_is_not_backed_up,
    an_event_seen_twice_is_kept_once,
    events_come_oldest_first_of_one_target_or_all,
    changes_come_oldest_first_once_and_only_the_newest_of_each_container,
    log_positions_keep_their_nanoseconds,
    observations_come_back_by_target_and_time,
    values_are_set_removed_and_found_by_prefix,
    an_alert_is_queued_once_for_each_channel,
    who_was_told_of_an_incident_is_known_after_it_was_delivered,
    what_waits_for_a_channel_is_seen_as_a_whole_and_ended_together,
    alerts_of_one_incident_wait_for_one_another,
    a_failed_delivery_is_due_again_at_its_time_and_never_when_given_up,
    messages_wait_in_their_order_until_they_are_taken,
    what_is_told_of_an_incident_is_queued_with_it,
    a_finished_job_is_known_and_what_is_told_of_it_waits,
    pruning_forgets_old_messages_and_jobs,
    pruning_keeps_what_open_incidents_and_unfinished_fixes_need,
    pruning_forgets_what_is_old_and_closed,
    pruning_forgets_observations_that_nobody_will_read_long_before_the_rest,
    a_fresh_store_can_be_written,
    every_write_is_counted_and_no_read_is,
];

async fn an_incident_comes_back_as_it_was_saved(store: &impl Store) {
    let incident = resolved(1, &web(), 0);
    store.save_incident(&incident).await.unwrap();
    assert_eq!(store.incident(incident.id).await.unwrap(), Some(incident));
    assert_eq!(store.incident(incident_id(2)).await.unwrap(), None);
}

async fn saving_an_incident_again_replaces_it(store: &impl Store) {
    let mut saved = incident(1, &web(), 0);
    store.save_incident(&saved).await.unwrap();
    saved.become_state(IncidentState::Resolved, at(5), Actor::HealthMonitor, "works").unwrap();
    store.save_incident(&saved).await.unwrap();
    assert_eq!(store.incidents(&IncidentQuery::default()).await.unwrap(), [saved]);
    assert_eq!(store.open_incidents().await.unwrap(), []);
}

async fn incidents_are_listed_newest_first_and_in_pages(store: &impl Store) {
    for n in [2, 5, 1, 4, 3] {
        store.save_incident(&incident(n, &web(), 0)).await.unwrap();
    }
    let mut query = IncidentQuery { limit: 2, ..IncidentQuery::default() };
    let mut pages = vec![];
    loop {
        let page: Vec<IncidentId> =
            store.incidents(&query).await.unwrap().iter().map(|i| i.id).collect();
        let Some(last) = page.last() else { break };
        query.before = Some(*last);
        pages.push(page);
    }
    let expected = [vec![5, 4], vec![3, 2], vec![1]]
        .map(|page| page.into_iter().map(incident_id).collect::<Vec<_>>());
    assert_eq!(pages, expected);
}

fn diagnosed(
    n: u128,
    blamed: &TargetId,
    affected: TargetId,
    secs: i64,
) -> selfheal_agents::model::Incident {
    let mut incident = incident(n, blamed, secs);
    incident.diagnosis = Some(Diagnosis {
        issue_type: "crash".to_owned(),
        title: "It crashed".to_owned(),
        category: selfheal_agents::model::Category::Crash,
        blamed: blamed.clone(),
        summary: "it crashed".to_owned(),
        ledger: fix(n).ledger,
        confidence: confidence(90),
        affected: vec![affected],
        external: false,
        elsewhere: false,
        hearsay: false,
        expected_fix_secs: 3,
        changes: vec![],
        ways: vec![],
        considered: vec![],
        basis: "b".to_owned(),
        at: at(secs),
    });
    incident.become_state(IncidentState::Diagnosed, at(secs), Actor::RootCause, "crash").unwrap();
    incident
}

async fn incidents_are_filtered_by_state_target_and_time(store: &impl Store) {
    let database = TargetId::container("db");
    for mut made in
        [incident(1, &web(), 10), diagnosed(2, &database, web(), 20), resolved(3, &database, 30)]
    {
        made.id = IncidentId(time_ordered_id(made.opened_at));
        store.save_incident(&made).await.unwrap();
    }
    let found = async |query: IncidentQuery| {
        let found = store.incidents(&query).await.unwrap();
        found.iter().map(|i| (i.opened_at - at(0)).num_seconds() / 10).collect::<Vec<i64>>()
    };
    let any = IncidentQuery::default;
    let states = vec![IncidentState::Open, IncidentState::Resolved];
    let closed = vec![IncidentState::Stuck, IncidentState::Resolved];
    let open = vec![IncidentState::Open, IncidentState::Diagnosed];
    assert_eq!(found(any()).await, [3, 2, 1]);
    assert_eq!(found(IncidentQuery { states: states.clone(), limit: 1, ..any() }).await, [3]);
    assert_eq!(found(IncidentQuery { states: closed, ..any() }).await, [3]);
    assert_eq!(found(IncidentQuery { states: open.clone(), ..any() }).await, [2, 1]);
    for (states, of_web) in
        [(open, vec![2, 1]), (vec![IncidentState::Diagnosed], vec![2]), (states.clone(), vec![1])]
    {
        let query = IncidentQuery { states, target: Some(web()), ..any() };
        assert_eq!(found(query).await, of_web);
    }
    assert_eq!(found(IncidentQuery { states, ..any() }).await, [3, 1]);
    assert_eq!(found(IncidentQuery { target: Some(web()), ..any() }).await, [2, 1]);
    assert_eq!(found(IncidentQuery { target: Some(database), ..any() }).await, [3, 2]);
    assert_eq!(found(IncidentQuery { target: Some(TargetId::host()), ..any() }).await, [0_i64; 0]);
    assert_eq!(found(IncidentQuery { since: Some(at(20)), ..any() }).await, [3, 2]);
    let newer_web = IncidentQuery { since: Some(at(20)), target: Some(web()), ..any() };
    assert_eq!(found(newer_web).await, [2]);
    let within = |micros| at(20) + chrono::TimeDelta::microseconds(micros);
    assert_eq!(found(IncidentQuery { since: Some(within(1)), ..any() }).await, [3]);
    assert_eq!(found(IncidentQuery { since: Some(within(-1)), ..any() }).await, [3, 2]);
    let long_ago = Some(Timestamp::UNIX_EPOCH - chrono::TimeDelta::days(1));
    assert_eq!(found(IncidentQuery { since: long_ago, ..any() }).await, [3, 2, 1]);
    assert_eq!(found(IncidentQuery { since: Some(at(99)), ..any() }).await, [0_i64; 0]);
}

async fn open_incidents_are_listed_oldest_first(store: &impl Store) {
    for n in [3, 1] {
        store.save_incident(&incident(n, &web(), 0)).await.unwrap();
    }
    store.save_incident(&resolved(2, &web(), 0)).await.unwrap();
    let open: Vec<IncidentId> =
        store.open_incidents().await.unwrap().iter().map(|i| i.id).collect();
    assert_eq!(open, [incident_id(1), incident_id(3)]);
}

async fn every_write_is_counted_and_no_read_is(store: &impl Store) {
    let mut before = store.writes();
    let mut is_counted = || {
        let now = store.writes();
        std::mem::replace(&mut before, now) < now
    };
    store.open_incidents().await.unwrap();
    store.values("").await.unwrap();
    assert!(!is_counted());
    store.save_incident(&incident(1, &web(), 0)).await.unwrap();
    assert!(is_counted());
    store.record_outcome(&outcome(1, 10, true)).await.unwrap();
    assert!(is_counted());
    store.set_value("a", Some(&serde_json::json!(1))).await.unwrap();
    assert!(is_counted());
    store.prune(at(10), Duration::from_hours(1)).await.unwrap();
    assert!(is_counted());
    store.incident(incident_id(1)).await.unwrap();
    assert!(!is_counted());
}

async fn the_journal_keeps_order_and_every_bit_of_a_number(store: &impl Store) {
    let entries = [
        planned(1),
        JournalEntry::Intent { step: 0 },
        JournalEntry::Applied { step: 0, left_behind: Some("ab".repeat(32)) },
        JournalEntry::Failed { step: 1, error: "refused".to_owned(), untold: true },
        JournalEntry::RollbackStarted { reason: "a step failed".to_owned() },
        JournalEntry::RolledBack,
    ];
    let mut written = vec![];
    for (secs, entry) in (0..).zip(&entries) {
        written.push(store.append(at(secs), incident_id(1), fix_id(1), entry).await.unwrap());
        store.append(at(secs), incident_id(2), fix_id(2), entry).await.unwrap();
    }
    let read = store.journal(fix_id(1)).await.unwrap();
    assert_eq!(read, written);
    assert!(read.iter().map(|record| &record.entry).eq(&entries));
    assert!(read.is_sorted_by(|a, b| a.sequence < b.sequence));
    assert_eq!(store.journal(fix_id(9)).await.unwrap(), []);
}

async fn a_fix_is_unfinished_until_its_last_record_is_final(store: &impl Store) {
    let append = async |n: u128, entry: JournalEntry| {
        store.append(at(0), incident_id(n), fix_id(n), &entry).await.unwrap();
    };
    for n in [3, 1, 2] {
        append(n, planned(n)).await;
    }
    assert_eq!(store.unfinished_fixes().await.unwrap(), [fix_id(3), fix_id(1), fix_id(2)]);
    append(1, JournalEntry::Kept).await;
    append(3, JournalEntry::Stuck { reason: "the undo failed".to_owned(), by_hand: vec![] }).await;
    assert_eq!(store.unfinished_fixes().await.unwrap(), [fix_id(2)]);
    append(2, JournalEntry::RolledBack).await;
    assert_eq!(store.unfinished_fixes().await.unwrap(), []);
    // A person takes a kept fix back: it is under way again.
    append(1, JournalEntry::RollbackStarted { reason: "asked for".to_owned() }).await;
    assert_eq!(store.unfinished_fixes().await.unwrap(), [fix_id(1)]);
}

async fn a_second_outcome_of_a_fix_replaces_the_first(store: &impl Store) {
    store.record_outcome(&outcome(1, 10, true)).await.unwrap();
    store.record_outcome(&outcome(1, 20, false)).await.unwrap();
    assert_eq!(store.outcomes(None).await.unwrap(), [outcome(1, 20, false)]);
}

async fn outcomes_come_oldest_first_since_a_time(store: &impl Store) {
    for (n, secs) in [(1, 30), (2, 10), (3, 20)] {
        store.record_outcome(&outcome(n, secs, true)).await.unwrap();
    }
    let (first, second, third) = (outcome(2, 10, true), outcome(3, 20, true), outcome(1, 30, true));
    assert_eq!(store.outcomes(Some(at(20))).await.unwrap(), [second.clone(), third.clone()]);
    assert_eq!(store.outcomes(None).await.unwrap(), [first, second, third]);
}

async fn a_backup_comes_back_with_its_content(store: &impl Store) {
    let saved = backup(1, 0, "delay = 0.1\n");
    let id = store.save_backup(&saved).await.unwrap();
    assert_eq!(id, saved.id);
    assert_eq!(store.backup(&id).await.unwrap(), Some(saved));
    let unknown = "backup_20000101_000000".parse().unwrap();
    assert_eq!(store.backup(&unknown).await.unwrap(), None);
}

async fn backups_of_one_second_get_ids_of_their_own(store: &impl Store) {
    let mut ids = vec![];
    for n in 1..=3 {
        ids.push(store.save_backup(&backup(n, 0, &format!("content {n}"))).await.unwrap());
    }
    let texts: Vec<&str> = ids.iter().map(selfheal_agents::model::BackupId::as_str).collect();
    assert_eq!(
        texts,
        ["backup_20251019_170000", "backup_20251019_170000_2", "backup_20251019_170000_3"]
    );
    let second = store.backup(&ids[1]).await.unwrap().unwrap();
    assert_eq!((second.incident, &second.id), (incident_id(2), &ids[1]));
}

async fn backups_are_listed_newest_first_without_content(store: &impl Store) {
    let mut expected = vec![];
    for n in 1..=12 {
        // The first two in seconds of their own, the others in one.
        let secs = i64::try_from(n.min(3)).unwrap();
        let mut saved = backup(n, secs, "same content");
        saved.id = store.save_backup(&saved).await.unwrap();
        for captured in &mut saved.captured {
            if let Captured::File(file) = captured {
                file.bytes.clear();
            }
        }
        expected.insert(0, saved);
    }
    assert_eq!(store.backups(100).await.unwrap(), expected);
    assert_eq!(store.backups(4).await.unwrap(), expected[..4]);
    assert_eq!(store.backups(0).await.unwrap(), []);
}

async fn only_the_mutable_part_of_a_backup_changes(store: &impl Store) {
    let saved = backup(1, 0, "delay = 0.1\n");
    store.save_backup(&saved).await.unwrap();
    let mut changed = saved.clone();
    changed.left_behind = vec![Some("cd".repeat(32)), None];
    changed.rolled_back_at = Some(at(77));
    changed.reason.push_str(", or something else");
    changed.captured.clear();
    store.update_backup(&changed).await.unwrap();
    let expected = selfheal_agents::model::Backup {
        left_behind: changed.left_behind,
        rolled_back_at: changed.rolled_back_at,
        ..saved
    };
    assert_eq!(store.backup(&expected.id).await.unwrap(), Some(expected));
    let unknown = store.update_backup(&backup(2, 500, "")).await;
    assert!(matches!(unknown, Err(StoreError::Conflict(_))), "{unknown:?}");
}

async fn a_content_that_contradicts_its_checksum_is_not_backed_up(store: &impl Store) {
    let mut wrong = backup(1, 0, "delay = 0.1\n");
    if let Captured::File(file) = &mut wrong.captured[0] {
        file.bytes.push(b'x');
    }
    let refused = store.save_backup(&wrong).await;
    assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
    assert_eq!(store.backups(10).await.unwrap(), []);
}

async fn an_event_seen_twice_is_kept_once(store: &impl Store) {
    let died = event(&web(), 1, RuntimeEventKind::Die { exit_code: 1 });
    let killed = event(&web(), 1, RuntimeEventKind::Die { exit_code: 137 });
    store.record_events(&[died.clone(), killed.clone(), died.clone()]).await.unwrap();
    store.record_events(std::slice::from_ref(&died)).await.unwrap();
    store.record_events(&[]).await.unwrap();
    assert_eq!(store.events(Some(&web()), at(0)).await.unwrap(), [died, killed]);
}

async fn events_come_oldest_first_of_one_target_or_all(store: &impl Store) {
    let database = TargetId::container("db");
    let unhealthy = RuntimeEventKind::Health { status: HealthStatus::Unhealthy };
    let (a, b, c) = (
        event(&web(), 1, RuntimeEventKind::Start),
        event(&database, 2, unhealthy),
        event(&web(), 3, RuntimeEventKind::Stop),
    );
    store.record_events(&[c.clone(), a.clone(), b.clone()]).await.unwrap();
    assert_eq!(store.events(None, at(2)).await.unwrap(), [b, c.clone()]);
    assert_eq!(store.events(Some(&web()), at(0)).await.unwrap(), [a, c]);
}

async fn log_positions_keep_their_nanoseconds(store: &impl Store) {
    let exact = at(0) + chrono::TimeDelta::nanoseconds(123_456_789);
    let cursor = LogCursor { at: exact, seen_at: 2 };
    let of = |id: &str, cursor| BTreeMap::from([(id.to_owned(), cursor)]);
    store.set_log_cursors(&of("f00d", LogCursor { at: at(0), seen_at: 1 })).await.unwrap();
    store.set_log_cursors(&of("f00d", cursor)).await.unwrap();
    store.set_log_cursors(&of("cafe", cursor)).await.unwrap();
    let asked = ["f00d".to_owned(), "beef".to_owned()];
    assert_eq!(store.log_cursors(&asked).await.unwrap(), of("f00d", cursor));
}

async fn observations_come_back_by_target_and_time(store: &impl Store) {
    let (old, first, second) = (
        observation(&web(), 1, "container.memory", 10.0),
        observation(&web(), 2, "container.cpu", 0.1 + 0.2),
        observation(&web(), 3, "container.cpu", 12.0),
    );
    let other = observation(&TargetId::host(), 3, "host.cpu", 5.0);
    let all = [second.clone(), old, first.clone(), other];
    store.record_observations(&all).await.unwrap();
    store.record_observations(&all[..1]).await.unwrap();
    store.record_observations(&[]).await.unwrap();
    assert_eq!(store.observations(&web(), at(2)).await.unwrap(), [first, second]);
}

async fn values_are_set_removed_and_found_by_prefix(store: &impl Store) {
    for (name, value) in [
        ("freeze", json!(1)),
        ("freeze/container:b", json!({"until": null})),
        ("freeze/container:a", json!("x")),
        ("freeze/%", json!(true)),
        ("frozen", json!(2)),
        ("Freeze/x", json!(3)),
    ] {
        store.set_value(name, Some(&value)).await.unwrap();
    }
    store.set_value("freeze", Some(&json!([1, 2]))).await.unwrap();
    store.set_value("freeze/container:b", None).await.unwrap();
    store.set_value("never set", None).await.unwrap();
    assert_eq!(store.value("freeze").await.unwrap(), Some(json!([1, 2])));
    assert_eq!(store.value("freeze/container:b").await.unwrap(), None);
    let found = store.values("freeze/").await.unwrap();
    assert_eq!(
        found,
        [("freeze/%".to_owned(), json!(true)), ("freeze/container:a".to_owned(), json!("x"))]
    );
    assert_eq!(store.values("").await.unwrap().len(), 5);
}

fn channels(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

async fn an_alert_is_queued_once_for_each_channel(store: &impl Store) {
    let held = alert(Some(incident_id(1)), "held", 0);
    store.enqueue(&held, &channels(&["log", "hook"])).await.unwrap();
    store.enqueue(&held, &channels(&["log", "hook"])).await.unwrap();
    store.enqueue(&held, &[]).await.unwrap();
    assert_eq!(store.waiting().await.unwrap(), 2);
    let due = store.due(at(0), 10).await.unwrap();
    let to: Vec<&str> = due.iter().map(|delivery| delivery.channel.as_str()).collect();
    assert_eq!(to, ["log", "hook"]);
    assert!(due.iter().all(|delivery| delivery.alert == held && delivery.attempts == 0));
    for delivery in due {
        store.delivered(delivery.id, at(1)).await.unwrap();
    }
    store.enqueue(&held, &channels(&["log"])).await.unwrap();
    assert_eq!(store.waiting().await.unwrap(), 0);
}

async fn who_was_told_of_an_incident_is_known_after_it_was_delivered(store: &impl Store) {
    store.enqueue(&alert(Some(incident_id(1)), "held", 0), &channels(&["ntfy"])).await.unwrap();
    store.enqueue(&alert(Some(incident_id(2)), "held", 0), &channels(&["slack"])).await.unwrap();
    store.enqueue(&alert(None, "blind", 0), &channels(&["log"])).await.unwrap();
    let id = store.due(at(0), 10).await.unwrap()[0].id;
    store.delivered(id, at(1)).await.unwrap();
    let both = channels(&["email", "ntfy"]);
    store.enqueue(&alert(Some(incident_id(1)), "rolled_back", 0), &both).await.unwrap();
    assert_eq!(store.told(incident_id(1)).await.unwrap(), both);
    assert_eq!(store.told(incident_id(2)).await.unwrap(), ["slack"]);
    assert!(store.told(incident_id(3)).await.unwrap().is_empty());
}

async fn what_waits_for_a_channel_is_seen_as_a_whole_and_ended_together(store: &impl Store) {
    let both = channels(&["hook", "log"]);
    for (incident, event) in [(1, "held"), (1, "resolved"), (2, "held")] {
        store.enqueue(&alert(Some(incident_id(incident)), event, 0), &both).await.unwrap();
    }
    let waits = store.waiting_for("hook", 10).await.unwrap();
    let events: Vec<&str> = waits.iter().map(|delivery| delivery.alert.event.as_str()).collect();
    assert_eq!(events, ["held", "resolved", "held"]);
    assert_eq!(store.waiting_for("hook", 1).await.unwrap(), waits[..1]);

    store.failed(waits[2].id, "refused", Some(at(60))).await.unwrap();
    let refused = &store.waiting_for("hook", 10).await.unwrap()[2];
    assert_eq!((refused.attempts, refused.retry_at), (1, Some(at(60))));

    let ids: Vec<i64> = waits.iter().take(2).map(|delivery| delivery.id).collect();
    store.all_delivered(&ids, at(1)).await.unwrap();
    store.all_delivered(&[], at(1)).await.unwrap();
    assert_eq!(store.waiting_for("hook", 10).await.unwrap().len(), 1);
    assert_eq!(store.waiting_for("log", 10).await.unwrap().len(), 3, "another channel is another");
}

async fn alerts_of_one_incident_wait_for_one_another(store: &impl Store) {
    let hook = channels(&["hook"]);
    for (incident, event) in [(1, "held"), (1, "resolved"), (2, "held")] {
        store.enqueue(&alert(Some(incident_id(incident)), event, 0), &hook).await.unwrap();
    }
    for event in ["blind docker", "blind host"] {
        store.enqueue(&alert(None, event, 0), &hook).await.unwrap();
    }
    let due = async |now| {
        let due = store.due(now, 10).await.unwrap();
        due.into_iter().map(|d| (d.id, d.alert.event)).collect::<Vec<_>>()
    };
    let first = due(at(0)).await;
    let events: Vec<&str> = first.iter().map(|(_, event)| event.as_str()).collect();
    assert_eq!(events, ["held", "held", "blind docker", "blind host"]);
    assert_eq!(store.due(at(0), 1).await.unwrap().len(), 1);

    store.failed(first[0].0, "refused", Some(at(60))).await.unwrap();
    let events: Vec<String> = due(at(59)).await.into_iter().map(|(_, event)| event).collect();
    assert_eq!(events, ["held", "blind docker", "blind host"], "`resolved` must not overtake");
    store.delivered(first[0].0, at(60)).await.unwrap();
    assert!(due(at(60)).await.iter().any(|(_, event)| event == "resolved"));
}

async fn a_failed_delivery_is_due_again_at_its_time_and_never_when_given_up(store: &impl Store) {
    let hook = channels(&["hook"]);
    store.enqueue(&alert(Some(incident_id(1)), "held", 0), &hook).await.unwrap();
    store.enqueue(&alert(Some(incident_id(1)), "resolved", 0), &hook).await.unwrap();
    let id = store.due(at(0), 10).await.unwrap()[0].id;
    store.failed(id, "refused", Some(at(5))).await.unwrap();
    assert_eq!(store.due(at(4), 10).await.unwrap(), []);
    let again = &store.due(at(5), 10).await.unwrap()[0];
    assert_eq!((again.id, again.attempts), (id, 1));
    store.failed(id, "refused", None).await.unwrap();
    let next = store.due(at(5), 10).await.unwrap();
    assert_eq!(next[0].alert.event, "resolved", "the next one is free to go");
    assert_eq!(store.waiting().await.unwrap(), 1);
    store.failed(id, "too late", Some(at(6))).await.unwrap();
    assert_eq!(store.waiting().await.unwrap(), 1, "what is given up stays so");
}

async fn pruning_keeps_what_open_incidents_and_unfinished_fixes_need(store: &impl Store) {
    let day = 86_400;
    let open = incident(1, &web(), 0);
    store.save_incident(&open).await.unwrap();
    store.append(at(1), open.id, fix_id(1), &planned(1)).await.unwrap();
    store.append(at(2), open.id, fix_id(1), &JournalEntry::RolledBack).await.unwrap();
    let of_open = store.save_backup(&backup(1, 1, "a")).await.unwrap();

    let under_way = resolved(2, &web(), 0);
    store.save_incident(&under_way).await.unwrap();
    store.append(at(1), under_way.id, fix_id(2), &planned(2)).await.unwrap();
    let of_under_way = store.save_backup(&backup(2, 2, "b")).await.unwrap();

    let waiting = alert(Some(incident_id(9)), "held", 0);
    store.enqueue(&waiting, &channels(&["hook"])).await.unwrap();
    store.record_outcome(&outcome(7, 0, true)).await.unwrap();

    assert_eq!(store.prune(at(day), Duration::ZERO).await.unwrap(), 0);
    assert_eq!(store.incidents(&IncidentQuery::default()).await.unwrap(), [under_way, open]);
    assert_eq!(store.journal(fix_id(1)).await.unwrap().len(), 2);
    assert_eq!(store.unfinished_fixes().await.unwrap(), [fix_id(2)]);
    for id in [of_open, of_under_way] {
        assert!(store.backup(&id).await.unwrap().is_some(), "{id} is needed");
    }
    assert_eq!(store.waiting().await.unwrap(), 1);
    assert_eq!(store.outcomes(None).await.unwrap().len(), 1, "learning forgets nothing");
}

async fn pruning_forgets_what_is_old_and_closed(store: &impl Store) {
    let hook = channels(&["hook"]);
    for (n, secs) in [(1, 0), (2, 1000)] {
        let incident = resolved(n, &web(), secs);
        store.save_incident(&incident).await.unwrap();
        store.append(at(secs), incident.id, fix_id(n), &planned(n)).await.unwrap();
        store.append(at(secs), incident.id, fix_id(n), &JournalEntry::Kept).await.unwrap();
        store.save_backup(&backup(n, secs, "the same in both")).await.unwrap();
        store.record_events(&[event(&web(), secs, RuntimeEventKind::Start)]).await.unwrap();
        let seen = observation(&web(), secs, "container.cpu", 1.0);
        store.record_observations(&[seen]).await.unwrap();
        store.enqueue(&alert(Some(incident.id), "resolved", secs), &hook).await.unwrap();
        let id = store.due(at(2000), 10).await.unwrap()[0].id;
        store.delivered(id, at(secs)).await.unwrap();
    }
    // Incident, two records, backup, event, observation, alert.
    assert_eq!(store.prune(at(500), Duration::ZERO).await.unwrap(), 7);
    assert_eq!(store.prune(at(500), Duration::ZERO).await.unwrap(), 0);
    let left = store.incidents(&IncidentQuery::default()).await.unwrap();
    assert_eq!(left, [resolved(2, &web(), 1000)]);
    assert_eq!(store.journal(fix_id(1)).await.unwrap(), []);
    assert_eq!(store.journal(fix_id(2)).await.unwrap().len(), 2);
    assert_eq!(store.events(None, at(0)).await.unwrap().len(), 1);
    assert_eq!(store.observations(&web(), at(0)).await.unwrap().len(), 1);
    let backups = store.backups(10).await.unwrap();
    assert_eq!(backups.len(), 1);
    let content = store.backup(&backups[0].id).await.unwrap();
    assert!(content.is_some(), "a content that another backup shares stays");
}

async fn pruning_forgets_observations_that_nobody_will_read_long_before_the_rest(
    store: &impl Store,
) {
    let followed = i64::try_from(OBSERVATIONS_KEPT.as_secs()).unwrap();
    let seen = |secs| observation(&TargetId::host(), secs, "host.disk:/", 40.0);
    store.record_observations(&[seen(0), seen(1), seen(2)]).await.unwrap();
    store.record_events(&[event(&web(), 0, RuntimeEventKind::Start)]).await.unwrap();
    let month = Duration::from_hours(30 * 24);
    assert_eq!(store.prune(at(followed), month).await.unwrap(), 0);
    assert_eq!(store.prune(at(followed + 1), month).await.unwrap(), 1);
    assert_eq!(store.prune(at(10), Duration::from_secs(8)).await.unwrap(), 2, "whatever is less");
    assert_eq!(store.observations(&TargetId::host(), at(0)).await.unwrap(), [seen(2)]);
}

async fn a_fresh_store_can_be_written(store: &impl Store) {
    store.check_writable().await.unwrap();
    assert_eq!(store.prune(at(0), Duration::ZERO).await.unwrap(), 0);
}

async fn changes_come_oldest_first_once_and_only_the_newest_of_each_container(store: &dyn Store) {
    let change = |target: &TargetId, seconds: i64| Change {
        at: at(seconds),
        target: target.clone(),
        kind: ChangeKind::File,
        what: format!("/srv/{seconds}.conf changed"),
        by_selfheal: false,
    };
    let (web, db) = (web(), TargetId::container("db"));
    store.record_changes(&[change(&web, 2), change(&db, 3)]).await.unwrap();
    store.record_changes(&[change(&web, 1), change(&web, 2)]).await.unwrap();
    let all = store.changes(None, at(0)).await.unwrap();
    assert_eq!(all, [change(&web, 1), change(&web, 2), change(&db, 3)]);
    assert_eq!(store.changes(Some(&web), at(2)).await.unwrap(), [change(&web, 2)]);

    let more = i64::try_from(CHANGES_KEPT).unwrap() + 1;
    let many: Vec<Change> = (0..more).map(|n| change(&web, 10 + n)).collect();
    store.record_changes(&many).await.unwrap();
    let kept = store.changes(Some(&web), at(0)).await.unwrap();
    assert_eq!(kept, many[1..]);
    assert_eq!(store.changes(Some(&db), at(0)).await.unwrap().len(), 1);
    store.prune(at(10 + more), Duration::ZERO).await.unwrap();
    assert_eq!(store.changes(None, at(0)).await.unwrap(), []);
}

async fn texts(store: &impl Store) -> Vec<String> {
    let waiting = store.messages(100).await.unwrap();
    waiting.into_iter().map(|queued| queued.message.fields[0].1.clone()).collect()
}

async fn messages_wait_in_their_order_until_they_are_taken(store: &impl Store) {
    store.queue_messages(&[message("b"), message("a")], at(1)).await.unwrap();
    store.queue_messages(&[message("c")], at(0)).await.unwrap();
    assert_eq!(texts(store).await, ["b", "a", "c"], "as they were queued, whatever their time");
    assert_eq!(store.messages_waiting().await.unwrap(), 3);
    let first = store.messages(2).await.unwrap();
    assert_eq!(first.len(), 2);
    store.messages_taken(first[1].id).await.unwrap();
    assert_eq!(texts(store).await, ["c"]);
    let last = store.messages(1).await.unwrap()[0].id;
    store.messages_taken(last).await.unwrap();
    store.queue_messages(&[message("d")], at(2)).await.unwrap();
    assert!(store.messages(1).await.unwrap()[0].id > last, "a number is not given out twice");
}

async fn what_is_told_of_an_incident_is_queued_with_it(store: &impl Store) {
    let incident = incident(1, &web(), 0);
    store.save_incident_and_tell(&incident, &[message("opened")]).await.unwrap();
    assert_eq!(store.incident(incident.id).await.unwrap(), Some(incident));
    assert_eq!(texts(store).await, ["opened"]);
}

async fn a_finished_job_is_known_and_what_is_told_of_it_waits(store: &impl Store) {
    assert!(!store.is_job_finished("a").await.unwrap());
    store.finish_job("a", at(0), &[message("done")]).await.unwrap();
    assert!(store.is_job_finished("a").await.unwrap());
    assert!(!store.is_job_finished("A").await.unwrap());
    assert_eq!(texts(store).await, ["done"]);
    store.finish_job("a", at(1), &[]).await.unwrap();
    assert_eq!(texts(store).await, ["done"], "finished again, it is no error");
}

async fn pruning_forgets_old_messages_and_jobs(store: &impl Store) {
    for (secs, name) in [(0, "old"), (60, "young")] {
        store.queue_messages(&[message(name)], at(secs)).await.unwrap();
        store.finish_job(name, at(secs), &[]).await.unwrap();
    }
    assert_eq!(store.prune(at(60), Duration::from_secs(30)).await.unwrap(), 2);
    assert_eq!(texts(store).await, ["young"]);
    assert!(!store.is_job_finished("old").await.unwrap());
    assert!(store.is_job_finished("young").await.unwrap());
}
