//! How long a command to a database server may take, and what became of it.

use std::time::Duration;

use selfheal_agents::model::DatabaseEndpoint;
use selfheal_agents::ports::{WorldError, WorldResult};

/// The longest a person would wait for one command.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// Gives up after [`LIMIT`]; `word_of` names a connection that failed.
pub(super) async fn within<T>(
    what: String,
    endpoint: &DatabaseEndpoint,
    word_of: fn(&sqlx::Error, &DatabaseEndpoint) -> String,
    asked: impl Future<Output = Result<T, sqlx::Error>>,
) -> WorldResult<T> {
    match tokio::time::timeout(LIMIT, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error @ sqlx::Error::Database(_))) => Err(WorldError::Refused {
            what,
            why: super::reason(&error, endpoint.password.as_ref()),
        }),
        Ok(Err(error)) => Err(WorldError::Unreachable { what, why: word_of(&error, endpoint) }),
        Err(_) => Err(WorldError::TimedOut { what, limit: LIMIT }),
    }
}
