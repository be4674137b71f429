//! error_detector.
