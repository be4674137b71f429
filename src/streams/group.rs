//! The consumer groups as Redis keeps them: who has which job, how often, and for how long.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::streams::{StreamAutoClaimReply, StreamId, StreamPendingCountReply, StreamReadReply};
use redis::{RedisError, Value};
use selfheal_agents::model::Stream;

use super::Setup;

/// Who does jobs.
const WORKERS: &str = "maestro-automation-workers";
/// Who else reads findings, and what becomes of them.
const READERS: [(Stream, &str); 2] =
    [(Stream::Errors, "maestro-monitoring-workers"), (Stream::Healing, "maestro-healing-workers")];
/// A job that whoever took it has not touched for so long is taken from them.
pub(super) const ABANDONED: Duration = Duration::from_mins(1);
/// So many jobs are taken at once.
const AT_ONCE: usize = 8;
/// How long is waited for a job; the connection must allow more.
pub(super) const BLOCK: Duration = Duration::from_secs(2);

/// A job as it came.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its place in the stream.
    pub(super) id: String,
    /// What was written, as text.
    pub(super) fields: BTreeMap<String, String>,
}

impl From<StreamId> for Entry {
    fn from(entry: StreamId) -> Self {
        let fields = entry.map.into_iter().map(|(name, value)| (name, text(value))).collect();
        Self { id: entry.id, fields }
    }
}

/// What is no text is shown as far as it is one.
fn text(value: Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Value::SimpleString(text) => text,
        other => redis::from_redis_value(other).unwrap_or_default(),
    }
}

/// One consumer of the group that does jobs.
pub(super) struct Group<'a> {
    pub(super) setup: &'a Setup,
    pub(super) redis: MultiplexedConnection,
}

impl Group<'_> {
    /// Makes the groups that are not there, with all that waits in their streams.
    pub(super) async fn make(&mut self) -> Result<(), RedisError> {
        let readers = READERS.map(|(stream, group)| (self.setup.stream(stream), group));
        for (stream, group) in [(self.setup.jobs(), WORKERS)].into_iter().chain(readers) {
            let made: Result<(), RedisError> = redis::cmd("XGROUP")
                .arg(&["CREATE", &stream, group, "0", "MKSTREAM"])
                .query_async(&mut self.redis)
                .await;
            match made {
                Err(error) if error.code() == Some("BUSYGROUP") => {}
                made => made?,
            }
        }
        Ok(())
    }

    /// Jobs that nobody took yet; waits a moment for one.
    pub(super) async fn fresh(&mut self) -> Result<Vec<Entry>, RedisError> {
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP").arg(WORKERS).arg(&self.setup.node).arg("COUNT").arg(AT_ONCE);
        read.arg("BLOCK").arg(u64::try_from(BLOCK.as_millis()).unwrap_or(u64::MAX));
        read.arg("STREAMS").arg(self.setup.jobs()).arg(">");
        let reply: Option<StreamReadReply> = read.query_async(&mut self.redis).await?;
        let entries = reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids);
        Ok(entries.map(Entry::from).collect())
    }

    /// Takes jobs from whoever has not touched them for long, this consumer among them.
    pub(super) async fn abandoned(&mut self) -> Result<Vec<Entry>, RedisError> {
        let idle = u64::try_from(ABANDONED.as_millis()).unwrap_or(u64::MAX);
        let mut claim = redis::cmd("XAUTOCLAIM");
        claim.arg(self.setup.jobs()).arg(WORKERS).arg(&self.setup.node).arg(idle).arg("0-0");
        claim.arg("COUNT").arg(AT_ONCE);
        let reply: StreamAutoClaimReply = claim.query_async(&mut self.redis).await?;
        Ok(reply.claimed.into_iter().map(Entry::from).collect())
    }

    /// How often a job was taken; `None` where this consumer does not have it any more, since
    /// another took it over or ended it.
    pub(super) async fn attempts(&mut self, id: &str) -> Result<Option<usize>, RedisError> {
        let mut pending = redis::cmd("XPENDING");
        pending.arg(self.setup.jobs()).arg(WORKERS).arg(id).arg(id).arg(1);
        let reply: StreamPendingCountReply = pending.query_async(&mut self.redis).await?;
        let own = reply.ids.first().filter(|pending| pending.consumer == self.setup.node);
        Ok(own.map(|pending| pending.times_delivered))
    }

    /// Says of these jobs that they are still being done, or will be soon, so that nobody takes them.
    /// What another took over stays theirs.
    pub(super) async fn touch(&mut self, taken: &[String]) -> Result<(), RedisError> {
        let mut ids = vec![];
        for id in taken {
            if self.attempts(id).await?.is_some() {
                ids.push(id);
            }
        }
        if ids.is_empty() {
            return Ok(());
        }
        let mut claim = redis::cmd("XCLAIM");
        claim.arg(self.setup.jobs()).arg(WORKERS).arg(&self.setup.node).arg(0).arg(&ids);
        // Without this it would count as one more attempt.
        claim.arg("JUSTID").query_async(&mut self.redis).await
    }

    /// Says how often a job was tried: that it was read for another node does not count.
    pub(super) async fn counts(&mut self, id: &str, attempts: usize) -> Result<(), RedisError> {
        let mut claim = redis::cmd("XCLAIM");
        claim.arg(self.setup.jobs()).arg(WORKERS).arg(&self.setup.node).arg(0).arg(id);
        claim.arg("RETRYCOUNT").arg(attempts).arg("JUSTID").query_async(&mut self.redis).await
    }

    /// A job is done, or nobody can do it: it is not needed in its stream any more.
    pub(super) async fn acknowledge(&mut self, id: &str) -> Result<(), RedisError> {
        let mut done = redis::pipe();
        done.atomic();
        done.cmd("XACK").arg(self.setup.jobs()).arg(WORKERS).arg(id).ignore();
        done.cmd("XDEL").arg(self.setup.jobs()).arg(id).ignore();
        done.query_async(&mut self.redis).await
    }
}
