//! Messages to and jobs of other programs, in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::MemoryStore;
use crate::model::{Message, QueuedMessage, Timestamp};
use crate::ports::{Messages, StoreResult};

/// What waits, and what is done.
#[derive(Default)]
pub(super) struct Kept {
    waiting: Vec<(Timestamp, QueuedMessage)>,
    jobs: BTreeMap<String, Timestamp>,
    /// The number of the newest message; it never begins anew.
    newest: i64,
}

impl Kept {
    pub(super) fn queue(&mut self, messages: &[Message], at: Timestamp) {
        for message in messages {
            self.newest += 1;
            self.waiting.push((at, QueuedMessage { id: self.newest, message: message.clone() }));
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.waiting.len() + self.jobs.len()
    }

    pub(super) fn forget(&mut self, before: Timestamp) {
        self.waiting.retain(|(at, _)| *at >= before);
        self.jobs.retain(|_, at| *at >= before);
    }
}

#[async_trait]
impl Messages for MemoryStore {
    async fn queue_messages(&self, messages: &[Message], at: Timestamp) -> StoreResult<()> {
        self.write()?.messages.queue(messages, at);
        Ok(())
    }

    async fn messages(&self, limit: usize) -> StoreResult<Vec<QueuedMessage>> {
        let kept = self.read()?;
        Ok(kept.messages.waiting.iter().take(limit).map(|(_, queued)| queued.clone()).collect())
    }

    async fn messages_taken(&self, up_to: i64) -> StoreResult<()> {
        self.write()?.messages.waiting.retain(|(_, queued)| queued.id > up_to);
        Ok(())
    }

    async fn messages_waiting(&self) -> StoreResult<u64> {
        Ok(self.read()?.messages.waiting.len() as u64)
    }

    async fn finish_job(&self, id: &str, at: Timestamp, messages: &[Message]) -> StoreResult<()> {
        let mut kept = self.write()?;
        kept.messages.jobs.entry(id.to_owned()).or_insert(at);
        kept.messages.queue(messages, at);
        Ok(())
    }

    async fn is_job_finished(&self, id: &str) -> StoreResult<bool> {
        Ok(self.read()?.messages.jobs.contains_key(id))
    }
}
