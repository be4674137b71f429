//! Which call needs what: the one table.
//!
//! A call that is not in it is refused, so that one which is added and forgotten here opens
//! nothing to nobody. A test walks every route of the router.

use axum::http::Method;

use crate::access::{Cost, Scope};

/// What a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: anybody may.
    Nothing,
    /// A token of at least this scope, to look.
    Look(Scope),
    /// A token of at least this scope, to do what this word says in the audit log; `{decision}` is
    /// the word at that place of the path.
    Act(Scope, &'static str),
}

impl Need {
    /// The scope that is needed.
    pub(super) const fn scope(self) -> Option<Scope> {
        match self {
            Self::Nothing => None,
            Self::Look(scope) | Self::Act(scope, _) => Some(scope),
        }
    }
}

use Need::{Act, Look, Nothing};

/// Looking that takes the longer, the more there is to look at or the more is asked about.
const COSTLY: [&str; 11] = [
    "/learning",
    "/backups",
    "/backups/{id}",
    "/knowledge",
    "/knowledge/explain",
    "/api/audit",
    "/api/events",
    "/api/fleet",
    "/fleet",
    "/api/learning/shadow",
    "/api/monitoring/backups",
];

/// What a call of this route costs.
pub(super) fn cost(need: Need, route: &str) -> Cost {
    match need {
        Act(..) => Cost::Write,
        Look(_) if COSTLY.contains(&route) => Cost::Read,
        Look(_) | Nothing => Cost::Free,
    }
}

const LOOK: Need = Look(Scope::Viewer);

/// What whoever may decide about what is watched may do.
const fn act(word: &'static str) -> Need {
    Act(Scope::Operator, word)
}

/// What only an administrator may do.
const fn administer(word: &'static str) -> Need {
    Act(Scope::Admin, word)
}

/// Method, route as the router has it, need.
pub(super) const NEEDS: [(&str, &str, Need); 67] = [
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
    ("GET", "/fleet", LOOK),
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
    ("GET", "/api/fleet", LOOK),
    ("GET", "/api/events", LOOK),
    ("GET", "/api/automation/status", LOOK),
    ("GET", "/api/automation/history", LOOK),
    ("GET", "/api/automation/statistics", LOOK),
    ("GET", "/api/automation/active-orchestrators", LOOK),
    // Deciding about what is watched.
    ("POST", "/incidents/{id}/{decision}", act("{decision}")),
    ("POST", "/freeze", act("freeze")),
    ("POST", "/unfreeze", act("unfreeze")),
    ("POST", "/check", act("check")),
    ("POST", "/targets/{id}/freeze", act("freeze")),
    ("POST", "/targets/{id}/unfreeze", act("unfreeze")),
    ("POST", "/targets/{id}/ask-again", act("ask_again")),
    ("POST", "/backups/{id}/rollback", act("rollback")),
    ("POST", "/fleet/{node}/forget", act("forget")),
    ("POST", "/settings/doctor", act("doctor")),
    ("POST", "/api/monitoring/trigger-check", act("check")),
    ("POST", "/api/monitoring/rollback/{backup_id}", act("rollback")),
    ("POST", "/api/incidents/{id}/approve", act("approve")),
    ("POST", "/api/incidents/{id}/dismiss", act("dismiss")),
    ("POST", "/api/incidents/{id}/rollback", act("rollback")),
    ("POST", "/api/freeze", act("freeze")),
    ("DELETE", "/api/freeze", act("unfreeze")),
    ("DELETE", "/api/fleet/{node}", act("forget")),
    ("POST", "/api/alerts/alertmanager", act("alert")),
    // Everything else.
    ("GET", "/api/audit", Look(Scope::Admin)),
    ("POST", "/settings/alerts/{channel}", administer("alert_test")),
    ("POST", "/settings/tokens", administer("token_create")),
    ("POST", "/settings/tokens/{name}/revoke", administer("token_revoke")),
    ("POST", "/api/automation/start", administer("start")),
    ("POST", "/api/automation/stop", administer("stop")),
    ("POST", "/api/automation/heal", administer("heal")),
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
    fn what_is_said_to_be_costly_is_there_to_be_looked_at() {
        for route in COSTLY {
            let of_route = NEEDS.iter().find(|(_, path, _)| *path == route);
            assert!(of_route.is_some_and(|(.., need)| cost(*need, route) == Cost::Read), "{route}");
        }
    }

    #[test]
    fn looking_needs_a_viewer_and_what_changes_anything_has_a_word_for_the_audit_log() {
        for (method, route, need) in NEEDS {
            let looks = method == "GET" || route == "/knowledge/explain";
            let (audits, is_login) = (route == "/api/audit", matches!(route, "/login" | "/logout"));
            match need {
                Nothing => assert!(looks || is_login, "{method} {route}"),
                Look(scope) => {
                    assert!(looks, "{method} {route}");
                    assert_eq!(scope, if audits { Scope::Admin } else { Scope::Viewer }, "{route}");
                }
                Act(scope, word) => {
                    assert!(
                        !looks && scope > Scope::Viewer && !word.is_empty(),
                        "{method} {route}"
                    );
                }
            }
        }
    }
}
