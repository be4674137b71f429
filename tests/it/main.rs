//! Integration tests.

mod config;
mod lab;
mod store;
mod support;
