//! The body of `/api/audit`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::audit::Entry;

/// The newest entries of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditPage {
    /// The number and hash of the newest entry, with a colon between.
    pub head: Option<String>,
    /// Newest first.
    pub entries: Vec<Entry>,
}
