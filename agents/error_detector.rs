//! Finds what is wrong: bad checks and known trouble in logs, grouped and ranked.
//!
//! It judges nothing itself: checks bring their verdict, runbooks bring their signatures.

pub mod catalogue;
mod matcher;
mod rules;
pub mod vocabulary;

pub use catalogue::{BrokenRunbook, Catalogue, Match};
