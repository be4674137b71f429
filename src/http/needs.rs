//! Which call needs what: the one table.
//!
//! A call that is not in it is refused, so that one which is added and forgotten here opens
//! nothing to nobody. A test walks every route of the router.

use axum::http::Method;

use crate::access::Scope;

/// What a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: anybody may.
    Nothing,
    /// A token of at least this scope.
    AtLeast(Scope),
}

use Need::{AtLeast, Nothing};

const LOOK: Need = AtLeast(Scope::Viewer);
const ACT: Need = AtLeast(Scope::Operator);
const ALL: Need = AtLeast(Scope::Admin);

/// Method, route as the router has it, need.
pub(super) const NEEDS: [(&str, &str, Need); 57] = [
    // Whether it lives, for whoever restarts it; and what the login itself is made of.
    ("GET", "/health", Nothing),
    ("GET", "/api/automation/health", Nothing),
    ("GET", "/assets/{name}", Nothing),
    ("GET", "/login", Nothing),
    ("POST", "/login", Nothing),
    ("POST", "/logout", Nothing),
    // Looking.
    ("GET", "/", LOOK),
    ("GET", "/incidents", LOOK),
    ("GET", "/incidents/{id}", LOOK),
    ("GET", "/approvals", LOOK),
    ("GET", "/targets", LOOK),
    ("GET", "/targets/{id}", LOOK),
    ("GET", "/backups", LOOK),
    ("GET", "/backups/{id}", LOOK),
    ("GET", "/knowledge", LOOK),
    ("GET", "/knowledge/{id}", LOOK),
    // It asks by its body, which is too long for an address, and changes nothing.
    ("POST", "/knowledge/explain", LOOK),
    ("GET", "/learning", LOOK),
    ("GET", "/pipeline", LOOK),
    ("GET", "/settings", LOOK),
    ("GET", "/docs", LOOK),
    ("GET", "/docs/", LOOK),
    ("GET", "/docs/{*rest}", LOOK),
    ("GET", "/openapi.json", LOOK),
    ("GET", "/metrics", LOOK),
    ("GET", "/api/monitoring/health", LOOK),
    ("GET", "/api/monitoring/status", LOOK),
    ("GET", "/api/monitoring/backups", LOOK),
    ("GET", "/api/monitoring/stats", LOOK),
    ("GET", "/api/learning/shadow", LOOK),
    ("GET", "/api/incidents", LOOK),
    ("GET", "/api/incidents/{id}", LOOK),
    ("GET", "/api/targets", LOOK),
    ("GET", "/api/targets/{id}", LOOK),
    ("GET", "/api/events", LOOK),
    ("GET", "/api/automation/status", LOOK),
    ("GET", "/api/automation/history", LOOK),
    ("GET", "/api/automation/statistics", LOOK),
    ("GET", "/api/automation/active-orchestrators", LOOK),
    // Deciding about what is watched.
    ("POST", "/incidents/{id}/{decision}", ACT),
    ("POST", "/freeze", ACT),
    ("POST", "/unfreeze", ACT),
    ("POST", "/check", ACT),
    ("POST", "/targets/{id}/freeze", ACT),
    ("POST", "/targets/{id}/unfreeze", ACT),
    ("POST", "/backups/{id}/rollback", ACT),
    ("POST", "/api/monitoring/trigger-check", ACT),
    ("POST", "/api/monitoring/rollback/{backup_id}", ACT),
    ("POST", "/api/incidents/{id}/approve", ACT),
    ("POST", "/api/incidents/{id}/dismiss", ACT),
    ("POST", "/api/incidents/{id}/rollback", ACT),
    ("POST", "/api/freeze", ACT),
    ("DELETE", "/api/freeze", ACT),
    // Everything else.
    ("POST", "/settings/alerts/{channel}", ALL),
    ("POST", "/api/automation/start", ALL),
    ("POST", "/api/automation/stop", ALL),
    ("POST", "/api/automation/heal", ALL),
];

/// What is known of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// What the call needs.
    Needs(Need),
    /// The route is in the table, and not with this method.
    OtherMethod,
    /// Nobody wrote it into the table.
    Nothing,
}

/// What a call of this route needs; asking for the head of an answer is asking for the answer.
pub(super) fn needed(method: &Method, route: &str) -> Known {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let mut of_route = NEEDS.iter().filter(|(_, path, _)| *path == route).peekable();
    if of_route.peek().is_none() {
        return Known::Nothing;
    }
    of_route
        .find(|(name, _, _)| *name == method.as_str())
        .map_or(Known::OtherMethod, |(_, _, need)| Known::Needs(*need))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use regex::Regex;

    use super::*;

    /// Method and route of everything the real router answers: it lists them nowhere but in its
    /// description of itself.
    fn routes() -> BTreeSet<(String, String)> {
        let (documented, _) = super::super::routes().split_for_parts();
        let router = format!("{:?}", documented.merge(super::super::undocumented()));
        let router = router.split("fallback_router").next().unwrap();
        let all = |pattern: &str| -> BTreeMap<String, String> {
            let pattern = Regex::new(pattern).unwrap();
            pattern.captures_iter(router).map(|c| (c[1].to_owned(), c[2].to_owned())).collect()
        };
        let methods =
            all(r#"RouteId\((\d+)\): MethodRouter\(.*?allow_header: Bytes\(b"([A-Z,]+)"\)"#);
        let paths = all(r#"RouteId\((\d+)\): "([^"]+)""#);
        let found: BTreeSet<(String, String)> = paths
            .iter()
            .flat_map(|(id, path)| methods[id].split(',').map(|m| (m.to_owned(), path.clone())))
            .filter(|(method, _)| method != "HEAD")
            .collect();
        assert_eq!(paths.len(), router.matches("MethodRouter {").count(), "{router}");
        found
    }

    #[test]
    fn every_route_of_the_router_stands_in_the_table_and_nothing_else_does() {
        let table: BTreeSet<(String, String)> = NEEDS
            .iter()
            .map(|(method, route, _)| ((*method).to_owned(), (*route).to_owned()))
            .collect();
        let routes = routes();
        let open: Vec<_> = routes.difference(&table).collect();
        assert!(open.is_empty(), "not in the table: {open:?}");
        let gone: Vec<_> = table.difference(&routes).collect();
        assert!(gone.is_empty(), "no routes: {gone:?}");
        assert_eq!(table.len(), NEEDS.len(), "one stands there twice");
    }

    #[test]
    fn looking_never_needs_more_than_a_viewer_and_nothing_is_changed_by_one() {
        for (method, route, need) in NEEDS {
            let looks = method == "GET" || route == "/knowledge/explain";
            assert_eq!(looks && need != Nothing, need == LOOK, "{method} {route}");
        }
    }
}
