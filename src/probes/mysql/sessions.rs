//! Who is connected to MySQL or MariaDB, who sleeps, and who waits for whom.

use std::collections::BTreeSet;

use selfheal_agents::model::{Backend, DatabaseFacts, clean};
use sqlx::mysql::MySqlConnection;

use crate::probes::blocking::{most_waited_for, waiters};

/// So many are told at most.
const MOST: usize = 200;
/// Idle sessions are told only from this share of `max_connections` on.
const FEW_LEFT: f64 = 0.75;
/// Names come from strangers.
const LONGEST_NAME: usize = 64;

/// A session of a client.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Client {
    pub(super) id: i64,
    pub(super) address: String,
    /// `Sleep`, or what it is at.
    pub(super) command: String,
    user: String,
    /// Seconds at that.
    secs: i64,
    /// 1 while it has a transaction.
    in_transaction: i64,
    /// How its statement begins.
    statement: String,
}

impl Client {
    pub(super) fn sleeps(&self) -> bool {
        self.command == "Sleep"
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        self.in_transaction > 0
    }
}

/// The sessions of clients, but for this one. Those of replication and of the server itself are
/// nobody's to judge: they have commands and users of their own (manual, "Thread Command Values").
const CLIENTS: &str = "
    SELECT CAST(process.id AS SIGNED) AS id, process.host AS address, process.command AS command,
           process.user AS user, CAST(process.time AS SIGNED) AS secs,
           CAST(transactions.trx_id IS NOT NULL AS SIGNED) AS in_transaction,
           coalesce(left(process.info, 40), '') AS statement
      FROM information_schema.processlist AS process
      LEFT JOIN information_schema.innodb_trx AS transactions
        ON transactions.trx_mysql_thread_id = process.id
     WHERE process.id <> connection_id()
       AND process.command IN ('Sleep', 'Query', 'Execute', 'Fetch', 'Prepare')
       AND process.user NOT IN ('system user', 'event_scheduler', 'unauthenticated user')
     ORDER BY process.time DESC
     LIMIT 1000";

/// While InnoDB works through its log nobody gets in, and the server's own lines tell of it. Started in
/// forced or read-only mode it is being looked after by somebody who gets data out of it. A replica
/// that takes no writes is none of these.
const SERVER: &str = "
    SELECT CAST(@@global.max_connections AS SIGNED), @@version,
           CAST(@@global.innodb_force_recovery > 0 OR @@global.innodb_read_only AS SIGNED)";

/// Longest first.
pub(super) async fn clients(session: &mut MySqlConnection) -> Result<Vec<Client>, sqlx::Error> {
    sqlx::query_as(CLIENTS).fetch_all(session).await
}

pub(super) async fn read(
    facts: &mut DatabaseFacts,
    session: &mut MySqlConnection,
) -> Result<(), sqlx::Error> {
    let (most, version, recovers): (i64, String, i64) =
        sqlx::query_as(SERVER).fetch_one(&mut *session).await?;
    facts.in_recovery = recovers != 0;
    let (_, used): (String, String) = sqlx::query_as("SHOW GLOBAL STATUS LIKE 'Threads_connected'")
        .fetch_one(&mut *session)
        .await?;
    facts.max_connections = u32::try_from(most).ok();
    // One of them is this one.
    facts.connections = used.parse::<u32>().ok().map(|used| used.saturating_sub(1));
    let clients = clients(&mut *session).await?;
    judge(facts, &clients);
    let waits: Vec<(i64, i64)> = sqlx::query_as(waits(&version)).fetch_all(session).await?;
    (facts.blockers, facts.blocked) = blockers(&waits, &clients);
    Ok(())
}

/// Who waits for whose lock in InnoDB. MariaDB and MySQL 5 keep that in another place than MySQL 8.
fn waits(version: &str) -> &'static str {
    if version.contains("MariaDB") || version.starts_with("5.") {
        "SELECT CAST(waiting.trx_mysql_thread_id AS SIGNED),
                CAST(blocking.trx_mysql_thread_id AS SIGNED)
           FROM information_schema.innodb_lock_waits AS waits
           JOIN information_schema.innodb_trx AS waiting
             ON waiting.trx_id = waits.requesting_trx_id
           JOIN information_schema.innodb_trx AS blocking
             ON blocking.trx_id = waits.blocking_trx_id
          LIMIT 1000"
    } else {
        "SELECT CAST(waiting.trx_mysql_thread_id AS SIGNED),
                CAST(blocking.trx_mysql_thread_id AS SIGNED)
           FROM performance_schema.data_lock_waits AS waits
           JOIN information_schema.innodb_trx AS waiting
             ON waiting.trx_id = waits.requesting_engine_transaction_id
           JOIN information_schema.innodb_trx AS blocking
             ON blocking.trx_id = waits.blocking_engine_transaction_id
          LIMIT 1000"
    }
}

