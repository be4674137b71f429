//! The lab: real containers, real faults, and a judge who asks the service from outside.
//!
//! A [`stack::Stack`] is a handful of services on a network of their own. A [`faults::Fault`] breaks
//! one of them. `by_hand` proves without Selfheal that each fault breaks what the
//! judge asks for and that the right action, and time alone never, mends it. `heals` and
//! `traps` let the real program loose on them, through a [`relay::Relay`] that shows it this
//! stack alone and writes down what it changes.
//!
//! Containers, images and networks carry the label `selfheal.test`; nothing without it is
//! touched. Where no Docker engine answers, each test says that it was skipped; in CI it fails.

mod by_hand;
mod composed;
mod daemon;
mod daemonless;
mod drills;
mod engine;
mod engines;
mod faults;
mod figures;
mod harness;
mod heals;
mod image;
mod killed;
mod mailbox;
mod neighbours;
mod rehearsals;
mod relay;
mod restarted;
mod stack;
mod store_away;
mod traps;

pub(crate) use self::daemon::UNDER_LOAD;
