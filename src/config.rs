//! Settings: read from a file, the environment and the command line, checked all at once.
//!
//! The one invariant: a [`Settings`] that leaves this module holds no impossible value, and
//! every value knows where it came from. Nothing else in the program reads a settings file
//! or an environment variable of ours. What the settings *do* is decided elsewhere.

mod declared;
mod settings;
mod values;

pub use declared::*;
pub use settings::*;
pub use values::{Address, MemoryCap, Secret};
