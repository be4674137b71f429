//! The database that history is sent to: whether it answers, holds this history, and all of it.

use chrono::Utc;

use super::clock;
use crate::config::Settings;
use crate::http::body::{Examined, Grade};
use crate::store::{OpenError, PostgresUrl, SqlStore, open_postgres_read_only, open_read_only};

const WHAT: &str = "store.url";
/// So many changed rows wait only where they are not sent: it is minutes of a busy host.
const MANY: i64 = 10_000;

/// The lines about it, if there are any. Without it healing goes on.
pub(super) async fn examined(settings: &Settings) -> Vec<Examined> {
    let Ok(Some(url)) = settings.history() else { return vec![] };
    let here = open_read_only(&settings.data_dir).await.ok();
    let unsent = match &here {
        Some(store) => store.unsent().await.unwrap_or(0),
        None => 0,
    };
    let line = match open_postgres_read_only(&url, &settings.data_dir).await {
        Ok(there) => {
            let mut lines = vec![compared(&url, here.as_ref(), &there, unsent).await];
            lines.extend(time(&there).await);
            return lines;
        }
        Err(OpenError::NothingThere { .. }) => {
            Examined::ok(WHAT, format!("{url} answers; its tables come with the first start"))
        }
        Err(error @ OpenError::ServerNewer { .. }) => {
            Examined::not(Grade::Fail, WHAT, error, "then selfheal doctor again")
        }
        Err(error) => {
            let seen = format!("{error}; {unsent} changed rows wait for it");
            Examined::not(Grade::Warn, WHAT, seen, "healing goes on; what waits is sent by itself")
        }
    };
    vec![line]
}

async fn time(there: &SqlStore) -> Option<Examined> {
    let began = Utc::now();
    let theirs = there.server_time().await.ok()??;
    Some(clock::compared("PostgreSQL's clock", theirs, began, Utc::now()))
}

async fn compared(
    url: &PostgresUrl,
    here: Option<&SqlStore>,
    there: &SqlStore,
    unsent: i64,
) -> Examined {
    let seen = format!("{url} answers; {unsent} changed rows wait for it");
    let ours = match here {
        Some(here) => here.history().await.ok(),
        None => None,
    };
    match (ours, there.history().await.ok()) {
        (Some(ours), Some(theirs)) if ours != theirs => {
            let seen = format!("{seen}, but it holds the history of another data directory");
            let remedy = "name another database in store.url; to go on with that history instead, \
                          start with an empty data_dir";
            Examined::not(Grade::Fail, WHAT, seen, remedy)
        }
        _ if unsent > MANY => {
            let remedy = "the log of the daemon says why they are not sent";
            Examined::not(Grade::Warn, WHAT, seen, remedy)
        }
        _ => Examined::ok(WHAT, seen),
    }
}
