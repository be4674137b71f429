//! The PostgreSQL server that history is sent to goes away in the middle of a repair.
//!
//! The repair must come to its end without it, and once it is back nothing may be missing there.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::runtime::Runtime;

use super::daemon::Selfheal;
use super::engine;
use super::faults;
use super::heals::worker_delay;
use super::killed::{all_ended, config_is_whole};
use crate::store::postgres::{address_text, database, server};
use crate::store::sending::{here, there};
use crate::support::until;

const SOON: Duration = Duration::from_mins(1);
const ENDS_WITHIN: Duration = Duration::from_secs(90);

/// The rows of each table.
type Rows = Vec<(String, Vec<i64>)>;

fn of(rows: &Rows, table: &str) -> usize {
    rows.iter().filter(|(name, _)| name == table).map(|(_, rows)| rows.len()).sum()
}

#[test]
fn the_store_goes_away_in_the_middle_of_a_repair_and_nothing_is_lost() -> Result<()> {
    if !engine::answers("the_store_goes_away") {
        return Ok(());
    }
    let Some(mut server) = server() else { return Ok(()) };
    let runtime = Runtime::new()?;
    runtime.block_on(database(&server, "history"));
    let stack = faults::RATE_LIMIT.staged()?;
    let url = address_text(&server, "history");
    let store = format!("{}\n[store]\nurl = \"{url}\"\n", worker_delay(&stack)?);
    let selfheal = Selfheal::watch(&stack, &store)?;
    (faults::RATE_LIMIT.inject)(&stack)?;
    let sent = until("the repair is under way, and its incident sent", SOON, || {
        let sent = runtime.block_on(there(&server, "history"));
        ensure!(of(&sent, "incident") > 0 && of(&sent, "journal") > 0, "not yet: {sent:?}");
        Ok(sent)
    });
    let sent = sent.map_err(|error| error.context(selfheal.last_words()))?;
    ensure!(all_ended(&selfheal).is_err(), "the repair is over before the server goes away");
    server.stop_postgres();
    until("the service works again", ENDS_WITHIN, || faults::RATE_LIMIT.judge(&stack))
        .and_then(|()| until("every incident has its end", ENDS_WITHIN, || all_ended(&selfheal)))
        .map_err(|error| error.context(selfheal.last_words()))?;
    config_is_whole(&stack)?;
    let healthy = selfheal.get("/health")?;
    ensure!(healthy["status"] == "healthy", "{healthy}");

    server.start_postgres_again();
    let data = selfheal.data();
    until("all is there", SOON, || {
        let (ours, theirs) =
            runtime.block_on(async { (here(&data).await, there(&server, "history").await) });
        ensure!(of(&theirs, "journal") > of(&sent, "journal") && of(&theirs, "outcome") > 0);
        ensure!(ours == theirs, "{ours:?} is not {theirs:?}");
        Ok(())
    })
    .map_err(|error| error.context(selfheal.last_words()))
}