fn judge(facts: &mut DatabaseFacts, clients: &[Client]) {
    let sleeping = |in_transaction: bool| -> Vec<Backend> {
        let ours = clients.iter().filter(|one| one.sleeps());
        let ours = ours.filter(|one| one.is_in_transaction() == in_transaction);
        ours.take(MOST).map(|one| backend(one, 0)).collect()
    };
    facts.idle_in_transaction = sleeping(true);
    let few_left = facts
        .connections
        .zip(facts.max_connections)
        .is_some_and(|(used, most)| f64::from(used) >= FEW_LEFT * f64::from(most));
    facts.idle = if few_left { sleeping(false) } else { vec![] };
    // What its own program for backups says for each table, in words that only MySQL reads.
    if clients.iter().any(|one| one.statement.starts_with("SELECT /*!40001 SQL_NO_CACHE */")) {
        facts.backups = vec!["mysqldump".to_owned()];
    }
}

/// The sessions others wait for, most waited-for first, and how many sessions wait.
fn blockers(waits: &[(i64, i64)], clients: &[Client]) -> (Vec<Backend>, Option<u32>) {
    let waiting: BTreeSet<i64> = waits.iter().map(|(waiting, _)| *waiting).collect();
    let counts = waiters(waits);
    let blocker = |one: &Client| Some(backend(one, *counts.get(&one.id)?));
    let mut blockers: Vec<Backend> = clients.iter().filter_map(blocker).collect();
    most_waited_for(&mut blockers);
    (blockers, u32::try_from(waiting.len()).ok())
}

fn backend(client: &Client, blocks: u32) -> Backend {
    let state = match (client.sleeps(), client.is_in_transaction()) {
        (true, true) => "idle in transaction",
        (true, false) => Backend::IDLE,
        (false, _) => "active",
    };
    Backend {
        pid: client.id,
        backend_start: None,
        address: clean(&client.address, LONGEST_NAME),
        state: state.to_owned(),
        state_secs: u32::try_from(client.secs).map_or(0.0, f64::from),
        user: clean(&client.user, LONGEST_NAME),
        application: String::new(),
        blocks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(id: i64, command: &str, in_transaction: i64) -> Client {
        let (address, command) = (format!("10.0.0.3:4{id}"), command.to_owned());
        let (user, statement) = ("shop".to_owned(), String::new());
        Client { id, address, command, user, secs: 90, in_transaction, statement }
    }

    fn ids(sessions: &[Backend]) -> Vec<i64> {
        sessions.iter().map(|session| session.pid).collect()
    }

    #[test]
    fn who_sleeps_in_a_transaction_is_told_apart_from_who_only_sleeps() {
        let clients = [client(1, "Sleep", 1), client(2, "Sleep", 0), client(3, "Query", 1)];
        for (used, idle) in [(2, vec![]), (3, vec![2])] {
            let mut facts = DatabaseFacts::default();
            (facts.connections, facts.max_connections) = (Some(used), Some(4));
            judge(&mut facts, &clients);
            assert_eq!((ids(&facts.idle_in_transaction), ids(&facts.idle)), (vec![1], idle));
        }
    }

    #[test]
    fn only_clients_are_blockers_and_the_head_of_the_chain_comes_first() {
        let clients = [client(3, "Query", 1), client(1, "Sleep", 1)];
        // 3 waits for 1, 4 for 3; 5 waits for a thread that is no client.
        let (found, blocked) = blockers(&[(3, 1), (4, 3), (5, 9)], &clients);
        let counts: Vec<u32> = found.iter().map(|blocker| blocker.blocks).collect();
        assert_eq!((ids(&found), counts, blocked), (vec![1, 3], vec![2, 1], Some(3)));
    }
}
