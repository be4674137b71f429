//! Placeholder: alerts.
