//! health_monitor.
