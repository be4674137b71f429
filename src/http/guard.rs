//! Who may speak to the API from a browser: two checks before any handler runs.
//!
//! A page of a stranger can make a browser on this machine send requests to us. The host
//! check stops it from reading answers by pointing its own name at our address (DNS
//! rebinding); the origin check stops it from having anything done (cross-site request
//! forgery). Neither is authentication: whoever reaches the port with a program of their
//! own passes both, which is why an address beyond this machine needs a token or an opt-in.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;

/// Why the API does not start on an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "api.listen = \"{0}\" would let everybody who reaches that address command this host, and there \
     is no token to ask for; make one (selfheal token create NAME --scope admin), or set api.listen \
     to 127.0.0.1:8003"
)]
pub struct Unprotected(SocketAddr);

/// Refuses an address beyond this machine unless it `is_covered`, by a token or by an explicit
/// opt-in.
pub fn check_listen(listen: SocketAddr, is_covered: bool) -> Result<(), Unprotected> {
    if listen.ip().is_loopback() || is_covered {
        return Ok(());
    }
    Err(Unprotected(listen))
}

/// Which names a request may call us by.
#[derive(Debug, Clone)]
pub struct AllowedHosts {
    listen: IpAddr,
    names: Vec<String>,
}

impl AllowedHosts {
    /// This machine's loopback names, the address listened on, and these names.
    pub fn new(listen: IpAddr, names: &[String]) -> Self {
        let names = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self { listen, names }
    }

    /// Whether `host`, with or without a port, is one of us. The port is not compared: a
    /// tunnel may have changed it.
    fn allows(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else {
            return false;
        };
        let name = authority.host().to_ascii_lowercase();
        if name == "localhost" || self.names.contains(&name) {
            return true;
        }
        let literal = name.trim_start_matches('[').trim_end_matches(']');
        // An attacker can point a name at us, never an address: on the wildcard address,
        // any address is one that reached us.
        literal.parse::<IpAddr>().is_ok_and(|address| {
            address.is_loopback() || address == self.listen || self.listen.is_unspecified()
        })
    }
}

/// Runs both checks.
pub(super) async fn guard(
    State(allowed): State<AllowedHosts>,
    request: Request,
    next: Next,
) -> Response {
    match check(&allowed, request.method(), request.headers(), request.uri().authority()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(
    allowed: &AllowedHosts,
    method: &Method,
    headers: &HeaderMap,
    authority: Option<&Authority>,
) -> Result<(), Problem> {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or(authority.map(Authority::as_str))
        .unwrap_or_default();
    if !allowed.allows(host) {
        return Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            format!(
                "`{host}` is not a name of this Selfheal; call it by localhost, 127.0.0.1 or the \
                 address in api.listen, or name it in the setting api.hosts"
            ),
        ));
    }
    if method.is_safe() || same_origin(headers, host) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "a page of another origin may not change anything here; use Selfheal's own page or the \
         command line",
    ))
}

/// Whether a browser says that our own page asks, or no browser says anything.
fn same_origin(headers: &HeaderMap, host: &str) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    if text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return false;
    }
    text("origin").is_none_or(|origin| {
        origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"))
            .is_some_and(|origin_host| origin_host.eq_ignore_ascii_case(host))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> AllowedHosts {
        AllowedHosts::new([127, 0, 0, 1].into(), &[])
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| ((*k).parse().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn only_names_of_this_machine_are_answered() {
        for good in ["localhost", "LOCALHOST:8003", "127.0.0.1:8003", "[::1]:1", "127.0.0.2"] {
            assert!(loopback().allows(good), "{good}");
        }
        for bad in ["", "evil.example", "localhost.evil.example", "10.0.0.1", "127.0.0.1.nip.io"] {
            assert!(!loopback().allows(bad), "{bad}");
        }
    }

    #[test]
    fn on_the_wildcard_address_any_address_is_us_but_no_name_is() {
        let wildcard = AllowedHosts::new([0, 0, 0, 0].into(), &["nas.lan".to_owned()]);
        assert!(wildcard.allows("192.168.1.5:8003"));
        assert!(wildcard.allows("NAS.lan"));
        assert!(!wildcard.allows("evil.example"));
    }

    #[test]
    fn a_strangers_page_may_look_at_nothing_and_do_nothing() {
        let own = [("host", "localhost:8003")];
        let post = |more: &[(&'static str, &'static str)]| {
            let pairs: Vec<_> = own.iter().chain(more).copied().collect();
            check(&loopback(), &Method::POST, &headers(&pairs), None).map_err(|p| p.status())
        };
        assert_eq!(post(&[]), Ok(()));
        assert_eq!(post(&[("origin", "http://localhost:8003")]), Ok(()));
        assert_eq!(post(&[("sec-fetch-site", "same-origin")]), Ok(()));
        for stranger in [
            &[("origin", "http://localhost:9999")][..],
            &[("origin", "null")],
            &[("origin", "https://evil.example")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("origin", "http://localhost:8003"), ("sec-fetch-site", "cross-site")],
        ] {
            assert_eq!(post(stranger), Err(StatusCode::FORBIDDEN), "{stranger:?}");
        }
        let rebound = check(&loopback(), &Method::GET, &headers(&[("host", "evil.example")]), None);
        assert_eq!(rebound.map_err(|p| p.status()), Err(StatusCode::MISDIRECTED_REQUEST));
    }

    #[test]
    fn by_a_name_of_the_settings_one_may_log_in_through_a_proxy() {
        let named = AllowedHosts::new([127, 0, 0, 1].into(), &["selfheal.lan".to_owned()]);
        let post = |origin: &'static str| {
            let sent = headers(&[("host", "selfheal.lan"), ("origin", origin)]);
            check(&named, &Method::POST, &sent, None).map_err(|p| p.status())
        };
        assert_eq!(post("https://selfheal.lan"), Ok(()));
        assert_eq!(post("https://evil.example"), Err(StatusCode::FORBIDDEN));
    }

    #[test]
    fn beyond_this_machine_it_starts_only_when_covered() {
        let anywhere: SocketAddr = "0.0.0.0:8003".parse().unwrap();
        let here: SocketAddr = "127.0.0.1:8003".parse().unwrap();
        assert!(check_listen(here, false).is_ok());
        assert!(check_listen(anywhere, true).is_ok());
        let refused = check_listen(anywhere, false).unwrap_err().to_string();
        assert!(refused.contains("0.0.0.0:8003") && refused.contains("token create"), "{refused}");
    }
}
