//! The store: one contract for every implementation, and what only files can show.

use std::sync::Arc;

use selfheal::store::{self, Opened};
use selfheal_agents::model::{FixId, IncidentId, JournalEntry, Timestamp};
use selfheal_agents::ports::{Clock, Journal, Store};
use uuid::Uuid;

/// A clock that stands still.
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        at(0)
    }
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_timestamp(1_760_893_200 + secs, 0).expect("a small number")
}

async fn open(dir: &std::path::Path) -> store::SqliteStore {
    let Opened { store, quarantined } =
        store::open(dir, Arc::new(Noon)).await.expect("a fresh directory opens");
    assert_eq!(quarantined, None);
    store
}

#[tokio::test]
async fn a_journal_record_is_there_after_the_store_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let (incident, fix) = (IncidentId(Uuid::now_v7()), FixId(Uuid::now_v7()));
    let first = open(dir.path()).await;
    first.check_writable().await.unwrap();
    let record = first.append(at(1), incident, fix, &JournalEntry::AllApplied).await.unwrap();
    first.close().await;
    let second = open(dir.path()).await;
    assert_eq!(second.journal(fix).await.unwrap(), [record]);
    assert_eq!(second.unfinished_fixes().await.unwrap(), [fix]);
}
