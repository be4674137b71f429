//! A world in memory, for the tests of both packages.
//!
//! [`FakeWorld`] behaves as a Docker host does where that matters to a decision: a restart
//! gives a later start time and the events `kill`, `die`, `stop`, `start`; a memory limit
//! below what is in use is refused; a probe answers only while the container behind it
//! works. It records every change asked of it, so that a test can say that nothing was
//! touched. It has no timers: time moves only when a test moves [`FakeClock`].
//!
//! It does not run Docker's restart policies and does not imitate the daemon's failures by
//! itself; a test injects those with [`FakeWorld::fail_next`].

mod clock;
mod commands;
mod containers;
mod edges;
mod logs;
mod others;
mod rehearsals;
mod remakes;
mod runtime;
mod scene;
mod servers;
mod store;
mod world;

pub use clock::FakeClock;
pub use containers::{container, environment, healthy, labels, network, start_time};
pub use scene::{Behaviour, Condition, Failure, Scene, Stall};
pub use store::{Interruption, MemoryStore};
pub use world::FakeWorld;

#[cfg(test)]
mod tests;
