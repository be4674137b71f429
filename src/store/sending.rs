//! The history on a PostgreSQL server: every change of the file here is sent there, in order.
//!
//! Selfheal works on the file in its data directory alone, so that nothing it does waits for a
//! server or ends with one. A trigger notes in the same transaction which row changed, each once;
//! the sender makes those rows stand there as they stand here, and only then forgets the note. What
//! is sent twice changes nothing, so neither a lost answer nor a crash does harm. While the server
//! is away the notes wait; of too many none is kept, and the whole history is sent instead.
//!
//! A database belongs to one data directory: both bear the same name, and under another nothing is
//! sent. It does not decide what is kept, and what somebody changes on the server it does not see.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use selfheal_agents::ports::{Clock, Store as _, StoreError};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tokio_util::sync::CancellationToken;

use super::OpenError;
use super::ends::{End, carry};
use super::open::{DATABASE_FILE, Opened, Sends, open_as};
use super::origin::{Origin, hold, is_free, last_note, named, new_name, origin_of, sent};
use super::postgres::{self, PostgresUrl, shown};
use super::sql::change::Change;
use super::sql::{SqlStore, Urgency};

/// `lock_not_available`: another session held it all that time.
const HELD: &str = "55P03";
/// Classes of errors that lie in a row and not in the server: a value, or a rule that it breaks.
const CONTENTS: [&str; 2] = ["22", "23"];
/// So many notes that all rows are sent instead: those of rows that are gone stay, too.
const MOST: i64 = 100_000;
/// Time between two looks for what is to be sent, ...
const LOOK: Duration = Duration::from_secs(1);
/// ... where nothing was written since the last: one that was given up may have come after that.
const LOOK_ANYWAY: Duration = Duration::from_mins(1);
/// Time before a server that was away is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long what is left may take at the end.
const LAST: Duration = Duration::from_secs(3);

/// Why nothing is sent now.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The server is away, or refuses.
    #[error(transparent)]
    Away(#[from] OpenError),
    /// The database holds another history.
    #[error(
        "the database {server} holds the history of another data directory, so nothing is sent \
         there: name another database in `store.url`; to go on with that history instead, start \
         with an empty `data_dir`"
    )]
    Taken {
        /// The server, without a password.
        server: String,
    },
    /// The server takes a row as little the next time.
    #[error(
        "the database {server} refuses a row of this history, and until it takes it nothing more \
         is sent there: {why}"
    )]
    Refused {
        /// The server, without a password.
        server: String,
        /// What it said.
        why: String,
    },
    /// The file here was set back.
    #[error(
        "the database {server} has more of this history than the data directory, which was set \
         back, so nothing is sent there: to go on with what is there, start with an empty \
         `data_dir`; to send what is here, name another database in `store.url`"
    )]
    SetBack {
        /// The server, without a password.
        server: String,
    },
    /// The file here cannot be read or written.
    #[error(transparent)]
    Here(#[from] StoreError),
}

/// Opens the store of `data_dir` such that what changes is noted for `url`. An empty directory goes
/// on with the history that is there, and only with the server at hand; one that was restored from
/// a snapshot gets back what was sent since.
pub async fn open_sending(
    url: &PostgresUrl,
    data_dir: &Path,
    clock: Arc<dyn Clock>,
) -> Result<Opened, OpenError> {
    let opened = open_as(data_dir, clock, Sends::Noted).await?;
    let failed = |error: sqlx::Error| super::open::failed(&data_dir.join(DATABASE_FILE), &error);
    let mut here = End::Sqlite(connect_here(data_dir).await.map_err(failed)?);
    let ours = origin_of(&mut here).await.map_err(failed)?;
    let is_new = ours.is_none() && here.is_empty().await.map_err(failed)?;
    let lacks_some = is_new || opened.damage.is_some();
    match postgres::migrate(url).await {
        Ok(()) if lacks_some => take_over(url, &mut here, is_new, ours.as_ref()).await?,
        Ok(()) => {}
        Err(error) if is_new || matches!(error, OpenError::ServerNewer { .. }) => {
            return Err(error);
        }
        Err(error) => {
            tracing::warn!("{error}; healing goes on, and what changes is sent later");
            if lacks_some {
                // What is there is newer: under another name it is not overwritten.
                let unnamed = Change::new("DELETE FROM origin");
                here.run(&[unnamed]).await.map_err(failed)?;
            }
        }
    }
    if origin_of(&mut here).await.map_err(failed)?.is_none() {
        here.run(&[named(&new_name())]).await.map_err(failed)?;
    }
    here.close().await;
    Ok(opened)
}

