//! Integration tests.

mod lab;
mod support;
