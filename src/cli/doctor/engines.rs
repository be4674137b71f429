//! Whether the Docker engines answer. It asks each for its version and nothing else.

use futures_util::future::{join, join_all};

use crate::config::{Engine, Settings};
use crate::docker::Docker;
use crate::http::body::{Examined, Grade};

/// The line about the container runtime.
pub(super) const DOCKER: &str = "docker";

/// The own engine's line, and one for each of another host.
pub(super) async fn examined(settings: &Settings) -> Vec<Examined> {
    let (own, others) = join(docker(settings), other_engines(settings)).await;
    [vec![own], others].concat()
}

async fn docker(settings: &Settings) -> Examined {
    let host = &settings.docker.host;
    let found = match Docker::connect(host) {
        Ok(docker) => docker.ping().await,
        Err(error) => Err(error),
    };
    match found {
        Ok(info) => Examined::ok(
            DOCKER,
            format!("{host} answers: Docker {} (API {})", info.version, info.api_version),
        ),
        // What helps stands in the message: it depends on why.
        Err(error) => Examined::not(Grade::Fail, DOCKER, error, "then selfheal doctor again"),
    }
}

/// A line for each engine of another host.
async fn other_engines(settings: &Settings) -> Vec<Examined> {
    let examine = async |engine: &Engine| {
        let (name, host) = (&engine.name, &engine.host);
        let found = match engine.docker() {
            Ok(docker) => docker.ping().await.map_err(|error| error.to_string()),
            Err(why) => Err(why),
        };
        match found {
            Ok(info) => {
                let (version, api) = (info.version, info.api_version);
                let seen = format!("engine `{name}` at {host}: Docker {version} (API {api})");
                Examined::ok(DOCKER, seen)
            }
            Err(why) => {
                let seen = format!("engine `{name}` at {host}: {why}");
                Examined::not(Grade::Fail, DOCKER, seen, "correct it, then selfheal doctor again")
            }
        }
    };
    join_all(settings.docker.engines.iter().map(examine)).await
}
