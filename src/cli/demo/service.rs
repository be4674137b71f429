//! The service in the demo's container: answers, and ends when it is told to crash.

use axum::Router;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cli::output::{Exit, Failure, Outcome, tell};

/// Serves on all addresses of the container until it crashes.
pub(crate) async fn serve(port: u16) -> Outcome {
    let listener = TcpListener::bind(("0.0.0.0", port))
        .await
        .map_err(|error| Failure::new(Exit::Wrong, format!("port {port}: {error}")))?;
    tell(format!("demo service on port {port}"));
    // Each life of the service has a name of its own, so that a new one is told from the old.
    let life = uuid::Uuid::now_v7().to_string();
    let crash = CancellationToken::new();
    let told = crash.clone();
    let crashing = move || {
        told.cancel();
        std::future::ready("as you wish\n")
    };
    let router = Router::new()
        .route("/", get(move || std::future::ready(life.clone())))
        .route("/health", get(|| std::future::ready("ok\n")))
        .route("/crash", post(crashing));
    axum::serve(listener, router)
        .with_graceful_shutdown(crash.cancelled_owned())
        .await
        .map_err(|error| Failure::new(Exit::Wrong, error))?;
    Err(Failure::new(
        Exit::Wrong,
        "the demo service ends as a crash would, because it was asked to",
    ))
}
