//! The part of the container runtime by which a container is made again.

use async_trait::async_trait;

use super::WorldResult;
use crate::model::{Blueprint, ImageFacts, Remake};

/// Makes containers again as they were made, but for what is to be different. Arguments are names.
///
/// The old container is kept until the new one has proved itself, and nothing here removes a
/// volume: what was written down in one is found again in the other.
#[async_trait]
pub trait Remakes: Send + Sync {
    /// An image of this host, by its id.
    async fn image(&self, id: &str) -> WorldResult<ImageFacts>;
    /// How a container was made; refused for one that cannot be made again just like that.
    async fn blueprint(&self, name: &str) -> WorldResult<Blueprint>;
    /// Takes the container of this name and id out of the way: stopped within this time, never
    /// started by the runtime itself, and called `aside`. No error if it is.
    async fn set_aside(
        &self,
        name: &str,
        id: &str,
        aside: &str,
        stop_timeout_secs: u32,
    ) -> WorldResult<()>;
    /// Makes a container of this name, on all its networks, and does not start it. One half made
    /// under the same mark is finished; any other of this name is a conflict.
    async fn make(&self, name: &str, from: &Blueprint, with: &Remake) -> WorldResult<()>;
    /// Gives the container that was made so its name and its restart policy back. No error if it
    /// has them.
    async fn put_back(&self, aside: &str, name: &str, from: &Blueprint) -> WorldResult<()>;
    /// Removes the container of this name and id, and none of its volumes; no error if it is gone.
    async fn remove(&self, name: &str, id: &str) -> WorldResult<()>;
}
