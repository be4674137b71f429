//! Placeholder: knowledge.
