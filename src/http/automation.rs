//! `/api/automation/*`: the repair of source projects, which does not exist yet.
//!
//! Every call is in the document and answers 501; none makes a success up.

use axum::http::StatusCode;

use super::problem::Problem;

/// The calls that will exist, for the router and the document.
pub(super) const CALLS: [(&str, &str); 7] = [
    ("post", "/api/automation/start"),
    ("post", "/api/automation/stop"),
    ("get", "/api/automation/status"),
    ("get", "/api/automation/history"),
    ("get", "/api/automation/statistics"),
    ("post", "/api/automation/heal"),
    ("get", "/api/automation/active-orchestrators"),
];

/// Says so.
pub(super) async fn not_built() -> Problem {
    Problem::new(
        StatusCode::NOT_IMPLEMENTED,
        "the repair of source projects is not built yet; containers and services are under \
         /api/monitoring",
    )
}
