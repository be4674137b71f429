//! fakes.

mod store;
pub use store::MemoryStore;
