//! The settings of traces.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{Address, DurationText, Secret, duration};

/// OpenTelemetry traces of cycles and repairs. The variables `OTEL_EXPORTER_OTLP_ENDPOINT`, `_HEADERS`
/// and `_TIMEOUT`, the same with `_TRACES`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`,
/// `OTEL_TRACES_EXPORTER` and `OTEL_SDK_DISABLED` go before them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Traces {
    /// Where a collector takes OTLP by HTTP, as JSON, such as `http://127.0.0.1:4318`; `/v1/traces`
    /// is added. Empty switches traces off.
    pub endpoint: Address,
    /// More request headers, such as `Authorization`.
    pub headers: BTreeMap<String, Secret>,
    /// How long a collector may take for one request; what it does not take is dropped.
    #[serde(with = "duration")]
    #[schemars(with = "DurationText")]
    pub timeout: Duration,
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            endpoint: Address::default(),
            headers: BTreeMap::new(),
            timeout: Duration::from_secs(10),
        }
    }
}
