//! What goes to other programs, and what came from them.

use async_trait::async_trait;

use super::StoreResult;
use crate::model::{Message, QueuedMessage, Timestamp};

/// Messages on their way to other programs, in the order in which they were queued, and the jobs
/// of other programs that are done.
#[async_trait]
pub trait Messages: Send + Sync {
    /// Queues messages, all or none.
    async fn queue_messages(&self, messages: &[Message], at: Timestamp) -> StoreResult<()>;
    /// Those that wait longest, in their order.
    async fn messages(&self, limit: usize) -> StoreResult<Vec<QueuedMessage>>;
    /// All up to this one were taken: they wait no more.
    async fn messages_taken(&self, up_to: i64) -> StoreResult<()>;
    /// How many wait.
    async fn messages_waiting(&self) -> StoreResult<u64>;
    /// Notes that a job is done or given up, and queues what is told of that: both or neither.
    async fn finish_job(&self, id: &str, at: Timestamp, messages: &[Message]) -> StoreResult<()>;
    /// Whether that job is done or given up.
    async fn is_job_finished(&self, id: &str) -> StoreResult<bool>;
}
