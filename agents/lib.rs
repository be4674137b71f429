//! The six agents of Selfheal and the words they think in.
//!
//! This package is pure: it opens no socket, reads no file and has no clock of
//! its own. Whatever it needs of the world it asks for through [`ports`]; whatever
//! it decides it returns as a value of [`model`]. So every decision can be tested
//! without a container, replayed from a record, and explained.
//!
//! It does not schedule, store, or apply policy; that is the coordinator's work in
//! the package `selfheal`.

pub mod backup;
pub mod error_detector;
pub mod fix_engineer;
pub mod health_monitor;
pub mod learning_engine;
pub mod lease;
pub mod model;
pub mod patterns;
pub mod ports;
pub mod root_cause;

#[cfg(any(test, feature = "fakes"))]
pub mod fakes;
