//! Placeholder: probes.
