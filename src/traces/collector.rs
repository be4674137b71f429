//! Where traces go, by the settings and by the environment variables that OpenTelemetry names; these
//! go before the settings, as every variable does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use selfheal_agents::model::SecretText;
use url::Url;

use crate::alerts::PostError;
use crate::alerts::post::Post;
use crate::config::Traces;

/// What is added to the address of a collector.
const PATH: &str = "v1/traces";

/// Where traces go, and what became of them.
pub struct Collector {
    pub(super) post: Post,
    pub(super) url: String,
    /// What is said of Selfheal itself.
    pub(super) resource: Vec<(String, String)>,
    pub(super) sent: AtomicU64,
    pub(super) dropped: AtomicU64,
}

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// That is no address.
    #[error("`{name}` is no address of a collector; write it like http://127.0.0.1:4318")]
    Address {
        /// Where it stands.
        name: &'static str,
    },
    /// That is no number of milliseconds.
    #[error("`{name}` is no number of milliseconds")]
    Timeout {
        /// Where it stands.
        name: &'static str,
    },
    /// Nothing can be sent by HTTP.
    #[error(transparent)]
    Post(#[from] PostError),
}

impl Collector {
    /// By these settings and the variables that `variable` knows; `None` where traces are off.
    pub fn of(
        traces: &Traces,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, SetupError> {
        let set = |name: &'static str| {
            variable(name).filter(|value| !value.trim().is_empty()).map(|value| (name, value))
        };
        let is = |name, word: &str| {
            set(name).is_some_and(|(_, value)| value.trim().eq_ignore_ascii_case(word))
        };
        if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
            return Ok(None);
        }
        let of_settings = traces.endpoint.expose().trim();
        let url = if let Some((name, url)) = set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
            address(name, &url)?
        } else if let Some((name, base)) = set("OTEL_EXPORTER_OTLP_ENDPOINT") {
            below(address(name, &base)?)
        } else if of_settings.is_empty() {
            return Ok(None);
        } else {
            below(address("traces.endpoint", of_settings)?)
        };
        let first = |one, other| set(one).or_else(|| set(other));
        let limit = first("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT");
        let limit = limit.map_or(Ok(traces.timeout), |(name, value)| {
            value
                .trim()
                .parse()
                .map(Duration::from_millis)
                .map_err(|_| SetupError::Timeout { name })
        })?;
        let headers = first("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS");
        let mut all: Vec<(String, SecretText)> =
            traces.headers.iter().map(|(name, value)| (name.clone(), value.to_model())).collect();
        let of_environment = headers.map_or_else(Vec::new, |(_, list)| pairs(&list));
        all.extend(of_environment.into_iter().map(|(name, value)| (name, SecretText::new(value))));
        let resource = resource(set("OTEL_SERVICE_NAME"), set("OTEL_RESOURCE_ATTRIBUTES"));
        let post = Post::new(&all, limit)?;
        Ok(Some(Self { post, url: url.into(), resource, sent: 0.into(), dropped: 0.into() }))
    }

    /// How many spans it took since the start, and how many it did not.
    pub fn figures(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed))
    }
}

/// Whether that can be the address of a collector; if not, why.
pub fn is_collector(text: &str) -> Result<(), String> {
    let why = "this is no address of a collector; write it like `http://127.0.0.1:4318`";
    address("", text).map(drop).map_err(|_| why.to_owned())
}

fn address(name: &'static str, text: &str) -> Result<Url, SetupError> {
    let url = Url::parse(text.trim()).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or(SetupError::Address { name })
}

/// The address for traces at a collector; one that has it already stays as it is.
fn below(mut base: Url) -> Url {
    let path = base.path().trim_end_matches('/').to_owned();
    if !path.ends_with(PATH) {
        base.set_path(&format!("{path}/{PATH}"));
    }
    base
}

