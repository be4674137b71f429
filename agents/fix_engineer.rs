//! Proposes typed, reversible fixes for a diagnosis.
pub mod actions;
pub mod config_file;
