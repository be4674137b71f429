//! Integration tests.

mod access;
mod alerts;
mod audit;
mod browser;
mod cli;
mod commands;
mod config;
mod demo;
mod deploy;
mod docker;
mod doctor;
mod fleet;
mod following;
mod http;
mod lab;
mod logs;
mod man;
mod probes;
mod relaying;
mod scale;
mod service;
mod ssh;
mod store;
mod streams;
mod support;
mod tls;
