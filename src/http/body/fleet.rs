//! The body of `/api/fleet`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fleet::Member;

/// Every node.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct FleetView {
    /// The name of the one that answers; `null` where it is alone.
    pub node: Option<String>,
    /// By name.
    pub nodes: Vec<Member>,
}
