//! Integration tests.

mod access;
mod alerts;
mod audit;
mod cli;
mod config;
mod demo;
mod deploy;
mod docker;
mod following;
mod http;
mod lab;
mod man;
mod probes;
mod relaying;
mod service;
mod store;
mod streams;
mod support;
