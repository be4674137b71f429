//! The first agent: looks at every target and judges each value against its threshold.
//!
//! It tells what is, not why: who is to blame is the root cause agent's work. A value that
//! could not be had is an observation with the verdict unknown and the reason, never an
//! error, so that one mute target cannot spoil a cycle.

pub mod changes;
pub mod checks;
mod flapping;
mod forecast;
mod inquiry;
mod inventory;
mod life;
mod observe;
mod steady;
mod thresholds;
mod trends;
mod warm_up;

pub use flapping::{Flapping, Flaps};
pub use inquiry::Inquiry;
pub use inventory::{DEMO_LABEL, Declared, Inventory, Learnt, take_inventory};
pub use life::{Death, DeathCause, deaths, longest_life};
pub use observe::HealthMonitor;
pub use thresholds::{Limit, Thresholds};
pub use trends::{forecasts, lasting};
pub use warm_up::{Sight, Starts, WarmUps};

#[cfg(test)]
mod tests;
