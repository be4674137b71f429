//! Moves the whole history from one database to another, empty one, and counts it there.
//!
//! All arrives in one transaction or nothing does, and the source stays as it is. Backups are files
//! and are not moved.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use selfheal_agents::ports::Clock;

use super::OpenError;
use super::ends::{Carried, End, carry};
use super::open::{DATABASE_FILE, failed, open};
use super::origin::{named, new_name, origin_of};
use super::postgres::{self, PostgresUrl, shown};
use super::sending::connect_here;
use super::sql::SqlStore;

/// Where a history is.
#[derive(Debug, Clone)]
pub enum Place {
    /// In the file of a data directory.
    Sqlite(PathBuf),
    /// In a database of a server.
    Postgres(PostgresUrl),
}

impl Place {
    /// Reads `sqlite:DATA_DIR` or `postgres://...`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(folder) = text.strip_prefix("sqlite:") else {
            return PostgresUrl::parse(text).map(Self::Postgres).map_err(|why| {
                format!("{why}; or like `sqlite:/var/lib/selfheal`, which names a data directory")
            });
        };
        let folder = Path::new(folder.strip_prefix("//").unwrap_or(folder));
        if folder.as_os_str().is_empty() {
            return Err("name a data directory, such as `sqlite:/var/lib/selfheal`".to_owned());
        }
        let is_file = folder.file_name().is_some_and(|name| name == DATABASE_FILE);
        let dir = folder.parent().filter(|_| is_file).unwrap_or(folder);
        Ok(Self::Sqlite(dir.to_owned()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(folder) => write!(f, "sqlite:{}", folder.display()),
            Self::Postgres(url) => write!(f, "{url}"),
        }
    }
}

/// Why nothing was moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// One of both cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The source was damaged.
    #[error("{0} was damaged, and what was kept of it was restored; look at it, then try again")]
    Damaged(String),
    /// There is something at the target.
    #[error("{0} is not empty, and nothing in it is overwritten; name an empty one")]
    NotEmpty(String),
    /// Rows did not go over.
    #[error("nothing was moved: {0}")]
    Failed(String),
}

/// One side, with what keeps others out of it.
struct Side {
    end: End,
    store: Option<SqlStore>,
}

/// Moves everything.
pub async fn move_all(
    from: &Place,
    to: &Place,
    clock: Arc<dyn Clock>,
) -> Result<Vec<Carried>, MoveError> {
    match from {
        // A source is not made by looking for it.
        Place::Sqlite(folder) if !folder.join(DATABASE_FILE).is_file() => {
            return Err(OpenError::Missing { dir: folder.clone() }.into());
        }
        Place::Sqlite(_) => {}
        Place::Postgres(url) => {
            postgres::open_postgres_read_only(url, Path::new("")).await?.close().await;
        }
    }
    let mut source = side(from, Arc::clone(&clock)).await?;
    let mut target = side(to, clock).await?;
    let moved = over(&mut source.end, &mut target.end, to).await;
    for side in [source, target] {
        side.end.close().await;
        if let Some(store) = side.store {
            store.close().await;
        }
    }
    moved
}

async fn side(place: &Place, clock: Arc<dyn Clock>) -> Result<Side, MoveError> {
    match place {
        Place::Sqlite(folder) => {
            let opened = open(folder, clock).await?;
            if opened.damage.is_some() {
                return Err(MoveError::Damaged(place.to_string()));
            }
            let end = connect_here(folder).await;
            let end = end.map_err(|error| failed(&folder.join(DATABASE_FILE), &error))?;
            Ok(Side { end: End::Sqlite(end), store: Some(opened.store) })
        }
        Place::Postgres(url) => {
            postgres::migrate(url).await?;
            Ok(Side { end: End::Postgres(postgres::connect(url).await?), store: None })
        }
    }
}

async fn over(from: &mut End, to: &mut End, target: &Place) -> Result<Vec<Carried>, MoveError> {
    let lost = |error: sqlx::Error| MoveError::Failed(shown(&error));
    to.begin_writing().await.map_err(lost)?;
    if !to.is_empty().await.map_err(lost)? {
        return Err(MoveError::NotEmpty(target.to_string()));
    }
    let name = name_of(from).await.map_err(lost)?;
    from.begin_reading().await.map_err(lost)?;
    let carried = carry(from, to).await.map_err(lost)?;
    to.run(&[named(&name)]).await.map_err(lost)?;
    to.commit().await.map_err(lost)?;
    Ok(carried)
}

/// The name of the history, which it keeps: a start with both knows that they belong together.
async fn name_of(from: &mut End) -> sqlx::Result<String> {
    if let Some(origin) = origin_of(from).await? {
        return Ok(origin.name);
    }
    let name = new_name();
    from.run(&[named(&name)]).await?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_data_directory_or_a_server() {
        let place = |text: &str| Place::parse(text).map(|place| place.to_string());
        assert_eq!(place("sqlite:/var/lib/selfheal").unwrap(), "sqlite:/var/lib/selfheal");
        assert_eq!(place("sqlite:///data/selfheal.db").unwrap(), "sqlite:/data");
        assert_eq!(place("postgres://u:p@h/d").unwrap(), "postgres://u@h:5432/d");
        for wrong in ["", "sqlite:", "/var/lib", "mysql://h/d"] {
            assert!(place(wrong).unwrap_err().contains("sqlite:/var/lib/selfheal"), "{wrong}");
        }
    }
}
