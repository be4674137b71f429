//! The part of the container runtime by which a fix is tried before it is applied.

use async_trait::async_trait;

use super::WorldResult;
use crate::model::{Blueprint, RehearsalClone, Remake};

/// Makes clones of containers to try fixes on. A clone is started, looked at and heard as any
/// container, by its name.
///
/// A clone is kept from what works as far as that is known: it is on no network, publishes no
/// port, is not restarted, writes to nothing that outlives it, and carries none of its container's
/// labels, but those that tell when it expires and what for. What is known to lead out of it is
/// refused; a socket in a folder that nobody else has mounted and whose name tells nothing is not
/// seen.
#[async_trait]
pub trait Rehearsals: Send + Sync {
    /// Makes a clone of what was made so, but for what is to be different, and does not start it.
    async fn stage(
        &self,
        clone: &RehearsalClone,
        from: &Blueprint,
        with: &Remake,
    ) -> WorldResult<()>;
    /// Removes the clone of this name with everything that was made for it; no error if it is
    /// gone. What is no clone is refused.
    async fn unstage(&self, name: &str) -> WorldResult<()>;
}
