//! Integration tests.

mod config;
mod lab;
mod probes;
mod store;
mod support;
