//! What calls for a cycle beside a person: the schedule, the container runtime's events,
//! light probes and followed logs.
//!
//! A trigger names a scope and nothing else; what is true is found out by the cycle. So a
//! trigger too many costs a look, and one too few costs time, never correctness. None of
//! them decides, fixes or waits for a cycle.

pub mod docker_events;
pub mod logs;
pub mod probes;
pub mod schedule;

use std::sync::Arc;

use selfheal_agents::model::TargetId;

use super::{Scope, Trigger};

/// Asks for a cycle over a scope; returns at once.
pub type Fire = Arc<dyn Fn(Scope, Trigger) + Send + Sync>;

/// Told of a target that did not answer once; returns at once.
pub type Doubt = Arc<dyn Fn(&TargetId) + Send + Sync>;

/// Remembers what was called for, for tests.
#[cfg(test)]
mod fired {
    use std::sync::{Arc, Mutex};

    use super::{Fire, Scope};

    #[derive(Clone, Default)]
    pub(super) struct Fired(Arc<Mutex<Vec<Scope>>>);

    impl Fired {
        pub(super) fn fire(&self) -> Fire {
            let fired = Arc::clone(&self.0);
            Arc::new(move |scope, _| fired.lock().unwrap().push(scope))
        }

        pub(super) fn all(&self) -> Vec<Scope> {
            self.0.lock().unwrap().clone()
        }
    }
}
