//! What is told and read of what nodes learnt has an upper bound: it grows neither with what was
//! learnt in total nor with the fleet.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::{join_all, try_join3};
use selfheal_agents::model::FixId;
use sqlx::PgConnection;

use super::cost::between;
use super::node::Node;
use super::{Site, is_of_all};
use crate::store::postgres::client;
use crate::store::samples::outcome;

/// So many of a kind are told by a node, and known.
const KEPT: usize = 100;
const KINDS: usize = 2;
const LEASE: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(100);

/// Writes down that so many nodes have told as much as each may, as one of an earlier version does.
async fn told_by(nodes: usize, on: &mut PgConnection) -> Result<()> {
    let document = serde_json::to_string(&outcome(1, 0, true))?;
    let sql = "INSERT INTO selfheal_fleet.outcome (fix, node, document)
         SELECT fix, 'past-' || node, replace(replace($1, $2, fix), 'rate-limit', 'kind-' || kind)
         FROM generate_series(1, $3) AS node, generate_series(1, $4) AS kind,
             generate_series(1, $5) AS nth,
             LATERAL (SELECT md5(concat_ws('/', node, kind, nth))::uuid::text AS fix) made";
    let query = sqlx::query(sql).bind(&document).bind(outcome(1, 0, true).fix.to_string());
    let query = [nodes, KINDS, KEPT]
        .into_iter()
        .try_fold(query, |query, count| anyhow::Ok(query.bind(i32::try_from(count)?)))?;
    query.execute(&mut *on).await?;
    // As a dump leaves it of a server that had counted further.
    let sql = "UPDATE selfheal_fleet.outcome SET xact = '900000000' WHERE node = 'past-1'";
    sqlx::query(sql).execute(on).await?;
    Ok(())
}

/// How much was told by transactions that are still to come.
async fn told_later(on: &mut PgConnection) -> Result<i64> {
    let sql = "SELECT count(*) FROM selfheal_fleet.outcome
         WHERE xact >= pg_snapshot_xmax(pg_current_snapshot())";
    Ok(sqlx::query_scalar(sql).fetch_one(on).await?)
}

/// What one reads that starts in such a fleet: rows, and blocks that the server looks at for them.
async fn read_at_start(site: &Site, name: &'static str, nodes: usize) -> Result<(f64, f64)> {
    let (mut fleet, mut clerk) = site.found(name, LEASE).await?;
    site.join(&mut fleet, 1).await?;
    fleet.nodes[0].takes_part().await?;
    join_all(fleet.nodes.drain(..).map(Node::end)).await;
    let mut on = client(&site.server, name).await;
    told_by(nodes, &mut on).await?;
    ensure!(told_later(&mut on).await? > 0, "nothing is as a dump leaves it");
    let before = clerk.statements().await?;
    site.join(&mut fleet, 1).await?;
    let limit = tokio::time::Instant::now() + LIMIT;
    while fleet.nodes[0].known() < KINDS * KEPT {
        ensure!(tokio::time::Instant::now() < limit, "it knows {}", fleet.nodes[0].known());
        tokio::time::sleep(LOOK).await;
    }
    ensure!(fleet.nodes[0].known() == KINDS * KEPT, "it knows {}", fleet.nodes[0].known());
    let asked = between(&before, clerk.statements().await?);
    let reads = |sql: &str| is_of_all(sql) && sql.contains("FROM outcome ");
    let read = asked.iter().filter(|one| reads(&one.sql));
    let read = read.fold((0.0, 0.0), |all, one| (all.0 + one.rows, all.1 + one.blocks));
    ensure!(told_later(&mut on).await? == 0, "what was put back is newer than all that comes");
    fleet.end().await;
    Ok(read)
}

/// Of each outcome that a node has told, by which transaction.
async fn told(on: &mut PgConnection) -> Result<BTreeMap<String, String>> {
    let sql = "SELECT fix, xact::text FROM selfheal_fleet.outcome WHERE node = 'node-0'";
    let told: Vec<(String, String)> = sqlx::query_as(sql).fetch_all(on).await?;
    Ok(told.into_iter().collect())
}

/// Waits until the server has the newest of what was learnt, and nothing else.
async fn newest_are_told(
    learnt: &[FixId],
    on: &mut PgConnection,
) -> Result<BTreeMap<String, String>> {
    let newest: Vec<String> = learnt.iter().rev().take(KEPT).rev().map(FixId::to_string).collect();
    let limit = tokio::time::Instant::now() + LIMIT;
    loop {
        let told = told(on).await?;
        if told.keys().eq(&newest) {
            return Ok(told);
        }
        ensure!(tokio::time::Instant::now() < limit, "{} are told: {told:?}", told.len());
        tokio::time::sleep(LOOK).await;
    }
}

/// A node that has learnt more than enough tells the newest, and no other after its next start.
async fn is_told_once(site: &Site, name: &'static str) -> Result<()> {
    let (mut fleet, mut clerk) = site.found(name, LEASE).await?;
    let mut on = client(&site.server, name).await;
    site.join(&mut fleet, 1).await?;
    fleet.nodes[0].takes_part().await?;
    let mut learnt = vec![];
    for _ in 0..KEPT + 30 {
        learnt.push(fleet.nodes[0].learns().await?);
    }
    let first = newest_are_told(&learnt, &mut on).await?;
    let before = clerk.statements().await?;
    join_all(fleet.nodes.drain(..).map(Node::end)).await;
    site.join(&mut fleet, 1).await?;
    learnt.push(fleet.nodes[0].learns().await?);
    let second = newest_are_told(&learnt, &mut on).await?;
    ensure!(second.iter().filter(|(fix, xact)| first.get(*fix) == Some(xact)).count() == KEPT - 1);
    let asked = between(&before, clerk.statements().await?);
    let teaches = |sql: &str| is_of_all(sql) && sql.starts_with("INSERT INTO outcome ");
    let taught = asked.iter().filter(|one| teaches(&one.sql));
    let taught: f64 = taught.map(|one| one.rows).sum();
    ensure!(taught < 2.0, "{taught} were told after one more was learnt");
    fleet.end().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_and_read_of_lessons_does_not_grow_with_what_was_learnt() -> Result<()> {
    let Some(site) = Site::open(1, 100).await? else { return Ok(()) };
    let (few, many, ()) = try_join3(
        read_at_start(&site, "few", 12),
        read_at_start(&site, "many", 60),
        is_told_once(&site, "one"),
    )
    .await?;
    // Beside them what is asked meanwhile and finds nothing.
    let enough = (KINDS * KEPT + 50) as f64;
    ensure!(few.0 < enough && many.0 < enough, "rows: {few:?}, {many:?}");
    ensure!(many.1 < 2.0 * few.1, "blocks: {few:?}, {many:?}");
    Ok(())
}
