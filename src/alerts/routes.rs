//! Decides through which channels an alert goes.
//!
//! Pure. Its invariants: the log gets every alert; what nobody but a person can end, and Selfheal
//! does nothing about any more, goes everywhere, so that no route can hide it; and whoever was told
//! of an incident is told that it is over, so that nobody is left with a page that has no end.

use selfheal_agents::ports::Alert;

use super::{AlertEvent, Log};
use crate::config::Route;

/// Events that go through every channel. After them Selfheal heals nothing there, or nothing at
/// all, until a person came.
const EVERYWHERE: [&str; 4] = [AlertEvent::Stuck.as_str(), "damaged", "unreadable", "safety_stop"];

/// The channels, of those that there are, that get this alert; `told` are those that were told of
/// its incident before.
pub fn channels_for(
    alert: &Alert,
    told: &[String],
    channels: &[String],
    routes: &[Route],
) -> Vec<String> {
    let everywhere = routes.is_empty() || goes_everywhere(alert);
    let gets = |channel: &&String| {
        everywhere
            || **channel == Log::NAME
            || (alert.is_over() && told.contains(channel))
            || routes.iter().any(|route| takes(route, alert) && leads_to(route, channel))
    };
    channels.iter().filter(gets).cloned().collect()
}

/// Whether nobody may miss it.
pub(super) fn goes_everywhere(alert: &Alert) -> bool {
    EVERYWHERE.contains(&alert.event.as_str())
}

fn takes(route: &Route, alert: &Alert) -> bool {
    let Route { severity, target, event, .. } = route;
    severity.is_none_or(|least| alert.severity >= least)
        && target.as_ref().is_none_or(|only| alert.target.as_ref() == Some(only))
        && (event.is_empty() || event.iter().any(|name| name.as_str() == alert.event))
}

fn leads_to(route: &Route, channel: &str) -> bool {
    route.channels.iter().any(|name| name.as_str() == channel)
}

#[cfg(test)]
mod tests {
    use selfheal_agents::model::{Severity, TargetId};

    use super::*;
    use crate::alerts::text::tests::hostile;
    use crate::config::{ChannelName, EventName};

    const ALL: [&str; 4] = ["log", "email", "ntfy", "pagerduty"];

    fn alert(event: &str, severity: Severity, target: Option<&str>) -> Alert {
        let target = target.map(TargetId::container);
        Alert { event: event.to_owned(), severity, target, ..hostile() }
    }

    fn route(channels: &[ChannelName]) -> Route {
        Route { severity: None, target: None, event: vec![], channels: channels.to_vec() }
    }

    /// Everything by mail; what is critical wakes somebody; what the database does is pushed, but
    /// not that it works again.
    fn rules() -> Vec<Route> {
        use ChannelName::{Email, Ntfy, PagerDuty};
        vec![
            route(&[Email]),
            Route { severity: Some(Severity::Critical), ..route(&[PagerDuty]) },
            Route {
                target: Some(TargetId::container("db")),
                event: vec![EventName::Held, EventName::RolledBack],
                ..route(&[Ntfy, Email])
            },
        ]
    }

    fn sent(alert: &Alert, told: &[&str], routes: &[Route]) -> Vec<String> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let (told, all): (Vec<String>, Vec<String>) = (owned(told), owned(&ALL));
        channels_for(alert, &told, &all, routes)
    }

    #[test]
    fn every_route_that_takes_an_alert_adds_its_channels() {
        use Severity::{Critical, Info, Warning};
        for (event, severity, target, channels) in [
            ("held", Warning, Some("web"), vec!["log", "email"]),
            ("held", Critical, Some("web"), vec!["log", "email", "pagerduty"]),
            ("held", Critical, Some("db"), ALL.to_vec()),
            ("rolled_back", Warning, Some("db"), vec!["log", "email", "ntfy"]),
            ("resolved", Info, Some("db"), vec!["log", "email"]),
            ("blind", Critical, None, vec!["log", "email", "pagerduty"]),
        ] {
            let alert = alert(event, severity, target);
            assert_eq!(sent(&alert, &[], &rules()), channels, "{event} {severity:?} {target:?}");
        }
    }

    #[test]
    fn without_routes_everybody_gets_everything() {
        let alert = alert("resolved", Severity::Info, Some("web"));
        assert_eq!(sent(&alert, &[], &[]), ALL);
    }

    #[test]
    fn what_no_route_takes_is_in_the_log() {
        let alert = alert("held", Severity::Warning, Some("web"));
        assert_eq!(sent(&alert, &[], &rules()[1..]), ["log"]);
    }

    #[test]
    fn what_selfheal_does_nothing_about_any_more_cannot_be_hidden() {
        for event in ["stuck", "damaged", "unreadable", "safety_stop"] {
            let alert = alert(event, Severity::Critical, Some("web"));
            assert_eq!(sent(&alert, &[], &rules()[2..]), ALL, "{event}");
        }
    }

    #[test]
    fn who_was_told_of_it_is_told_that_it_is_over_and_nothing_else() {
        let told = ["log", "pagerduty"];
        for event in ["resolved", "recovered"] {
            let over = alert(event, Severity::Info, Some("web"));
            assert_eq!(sent(&over, &told, &rules()), ["log", "email", "pagerduty"], "{event}");
        }
        let held = alert("held", Severity::Warning, Some("web"));
        assert_eq!(sent(&held, &told, &rules()), ["log", "email"]);
    }
}
