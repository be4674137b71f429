//! root_cause.
