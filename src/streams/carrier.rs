//! Carries what is queued to Redis, in the order in which it was queued.
//!
//! A message leaves the store when Redis has taken it: one may be told twice after a crash in
//! between, none is left out. Nothing is skipped either, so that the order holds: a stream that
//! Redis refuses to write holds up the others, loudly. After a refusal messages go one by one, so
//! that what was taken is not told again and again with what was not.

use std::time::Duration;

use redis::RedisError;
use redis::aio::MultiplexedConnection;
use selfheal_agents::model::QueuedMessage;

use super::address::plain;
use super::backoff::Backoff;
use super::{Setup, Shared};

/// How long Redis may take to answer.
const ANSWERS: Duration = Duration::from_secs(10);
/// So many messages go together, ...
const TOGETHER: usize = 200;
/// ... or so many bytes, if that is less: Redis has to answer in time.
const TOGETHER_BYTES: usize = 1024 * 1024;
/// What is queued beside an incident is noticed after this long.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Carries until it is cancelled.
pub(super) async fn run(shared: Shared) {
    let mut backoff = Backoff::default();
    let mut together = TOGETHER;
    while !shared.cancel.is_cancelled() {
        let carried =
            shared.cancel.run_until_cancelled(carry(&shared, &mut backoff, &mut together)).await;
        let Some(Err(why)) = carried else { return };
        together = 1;
        if shared.tie.carries(false) || backoff.is_new() {
            tracing::warn!(
                redis = %shared.setup.address,
                "messages wait for Redis, and healing goes on: {why}"
            );
        }
        backoff.wait(&shared.cancel).await;
    }
}

/// Carries until something fails.
async fn carry(shared: &Shared, backoff: &mut Backoff, together: &mut usize) -> Result<(), String> {
    let mut news = shared.coordinator.subscribe();
    let connected = shared.setup.address.connect(ANSWERS).await;
    let mut redis = connected.map_err(|error| plain(&error))?;
    loop {
        while send_some(shared, &mut redis, backoff, *together).await? {
            *together = (*together * 2).min(TOGETHER);
        }
        // Lagging behind says as well that there is news.
        let _ = tokio::time::timeout(LOOK_EVERY, news.recv()).await;
    }
}

/// In which field every message says which node it is of.
const NODE: &str = "orchestrator_id";

/// Sends what waits longest; whether there may be more.
async fn send_some(
    shared: &Shared,
    redis: &mut MultiplexedConnection,
    backoff: &mut Backoff,
    together: usize,
) -> Result<bool, String> {
    let mut waiting = shared.store.messages(together).await.map_err(|error| error.to_string())?;
    waiting.truncate(fitting(&waiting));
    let Some(last) = waiting.last() else {
        return answers(shared, redis, backoff).await.map(|()| false);
    };
    send(&shared.setup, redis, &waiting).await.map_err(|error| plain(&error))?;
    shared.store.messages_taken(last.id).await.map_err(|error| error.to_string())?;
    shared.tie.sent(waiting.len());
    works(shared, backoff);
    Ok(true)
}

/// How many of the first go together; one at least.
fn fitting(waiting: &[QueuedMessage]) -> usize {
    let size = |queued: &QueuedMessage| -> usize {
        queued.message.fields.iter().map(|(name, value)| name.len() + value.len()).sum()
    };
    let mut bytes = 0;
    let fits = waiting.iter().take_while(|queued| {
        bytes += size(queued);
        bytes <= TOGETHER_BYTES
    });
    fits.count().max(1)
}

/// Whether it is still there, where nothing is to be sent.
async fn answers(
    shared: &Shared,
    redis: &mut MultiplexedConnection,
    backoff: &mut Backoff,
) -> Result<(), String> {
    redis::cmd("PING").query_async::<()>(redis).await.map_err(|error| plain(&error))?;
    works(shared, backoff);
    Ok(())
}

fn works(shared: &Shared, backoff: &mut Backoff) {
    backoff.reset();
    if shared.tie.carries(true) {
        tracing::info!(redis = %shared.setup.address, "Redis takes messages");
    }
}

async fn send(
    setup: &Setup,
    redis: &mut MultiplexedConnection,
    waiting: &[QueuedMessage],
) -> Result<(), RedisError> {
    let mut together = redis::pipe();
    // Refused as one where Redis can see it beforehand: no room, no right.
    together.atomic();
    for queued in waiting {
        let name = setup.stream(queued.message.stream);
        let add = together.cmd("XADD").arg(name).arg("MAXLEN").arg("~").arg(setup.max_length);
        add.arg("*");
        for (name, value) in &queued.message.fields {
            add.arg(name).arg(value);
        }
        // Of several nodes with one Redis it says whose `container:web` it is.
        if queued.message.fields.iter().all(|(name, _)| name != NODE) {
            add.arg(NODE).arg(&setup.node);
        }
        add.ignore();
    }
    together.query_async(redis).await
}
