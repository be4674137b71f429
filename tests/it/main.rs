//! Integration tests.

mod alerts;
mod config;
mod lab;
mod probes;
mod store;
mod support;
