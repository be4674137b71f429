//! Connections seen from the host in a real container's network.

use selfheal::host::LocalHost;
use selfheal_agents::ports::{ContainerRuntime as _, HostSensor as _, WorldError};

use super::bench::{eventually, on_a_bench, on_network};

#[tokio::test]
async fn a_client_is_seen_connected_to_its_server_and_not_the_other_way_round() {
    on_a_bench(|bench| async {
        let network = bench.network("talk").await;
        let serve = "busybox nc -ll -p 5432 -e cat";
        let server = bench.run("server", on_network(bench.script(serve), &network, "db")).await;
        let ask = "while true; do sleep 1000 | busybox nc db 5432; sleep 1; done";
        let client = bench.run("client", on_network(bench.script(ask), &network, "web")).await;
        let server = bench.docker.container(&server).await.unwrap();
        let host = LocalHost::new();
        let seen = async |name: &str| {
            let facts = bench.docker.container(name).await.unwrap();
            host.connections(facts.pid.unwrap(), &facts.id).await
        };
        let to = format!("{}:5432", server.ip().unwrap());
        let found = eventually("the connection", || async {
            match seen(&client).await {
                // Not where the engine runs in another process namespace than the test.
                Err(WorldError::NotFound { .. } | WorldError::Denied { .. }) => Some(None),
                Err(error) => panic!("{error}"),
                Ok(all) => {
                    all.into_iter().find(|c| c.to.to_string() == to && c.established).map(Some)
                }
            }
        })
        .await;
        if found.is_some() {
            assert_eq!(seen(&server.name).await.unwrap(), [], "the server opened none");
        }
    })
    .await;
}
