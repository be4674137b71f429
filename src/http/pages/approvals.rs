//! The page of what waits for a person.

use axum::extract::State;
use selfheal_agents::model::{Incident, IncidentState};

use super::view::ApprovalsPage;
use super::{Page, html};
use crate::http::body::IncidentDetail;
use crate::http::state::Api;

/// Incidents shown, the oldest.
const SHOWN: usize = 100;

pub(super) async fn approvals(State(api): State<Api>) -> Page {
    let open = api.store().open_incidents().await?;
    let held: Vec<&Incident> =
        open.iter().filter(|incident| incident.state() == IncidentState::Held).collect();
    // How files change is told by the page of each incident: it is read from backups.
    let shown: Vec<IncidentDetail> =
        held.iter().take(SHOWN).map(|incident| IncidentDetail::new(incident, vec![])).collect();
    let lifetime = api.coordinator.plan_lifetime();
    Ok(html(&ApprovalsPage::new(&shown, held.len() - shown.len(), lifetime, api.coordinator.now())))
}