/// `name=value,name=value`, with values as in an address.
fn pairs(list: &str) -> Vec<(String, String)> {
    // There a plus sign is one.
    let plain = |text: &str| {
        let text = text.trim().replace('+', "%2B");
        url::form_urlencoded::parse(text.as_bytes())
            .next()
            .map_or_else(String::new, |(name, _)| name.into_owned())
    };
    let parts = list.split(',').filter_map(|part| part.split_once('='));
    parts.map(|(name, value)| (name.trim().to_owned(), plain(value))).collect()
}

fn resource(
    name: Option<(&str, String)>,
    attributes: Option<(&str, String)>,
) -> Vec<(String, String)> {
    let given = attributes.map_or_else(Vec::new, |(_, list)| pairs(&list));
    let name = name.map(|(_, name)| ("service.name".to_owned(), name));
    let own = [
        ("service.name", "selfheal".to_owned()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("host.name", sysinfo::System::host_name().unwrap_or_default()),
    ];
    let own = own.into_iter().map(|(key, value)| (key.to_owned(), value));
    let mut all: Vec<(String, String)> = vec![];
    for (key, value) in name.into_iter().chain(given).chain(own) {
        if !value.is_empty() && !all.iter().any(|(known, _)| *known == key) {
            all.push((key, value));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(endpoint: &str, variables: &[(&str, &str)]) -> Result<Option<Collector>, SetupError> {
        let traces =
            Traces { endpoint: crate::config::Address::new(endpoint), ..Traces::default() };
        Collector::of(&traces, |wanted| {
            let found = variables.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn without_an_address_and_where_it_is_switched_off_nothing_is_sent() {
        assert!(of("", &[]).unwrap().is_none());
        assert!(of("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).unwrap().is_none());
        let on = "http://127.0.0.1:4318";
        assert!(of(on, &[("OTEL_SDK_DISABLED", "TRUE")]).unwrap().is_none());
        assert!(of(on, &[("OTEL_TRACES_EXPORTER", "none")]).unwrap().is_none());
    }

    #[test]
    fn the_address_is_the_one_of_the_specification() {
        let url = |endpoint, variables: &[_]| of(endpoint, variables).unwrap().unwrap().url;
        let own = "http://collector:4318";
        assert_eq!(url(own, &[]), "http://collector:4318/v1/traces");
        assert_eq!(url("http://c/v1/traces/", &[]), "http://c/v1/traces/");
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otel/gateway/");
        assert_eq!(url(own, &[base]), "https://otel/gateway/v1/traces");
        let whole = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://otel/mine");
        assert_eq!(url(own, &[base, whole]), "https://otel/mine");
        let wrong = of("collector:4318", &[]).err().unwrap().to_string();
        assert!(wrong.contains("traces.endpoint") && wrong.contains("http://127"), "{wrong}");
        let soon = [("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")];
        assert!(of(own, &soon).err().unwrap().to_string().contains("OTEL_EXPORTER_OTLP_TIMEOUT"));
    }

    #[test]
    fn what_is_said_of_selfheal_can_be_named_and_added_to() {
        let plain = of("http://c", &[]).unwrap().unwrap().resource;
        assert_eq!(plain[0], ("service.name".to_owned(), "selfheal".to_owned()));
        assert_eq!(plain[1], ("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
        let list = "service.name=other, deployment.environment.name=a%20b+c,broken";
        let named = [("OTEL_RESOURCE_ATTRIBUTES", list), ("OTEL_SERVICE_NAME", "nas")];
        let named = of("http://c", &named).unwrap().unwrap().resource;
        let value = |key: &str| {
            let mut of_key = named.iter().filter(|(known, _)| known == key);
            let value = of_key.next().map(|(_, value)| value.as_str());
            assert!(of_key.next().is_none(), "{named:?}");
            value
        };
        assert_eq!(value("service.name"), Some("nas"));
        assert_eq!(value("deployment.environment.name"), Some("a b+c"));
    }
}
