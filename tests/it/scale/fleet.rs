//! What a fleet costs as it grows: each of its nodes, and the PostgreSQL that they share.
//!
//! The nodes live in this process, each with its own data directory, store, coordinator, sender and
//! part in the fleet; the server is a real one, and their containers are those of the stand-in for
//! the engine. What they ask is counted by the server itself. Processor times are printed and
//! asserted nowhere.

mod cost;
mod growth;
mod lessons;
mod node;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use selfheal::knowledge;
use selfheal_agents::error_detector::Catalogue;
use tempfile::TempDir;
use tokio::sync::watch;

use self::cost::{Clerk, Statement, between};
use self::node::{Node, Place};
use super::engine::Engine;
use crate::probes::server::Server;
use crate::store::postgres::{address_text, client, database};

/// So many nodes start, or look around, at the same time.
const AT_ONCE: usize = 8;

/// Where nodes live.
struct Site {
    engine: Engine,
    server: Server,
    catalogue: watch::Sender<Arc<Catalogue>>,
    folder: TempDir,
}

/// Nodes that share one database.
struct Fleet {
    name: &'static str,
    nodes: Vec<Node>,
    lease: Duration,
}

impl Site {
    /// One whose engine has so many containers; `None` where PostgreSQL is not installed.
    async fn open(containers: usize, connections: usize) -> Result<Option<Self>> {
        let connections = format!("max_connections={connections}");
        let counting = "shared_preload_libraries=pg_stat_statements";
        // Each node has tables of its own, so that what it asks of them is a statement of its own.
        let many = "pg_stat_statements.max=200000";
        let Some(server) = Server::postgres(&[&connections, counting, many]) else {
            return Ok(None);
        };
        // A password takes long to prove without optimisation, and each node does so several times.
        let rules = server.folder.path().join("data/pg_hba.conf");
        std::fs::write(rules, "host all all 127.0.0.1/32 trust\n")?;
        let read = sqlx::query("SELECT pg_reload_conf()");
        read.execute(&mut client(&server, "postgres").await).await?;
        let folder = tempfile::tempdir()?;
        let engine = Engine::of(&folder.path().join("engine.sock"), containers);
        let (catalogue, broken) = knowledge::load(None, knowledge::Keep::InForce);
        ensure!(broken.is_empty(), "{broken:?}");
        let catalogue = watch::Sender::new(Arc::new(catalogue));
        Ok(Some(Self { engine, server, catalogue, folder }))
    }

    /// An empty database, and whoever looks into its books.
    async fn found(&self, name: &'static str, lease: Duration) -> Result<(Fleet, Clerk)> {
        database(&self.server, name).await;
        let clerk = Clerk::of(&self.server, name).await?;
        Ok((Fleet { name, nodes: vec![], lease }, clerk))
    }

    /// Lets nodes join until there are so many.
    async fn join(&self, fleet: &mut Fleet, up_to: usize) -> Result<()> {
        let place = Place {
            folder: self.folder.path(),
            socket: &self.folder.path().join("engine.sock"),
            url: &address_text(&self.server, fleet.name),
            fleet: fleet.name,
            lease: fleet.lease,
            catalogue: &self.catalogue,
        };
        let starting = (fleet.nodes.len()..up_to).map(|number| Node::start(&place, number));
        let new: Vec<Node> = stream::iter(starting).buffered(AT_ONCE).try_collect().await?;
        fleet.nodes.extend(new);
        Ok(())
    }
}

impl Fleet {
    /// One cycle of each.
    async fn cycle(&self) -> Result<()> {
        let cycles = self.nodes.iter().map(Node::cycle);
        stream::iter(cycles).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Waits until the server has the history of each.
    async fn is_sent(&self) -> Result<()> {
        for node in &self.nodes {
            node.is_sent().await?;
        }
        Ok(())
    }

    async fn end(self) {
        futures_util::future::join_all(self.nodes.into_iter().map(Node::end)).await;
    }
}

/// What a statement takes of the server each time that a node tells how it is.
#[derive(Debug, Clone, Copy, Default)]
struct Each {
    calls: f64,
    rows: f64,
    blocks: f64,
}

/// How often each node tells how it is while that is counted.
const TOLD: f64 = 5.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_each_node_asks_of_the_server_does_not_grow_with_the_fleet() -> Result<()> {
    let Some(site) = Site::open(1, 100).await? else { return Ok(()) };
    let lease = Duration::from_secs(2);
    let (mut few, mut clerk_of_few) = site.found("few", lease).await?;
    let (mut many, mut clerk_of_many) = site.found("many", lease).await?;
    // The first makes the tables, for which they are read from end to end.
    site.join(&mut many, 1).await?;
    many.nodes[0].takes_part().await?;
    clerk_of_many.makers_are_gone().await?;
    let made = clerk_of_many.scans().await?;
    futures_util::future::try_join(site.join(&mut few, 2), site.join(&mut many, 6)).await?;
    let asked = futures_util::future::try_join(
        asked_by_each(&mut clerk_of_few, 2.0),
        asked_by_each(&mut clerk_of_many, 6.0),
    );
    let (asked_by_few, asked_by_many) = asked.await?;
    ensure!(asked_by_few.len() >= 4, "next to nothing is asked: {asked_by_few:?}");
    let grows = |(sql, many): (&String, &Each)| {
        let few = asked_by_few.get(sql).copied().unwrap_or_default();
        // What all of them ask of all others is three times as much.
        let is_more = |many: f64, few: f64| many > 2.0 * few.max(2.0);
        let any = [(many.calls, few.calls), (many.rows, few.rows), (many.blocks, few.blocks)];
        let is_any = any.into_iter().any(|(many, few)| is_more(many, few));
        is_any.then(|| format!("{few:?}, then {many:?}: {sql}"))
    };
    let growing: Vec<String> = asked_by_many.iter().filter_map(grows).collect();
    ensure!(growing.is_empty(), "each node costs more of {growing:#?}");
    // So few fit on a page or two; of a thousand, each would read hundreds.
    let scans = clerk_of_many.scans().await? - made;
    ensure!(scans == 0.0, "tables of all nodes were read from end to end {scans} times");
    futures_util::future::join(few.end(), many.end()).await;
    Ok(())
}

/// What is asked of the tables that all share, from now on until all have told often enough.
async fn asked_by_each(clerk: &mut Clerk, nodes: f64) -> Result<BTreeMap<String, Each>> {
    let is_told = |one: &&Statement| one.sql.starts_with("INSERT INTO node ");
    let before = clerk.statements().await?;
    let limit = tokio::time::Instant::now() + Duration::from_mins(1);
    loop {
        let all = between(&before, clerk.statements().await?);
        let told = all.iter().find(is_told).map_or(0.0, |one| one.calls);
        if told >= TOLD * nodes {
            let each = |one: Statement| {
                let [calls, rows, blocks] = [one.calls, one.rows, one.blocks].map(|all| all / told);
                (one.sql, Each { calls, rows, blocks })
            };
            return Ok(all.into_iter().filter(|one| is_of_all(&one.sql)).map(each).collect());
        }
        ensure!(tokio::time::Instant::now() < limit, "the nodes are silent: {all:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Whether it is about a table of all nodes: those of one node bear checksums.
fn is_of_all(sql: &str) -> bool {
    let asks = |table: &str| {
        ["FROM", "INTO", "UPDATE", "JOIN"]
            .iter()
            .any(|word| sql.contains(&format!("{word} {table} ")))
    };
    ["node", "lease", "decision", "outcome"].into_iter().any(asks) && !sql.contains("checksum")
}
