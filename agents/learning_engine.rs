//! learning_engine.