/// Brings the history that is on the server into a directory that lacks it, unless it is another's,
/// and under a new name: whoever sent it so far sends nothing more.
async fn take_over(
    url: &PostgresUrl,
    here: &mut End,
    is_new: bool,
    ours: Option<&Origin>,
) -> Result<(), OpenError> {
    let mut there = End::Postgres(postgres::connect(url).await?);
    let server = url.to_string();
    let failed = |error: sqlx::Error| OpenError::Server { server, why: shown(&error) };
    if let Some(rows) = bring(&mut there, here, is_new, ours).await.map_err(failed)? {
        tracing::info!(rows, "took over the history in {url}");
    }
    there.close().await;
    Ok(())
}

/// What has less there than here is not brought: it is sent.
async fn bring(
    there: &mut End,
    here: &mut End,
    is_new: bool,
    ours: Option<&Origin>,
) -> sqlx::Result<Option<i64>> {
    let is_free = is_free(there).await?;
    there.begin_writing().await?;
    match origin_of(there).await? {
        Some(_) if is_new && !is_free => {
            let why = "another selfheal sends its history there now; end it, or name another \
                       database; in a fleet, give this node another name (fleet.node)";
            return Err(sqlx::Error::Protocol(why.to_owned()));
        }
        Some(_) if is_new => here.begin_writing().await?,
        Some(theirs) if ours.is_some_and(|ours| ours.name == theirs.name) => {
            let last = last_note(here).await?;
            if theirs.sent.is_some_and(|sent| sent < last) {
                return Ok(None);
            }
            here.begin_writing().await?;
            if theirs.sent.is_some() && ours.is_some_and(|ours| ours.sent.is_some()) {
                // All that is here was sent, so what is not there was removed since.
                here.clear().await?;
            }
        }
        _ => return Ok(None),
    }
    let carried = carry(there, here).await?;
    let name = new_name();
    here.run(&[named(&name)]).await?;
    // The name there first: cut off in between, nothing is sent rather than twice.
    there.run(&[named(&name)]).await?;
    there.commit().await?;
    here.commit().await?;
    Ok(Some(carried.iter().map(|table| table.rows).sum()))
}

pub(super) async fn connect_here(data_dir: &Path) -> sqlx::Result<SqliteConnection> {
    let file = data_dir.join(DATABASE_FILE);
    let options = SqliteConnectOptions::new().filename(file).foreign_keys(true);
    options.busy_timeout(Duration::from_secs(5)).connect().await
}

/// Sends what changes.
pub struct Sender {
    url: PostgresUrl,
    store: Arc<SqlStore>,
    there: Option<End>,
    /// What was said last of what keeps it from sending.
    told: Option<String>,
}

impl Sender {
    /// Sends what changes in `store`, which [`open_sending`] opened.
    pub fn new(url: PostgresUrl, store: Arc<SqlStore>) -> Self {
        Self { url, store, there: None, told: None }
    }

