//! Placeholder: docker.
