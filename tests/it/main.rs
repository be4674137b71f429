//! Integration tests.

mod alerts;
mod config;
mod docker;
mod lab;
mod probes;
mod store;
mod support;