    /// Sends until it is ended, and then what is left.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut all_is_sent = None;
        loop {
            let written = self.store.writes();
            let is_as_it_was =
                |(of, at): (u64, Instant)| of == written && at.elapsed() < LOOK_ANYWAY;
            let pause = if all_is_sent.is_some_and(is_as_it_was) {
                LOOK
            } else {
                match self.send().await {
                    Ok(0) => {
                        all_is_sent = Some((written, Instant::now()));
                        LOOK
                    }
                    Ok(_) => Duration::ZERO,
                    Err(_) => AGAIN,
                }
            };
            if cancel.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                break;
            }
        }
        let _ = tokio::time::timeout(LAST, self.send_all()).await;
    }

    /// Sends all that waits now.
    pub async fn send_all(&mut self) -> Result<(), SendError> {
        while self.send().await? > 0 {}
        Ok(())
    }

    /// Sends some of what waits; answers how many notes it was.
    async fn send(&mut self) -> Result<usize, SendError> {
        let there = self.there.take();
        let sent = self.send_over(there).await;
        self.store.set_taken(sent.is_ok());
        match &sent {
            Ok(_) if self.told.take().is_some() => {
                tracing::info!("{} answers again; what waited is being sent", self.url);
            }
            Ok(_) => {}
            Err(error) => {
                self.tell(error);
                self.give_up_notes().await?;
            }
        }
        sent
    }

    /// Keeps no note of too many: what is here is then sent as a whole.
    async fn give_up_notes(&self) -> Result<(), SendError> {
        if self.store.unsent().await? <= MOST {
            return Ok(());
        }
        let all = [
            Change::new("UPDATE origin SET sent = NULL WHERE id = 1"),
            Change::new("DELETE FROM outgoing"),
        ];
        self.store.database().commit(Urgency::Refusable, &all).await?;
        tracing::warn!("more than {MOST} changed rows wait for {}; all are sent then", self.url);
        Ok(())
    }

    fn tell(&mut self, error: &SendError) {
        let text = error.to_string();
        if self.told.as_ref() != Some(&text) {
            if matches!(error, SendError::Away(_)) {
                tracing::warn!("{text}; healing goes on, and what changes is sent later");
            } else {
                tracing::error!("{text}");
            }
            self.told = Some(text);
        }
    }

    async fn send_over(&mut self, there: Option<End>) -> Result<usize, SendError> {
        let mut there = if let Some(there) = there {
            there
        } else {
            postgres::migrate(&self.url).await?;
            let mut there = End::Postgres(postgres::connect(&self.url).await?);
            self.meet(&mut there).await?;
            there
        };
        let batch = self.store.waiting_to_be_sent().await?;
        if !batch.changes.is_empty() {
            self.write(&mut there, &batch.changes, batch.last).await?;
            self.forget(batch.last).await?;
        }
        self.there = Some(there);
        Ok(batch.changes.len())
    }

    /// Sees to it that the server has all that was not noted, before notes are sent.
    async fn meet(&self, there: &mut End) -> Result<(), SendError> {
        let ours = self.store.origin().await?;
        let noted = self.store.noted().await?;
        let away = |error: sqlx::Error| self.away(&error);
        if origin_of(there).await.map_err(away)?.is_some_and(|theirs| theirs.name != ours.name) {
            return Err(self.taken());
        }
        there.begin_writing().await.map_err(away)?;
        // Two copies of one data directory bear one name: only one of them sends.
        hold(there).await.map_err(|error| self.held(&error))?;
        // It may have been taken over meanwhile.
        let theirs = origin_of(there).await.map_err(away)?;
        if theirs.as_ref().is_some_and(|theirs| theirs.name != ours.name) {
            return Err(self.taken());
        }
        match (ours.sent, theirs.and_then(|theirs| theirs.sent)) {
            (Some(_), Some(theirs)) if theirs > noted => {
                Err(SendError::SetBack { server: self.url.to_string() })
            }
            (Some(ours), Some(theirs)) if theirs >= ours => there.commit().await.map_err(away),
            // It was not sent yet, or somebody set the server back.
            _ => self.send_whole(there, &ours.name).await,
        }
    }

    /// Sends the whole history in place of what is there.
    async fn send_whole(&self, there: &mut End, name: &str) -> Result<(), SendError> {
        let here = |error: sqlx::Error| SendError::Here(StoreError::Unavailable(error.to_string()));
        let mut from = End::Sqlite(connect_here(self.store.dir()).await.map_err(here)?);
        from.begin_reading().await.map_err(here)?;
        let last = last_note(&mut from).await.map_err(here)?;
        let whole = async {
            there.clear().await?;
            let carried = carry(&mut from, there).await?;
            there.run(&[named(name), sent(last)]).await?;
            there.commit().await?;
            sqlx::Result::Ok(carried)
        };
        let carried = whole.await.map_err(|error| self.away(&error))?;
        from.close().await;
        let rows: i64 = carried.iter().map(|table| table.rows).sum();
        tracing::info!(rows, "sent the whole history to {}", self.url);
        self.forget(last).await
    }

    /// Forgets the notes up to this one: what they told is there.
    async fn forget(&self, last: i64) -> Result<(), SendError> {
        let forget = Change::new("DELETE FROM outgoing WHERE number <= $1").with(last);
        self.store.database().commit(Urgency::Refusable, &[forget, sent(last)]).await?;
        Ok(())
    }

    /// All of it or nothing, and only where this history is still the one that is there.
    async fn write(&self, there: &mut End, changes: &[Change], last: i64) -> Result<(), SendError> {
        let ours = self.store.origin().await?;
        let away = |error: sqlx::Error| self.away(&error);
        there.begin_writing().await.map_err(away)?;
        if origin_of(there).await.map_err(away)?.is_none_or(|theirs| theirs.name != ours.name) {
            return Err(self.taken());
        }
        there.run(changes).await.map_err(away)?;
        there.run(&[sent(last)]).await.map_err(away)?;
        there.commit().await.map_err(away)
    }

    fn held(&self, error: &sqlx::Error) -> SendError {
        if !postgres::has_code(error, HELD) {
            return self.away(error);
        }
        let why = "another session of this history sends there".to_owned();
        OpenError::Server { server: self.url.to_string(), why }.into()
    }

    fn taken(&self) -> SendError {
        SendError::Taken { server: self.url.to_string() }
    }

    fn away(&self, error: &sqlx::Error) -> SendError {
        let (server, why) = (self.url.to_string(), shown(error));
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        if code.is_some_and(|code| CONTENTS.iter().any(|class| code.starts_with(class))) {
            return SendError::Refused { server, why };
        }
        OpenError::Server { server, why }.into()
    }
}
