//! The API, the event stream and the page.
//!
//! Everything here is a thin layer over the [`Coordinator`] and its store: a handler reads
//! or asks, and puts the answer into a body of the contract. It decides nothing. Errors are
//! problem documents everywhere, also where no handler was reached.

pub mod body;

mod admit;
mod alerts;
mod assets;
mod audit;
mod audited;
mod automation;
mod diff;
mod events;
mod extract;
mod fleet;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzzed;
mod guard;
mod incidents;
mod layers;
mod learning;
mod login;
mod metrics;
mod monitoring;
mod needs;
mod openapi;
mod pages;
mod problem;
mod results;
mod state;
mod targets;
pub mod tls;
mod unchanged;
mod vital;

pub use extract::USER_AGENT;
pub use guard::{AllowedHosts, Unprotected, check_listen};
pub use incidents::incident_detail;
pub use state::Configured;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::extract::connect_info::Connected;
use axum::http::{Method, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodFilter, get, on};
use axum::serve::{IncomingStream, Listener, ListenerExt};
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

use self::events::Events;
use self::metrics::Tally;
use self::problem::Problem;
use self::state::Api;
use self::tls::Tls;
use self::vital::Vital;
use crate::access::Access;
use crate::audit::Audit;
use crate::coordinator::Coordinator;
use crate::upkeep::{Part, Upkeep};

/// How long open requests may take to end after the program was asked to.
const DRAIN: Duration = Duration::from_secs(5);

/// Why the API does not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address reaches beyond this machine.
    #[error(transparent)]
    Unprotected(#[from] Unprotected),
    /// The address cannot be had.
    #[error(
        "the API cannot listen on {address}: {source}; another Selfheal may be running \
         (`selfheal status`), or set api.listen to a free address"
    )]
    Address {
        /// Which.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

/// Takes the address, so that a fault shows before anything else is started.
///
/// `is_covered` says that a token is asked for and there is one, or that nobody wants one asked
/// for.
pub async fn bind(address: SocketAddr, is_covered: bool) -> Result<TcpListener, BindError> {
    check_listen(address, is_covered)?;
    TcpListener::bind(address).await.map_err(|source| BindError::Address { address, source })
}

/// It waits for whoever comes.
const SERVING: Part = Part { name: "the API", turns_within: None };

/// Keeps serving until `cancel`, on the same socket however often it is begun anew.
pub fn keep_serving(
    upkeep: &Upkeep,
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
    cancel: CancellationToken,
) -> std::io::Result<()> {
    let socket = listener.into_std()?;
    if let Some(tls) = tls.clone() {
        tls.keep(upkeep, &cancel);
    }
    upkeep.keep(SERVING, move || {
        let listener = socket.try_clone().and_then(TcpListener::from_std);
        let (tls, router, cancel) = (tls.clone(), router.clone(), cancel.clone());
        async move {
            let served = match listener {
                Ok(listener) => serve(listener, tls, router, cancel).await,
                Err(error) => Err(error),
            };
            if let Err(error) = served {
                tracing::warn!(%error, "the API ended with an error: {error}");
            }
        }
    });
    Ok(())
}

/// Serves until `cancel`, encrypted where there is a certificate, then lets open requests end for a
/// few seconds.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
    cancel: CancellationToken,
) -> std::io::Result<()> {
    match tls {
        None => serve_over(listener, router, cancel).await,
        Some(tls) => {
            let listener = tls.over(listener);
            let router = router.layer(from_fn(tls::encrypted));
            // Of a listener that is not its own axum tells the peer's address only where it is tapped.
            serve_over(listener.tap_io(|_| {}), router, cancel).await
        }
    }
}

async fn serve_over<L>(
    listener: L,
    router: Router,
    cancel: CancellationToken,
) -> std::io::Result<()>
where
    L: Listener<Addr = SocketAddr>,
    SocketAddr: for<'a> Connected<IncomingStream<'a, L>>,
{
    let asked = cancel.clone();
    // Who showed wrong tokens is told apart by address.
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, service)
        .with_graceful_shutdown(async move { asked.cancelled().await })
        .into_future();
    tokio::select! {
        ended = serving => ended,
        () = async { cancel.cancelled().await; tokio::time::sleep(DRAIN).await } => {
            tracing::warn!("requests were still open {DRAIN:?} after the end was asked for");
            Ok(())
        }
    }
}

