//! Placeholder: host.
