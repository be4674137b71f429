//! Messages of other programs, as whatever fields (see `crate::fuzzed`).

use std::collections::BTreeMap;

use super::jobs::{self, Work};

/// A job is read or refused with a reason.
pub(crate) fn job(fields: &BTreeMap<String, String>) {
    let _ = jobs::priority(fields);
    match jobs::read(fields) {
        Ok(job) => {
            assert!(!job.id.is_empty() && !job.id.chars().any(char::is_control), "{job:?}");
            if let Work::Rollback(request) = &job.work {
                let _ = request.backup();
            }
            if let Work::Freeze(request) = &job.work {
                let _ = request.until(chrono::Utc::now());
            }
        }
        Err(why) => assert!(!why.is_empty()),
    }
}