/// Every route with its layers. Event streams end with `cancel`.
pub fn router(
    coordinator: Coordinator,
    configured: Configured,
    access: Arc<Access>,
    hosts: AllowedHosts,
    cancel: CancellationToken,
) -> Router {
    let (documented, paths) = routes().split_for_parts();
    let document = openapi::document(&paths).to_string();
    let upkeep = coordinator.upkeep();
    let tally = Tally::keep(coordinator.subscribe(), upkeep, cancel.clone());
    let events = Events::keep(coordinator.subscribe(), upkeep, cancel);
    let (vital, counted, document) = (Vital::default(), Arc::default(), Arc::from(document));
    let api = Api { coordinator, events, tally, counted, vital, configured, document };
    let audit = Arc::clone(api.coordinator.audit());
    with_layers(documented.merge(undocumented()).with_state(api), audit, access, hosts)
}

fn with_layers(
    router: Router,
    audit: Arc<Audit>,
    access: Arc<Access>,
    hosts: AllowedHosts,
) -> Router {
    router
        .fallback(async |uri: Uri| {
            Problem::not_found(format!("nothing is at {}; /docs lists the calls", uri.path()))
        })
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            admit::other_method(&method, &uri)
        })
        .layer(from_fn_with_state(Arc::clone(&audit), audited::audited))
        .layer(DefaultBodyLimit::max(extract::BODY_LIMIT))
        .layer(from_fn(layers::limit_time))
        .layer(from_fn(unchanged::tagged))
        .layer(Extension(audit))
        .layer(Extension(Arc::clone(&access)))
        .layer(from_fn_with_state(access, admit::admit))
        .layer(from_fn_with_state(hosts, guard::guard))
        .layer(CatchPanicLayer::custom(layers::caught))
        .layer(from_fn(layers::secure))
        // Not of event streams and of what is compressed already.
        .layer(CompressionLayer::new())
        .layer(from_fn(layers::identify))
}

/// The calls of the document.
fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(openapi::opening())
        .routes(routes!(monitoring::own_health))
        .routes(routes!(metrics::metrics))
        .routes(routes!(monitoring::health))
        .routes(routes!(monitoring::status))
        .routes(routes!(monitoring::trigger_check))
        .routes(routes!(monitoring::backups))
        .routes(routes!(monitoring::rollback))
        .routes(routes!(monitoring::stats))
        .routes(routes!(learning::shadow))
        .routes(routes!(incidents::list))
        .routes(routes!(incidents::one))
        .routes(routes!(incidents::approve))
        .routes(routes!(incidents::dismiss))
        .routes(routes!(incidents::rollback))
        .routes(routes!(targets::freeze, targets::unfreeze))
        .routes(routes!(targets::list))
        .routes(routes!(targets::one))
        .routes(routes!(fleet::fleet))
        .routes(routes!(fleet::forget))
        .routes(routes!(events::events))
        .routes(routes!(alerts::alertmanager))
        .routes(routes!(audit::audit))
}

/// Pages, files, the document itself, and what answers 501.
fn undocumented() -> Router<Api> {
    // Without its head, which would need a style inline and leads to other documents.
    let config = Config::from("/openapi.json").use_base_layout();
    let reference = SwaggerUi::new("/docs").config(config);
    let router = automation::CALLS.into_iter().fold(Router::new(), |router, (method, path)| {
        let filter = if method == "get" { MethodFilter::GET } else { MethodFilter::POST };
        router.route(path, on(filter, automation::not_built))
    });
    router
        .route("/openapi.json", get(openapi::openapi))
        .route("/api/automation/health", get(monitoring::own_health))
        .route("/assets/{name}", get(assets::asset))
        .merge(pages::routes())
        .merge(login::routes())
        .merge(reference)
}
