//! What calls for a cycle beside a person: the schedule, the container runtime's events,
//! light probes and followed logs.
//!
//! A trigger names a scope and nothing else; what is true is found out by the cycle. So a
//! trigger too many costs a look, and one too few costs time, never correctness. None of
//! them decides, fixes or waits for a cycle.

pub mod schedule;

use std::sync::Arc;

use super::{Scope, Trigger};

/// Asks for a cycle over a scope; returns at once.
pub type Fire = Arc<dyn Fn(Scope, Trigger) + Send + Sync>;
