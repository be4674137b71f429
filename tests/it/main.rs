//! Integration tests.
mod store;
