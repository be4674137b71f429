//! Selfheal: everything that touches the world, and the program around the agents.
//!
//! `main` puts the parts together; the flow itself is in [`coordinator`]. Arrows run one
//! way: `http` and `cli` know the coordinator, the coordinator knows the agents and their
//! ports, and the adapters (`docker`, `host`, `probes`, `store`, `alerts`) know only ports
//! and model.

pub mod access;
pub mod alerts;
pub mod app;
pub mod audit;
pub mod cli;
pub mod config;
pub mod coordinator;
pub mod docker;
pub mod fleet;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzzed;
pub mod host;
pub mod http;
pub mod knowledge;
pub mod leave;
pub mod probes;
pub mod recordings;
pub mod store;
pub mod streams;
pub mod traces;
pub mod upkeep;
