//! Redis as a cluster: the streams lie on one of its servers, and move to another.

use crate::support::free_port;

use super::*;

/// The last of all slots; the streams lie in another.
const LAST: &str = "16383";

fn node() -> Option<Server> {
    // By default the nodes talk to each other by a port that may not exist.
    let among_them = free_port().unwrap().to_string();
    let words =
        ["--cluster-enabled", "yes", "--cluster-port", &among_them, "--cluster-node-timeout"];
    Server::redis(&[&words[..], &["1000"], &COPIED_AT_ONCE[..]].concat())
}

impl Other {
    async fn own_port_among_nodes(&mut self) -> String {
        let settings: Vec<String> = self.ask(&["CONFIG", "GET", "cluster-port"]).await;
        settings[1].clone()
    }

    /// Waits until this stands in what a node tells of its cluster.
    async fn says(&mut self, words: &[&str], wanted: &str) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let said: String = self.ask(words).await;
            if said.contains(wanted) {
                return;
            }
            assert!(Instant::now() < deadline, "{words:?}: no {wanted} in {said}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// One that has the streams, one that does not, and one that follows the first.
async fn cluster() -> Option<([Server; 3], [Other; 3])> {
    let servers = [node()?, node()?, node()?];
    let mut others = [
        Other::on(servers[0].port).await,
        Other::on(servers[1].port).await,
        Other::on(servers[2].port).await,
    ];
    let () = others[0].ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16382"]).await;
    let () = others[1].ask(&["CLUSTER", "ADDSLOTS", LAST]).await;
    for (number, server) in servers.iter().enumerate().skip(1) {
        let (port, among) = (server.port.to_string(), others[number].own_port_among_nodes().await);
        let () = others[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &port, &among]).await;
    }
    for other in &mut others {
        other.says(&["CLUSTER", "INFO"], "cluster_state:ok").await;
        other.says(&["CLUSTER", "INFO"], "cluster_known_nodes:3").await;
    }
    let first: String = others[0].ask(&["CLUSTER", "MYID"]).await;
    others[2].says(&["CLUSTER", "NODES"], &first).await;
    let () = others[2].ask(&["CLUSTER", "REPLICATE", &first]).await;
    others[2].says(&["INFO", "replication"], "master_link_status:up").await;
    Some((servers, others))
}

#[tokio::test]
async fn in_a_cluster_the_streams_are_found_by_any_node_also_where_they_moved() {
    let Some((servers, [mut old, _, mut new])) = cluster().await else { return };
    let slot: u64 = old.ask(&["CLUSTER", "KEYSLOT", PREFIX]).await;
    assert_ne!(slot.to_string(), LAST, "the node that is asked does not have them");
    let dead = free_port().unwrap();
    let url = format!("redis+cluster://127.0.0.1:{dead},127.0.0.1:{}", servers[1].port);
    let address = Address::cluster(&url, &format!("{PREFIX}:jobs")).unwrap();
    assert_eq!(address.ping().await, Ok(()));
    let tied = Tied::to(setup(address), Rules::default());
    tied.works_at(&mut old).await;
    servers[0].signal("KILL");
    tied.tells(100, 500).await;
    let () = new.ask(&["CLUSTER", "FAILOVER", "TAKEOVER"]).await;
    tied.all_carried().await;
    new.has_all().await;
}
