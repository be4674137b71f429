//! What other nodes do: who of them looks after what all of them reach, and what they learnt.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::model::{Neighbour, Outcome, Sought, TargetId, Timestamp};

/// Who may change a target now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ownership {
    /// This node.
    Ours,
    /// Another.
    Elsewhere {
        /// Its name.
        node: String,
    },
    /// Nobody knows, so nobody may.
    Unknown {
        /// Why.
        why: String,
    },
}

/// A freeze of what several nodes reach, as another has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrozenThere {
    /// The node.
    pub node: String,
    /// What is frozen, by its name here.
    pub target: TargetId,
    /// Until when; for ever without it.
    pub until: Option<Timestamp>,
    /// Why.
    pub why: String,
}

/// A call that may be made; dropping it says that the call is over.
pub trait Permit: Send + Sync {
    /// Whether there is still time for the whole call. Nothing may lie between this and the call.
    fn is_valid(&self) -> bool;
    /// The same of one part of it, which ends within `limit`.
    fn covers(&self, limit: Duration) -> bool;
}

/// The other nodes. What only this node reaches is always its own.
#[async_trait]
pub trait Fleet: Send + Sync {
    /// Who may change the target now, as far as is known here.
    fn ownership(&self, target: &TargetId) -> Ownership;
    /// Asks to change the target by a call that ends within `limit`; the error says why not now.
    async fn permit(&self, target: &TargetId, limit: Duration) -> Result<Box<dyn Permit>, String>;
    /// What other nodes have frozen of what this one reaches, too.
    fn frozen(&self) -> Vec<FrozenThere> {
        vec![]
    }
    /// Says what is needed here and is not here; whether another node has it is asked from now on.
    fn seek(&self, _sought: BTreeSet<Sought>) {}
    /// What other nodes have of that; `None` until they were asked. One may be found at several nodes.
    fn neighbours(&self) -> Option<Vec<Neighbour>> {
        Some(vec![])
    }
    /// What became of the fixes of other nodes. What only they reach bears their name.
    fn outcomes(&self) -> Arc<Vec<Outcome>>;
}

/// No other node: everything is this one's.
pub struct Alone;

impl Permit for Alone {
    fn is_valid(&self) -> bool {
        true
    }
    fn covers(&self, _limit: Duration) -> bool {
        true
    }
}

#[async_trait]
impl Fleet for Alone {
    fn ownership(&self, _target: &TargetId) -> Ownership {
        Ownership::Ours
    }
    async fn permit(&self, _target: &TargetId, _: Duration) -> Result<Box<dyn Permit>, String> {
        Ok(Box::new(Self))
    }
    fn outcomes(&self) -> Arc<Vec<Outcome>> {
        Arc::default()
    }
}
