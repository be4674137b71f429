//! What a fleet of an older version has in its tables is there in the newer one, and a newer one's is left alone.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{PgConnection, SqlStr};
use tokio::runtime::Runtime;

use super::node::{LIMIT, Node, Place};
use super::way::Way;
use crate::probes::server::Server;
use crate::store::postgres::{address_at, client, database, server};
use crate::store::samples;
use crate::support::{throughout, until};

/// Every step, as they came.
const STEPS: [(&str, &str); 6] = [
    ("first", include_str!("../../../src/fleet/schema.sql")),
    ("frozen", include_str!("../../../src/fleet/frozen.sql")),
    ("own", include_str!("../../../src/fleet/own.sql")),
    ("offers", include_str!("../../../src/fleet/offers.sql")),
    ("lessons", include_str!("../../../src/fleet/lessons.sql")),
    ("jobs", include_str!("../../../src/fleet/jobs.sql")),
];
/// So many of a kind are kept of each node.
const KEPT: i64 = 100;
/// So many it had learnt of one.
const LEARNT: i64 = 130;

/// The tables of so many steps, with a row of a node that is gone for a while in each.
async fn past(on: &mut PgConnection, steps: usize) -> Result<()> {
    sqlx::raw_sql("CREATE SCHEMA selfheal_fleet; SET search_path TO selfheal_fleet")
        .execute(&mut *on)
        .await?;
    let step = |(nth, (name, sql)): (usize, &(&'static str, &'static str))| {
        let (version, sql) = (i64::try_from(nth + 1)?, SqlStr::from_static(sql));
        Ok(Migration::new(version, (*name).into(), MigrationType::Simple, sql, false))
    };
    let steps = STEPS.iter().take(steps).enumerate().map(step).collect::<Result<_>>()?;
    Migrator::with_migrations(steps).run(&mut *on).await?;
    let rows = "INSERT INTO node (name, history, version, address, mode, seen_at, summary)
            VALUES ('old', 'h', '0.0.1', '', 'auto', clock_timestamp() - interval '1 hour', '{}');
        INSERT INTO lease VALUES ('http:elsewhere/0', 'old/1', 7, 41, 8000, NULL);
        INSERT INTO decision (id, node, kind, payload, asked_by, asked_at)
            VALUES ('d', 'old', 'freeze', '{}', 'ann', clock_timestamp())";
    sqlx::raw_sql(rows).execute(&mut *on).await?;
    let documents = (0..LEARNT).map(|n| samples::outcome(n.unsigned_abs().into(), n, true));
    let documents = documents.map(|outcome| Ok(serde_json::to_string(&outcome)?));
    let documents = documents.collect::<Result<Vec<_>>>()?;
    let sql = "INSERT INTO outcome (fix, node, document)
               SELECT document::json ->> 'fix', 'old', document FROM UNNEST($1) AS one (document)";
    sqlx::query(sql).bind(&documents).execute(on).await?;
    Ok(())
}

fn node(server: &Server, name: &str) -> Result<Node> {
    Node::of(Way::to(server.port)?, "one", Place::default(), |folder, port, way| {
        let (root, store) = (folder.display(), address_at(way, name));
        Ok(format!(
            "data_dir = \"{root}/data\"\n[docker]\nhost = \"unix://{root}/none.sock\"\n\
             [api]\nlisten = \"127.0.0.1:{port}\"\n[store]\nurl = \"{store}\"\n\
             [fleet]\nnode = \"one\"\n"
        ))
    })
}

/// What was there before is there, in tables that have every step now.
async fn is_taken_over(on: &mut PgConnection, kept: i64) -> Result<()> {
    let lease: (String, i64, i64) =
        sqlx::query_as("SELECT holder, fence, beat FROM lease").fetch_one(&mut *on).await?;
    ensure!(lease == ("old/1".to_owned(), 7, 41), "{lease:?}");
    let counts = "SELECT (SELECT count(*) FROM outcome),
        (SELECT count(*) FROM repair_history WHERE error_type IS NOT NULL AND created_at IS NOT NULL),
        (SELECT count(*) FROM decision WHERE id = 'd'), (SELECT max(version) FROM _sqlx_migrations)";
    let counts: (i64, i64, i64, i64) = sqlx::query_as(counts).fetch_one(&mut *on).await?;
    ensure!(counts == (kept, kept, 1, 6), "{counts:?}");
    // The newest ones.
    let newest = samples::outcome((LEARNT - 1).unsigned_abs().into(), LEARNT - 1, true);
    let sql = "SELECT count(*) FROM outcome WHERE fix = $1";
    let kept: i64 =
        sqlx::query_scalar(sql).bind(newest.fix.to_string()).fetch_one(&mut *on).await?;
    ensure!(kept == 1, "the newest is gone");
    Ok(())
}

#[test]
fn the_tables_of_every_older_version_are_taken_over_and_those_of_a_newer_one_left_alone()
-> Result<()> {
    let Some(server) = server() else { return Ok(()) };
    let waiting = Runtime::new()?;
    for steps in 1..STEPS.len() {
        let name = format!("after_{steps}");
        waiting.block_on(database(&server, &name));
        let mut on = waiting.block_on(client(&server, &name));
        waiting.block_on(past(&mut on, steps))?;
        let mut one = node(&server, &name)?;
        one.is_up()?;
        let words = |error: anyhow::Error| error.context(name.clone());
        until("it shows the one that is gone", LIMIT, || {
            let seen = one.get("/api/fleet")?;
            let nodes = seen["nodes"].as_array().context("nodes")?;
            let old = nodes.iter().find(|node| node["name"] == "old").context("it is not there")?;
            ensure!(old["is_silent"] == true && old["version"] == "0.0.1", "{old}");
            Ok(())
        })
        .map_err(words)?;
        // Since the fifth step no node tells more.
        let kept = if steps < 5 { KEPT } else { LEARNT };
        until("all is taken over", LIMIT, || waiting.block_on(is_taken_over(&mut on, kept)))
            .map_err(words)?;
        if steps + 1 == STEPS.len() {
            let mut signs = || -> Result<String> {
                let sql = "SELECT seen_at::text FROM selfheal_fleet.node WHERE name = 'one'";
                let mut on = waiting.block_on(client(&server, &name));
                Ok(waiting.block_on(sqlx::query_scalar(sql).fetch_one(&mut on))?)
            };
            until("it has given a sign of life", LIMIT, &mut signs)?;
            let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                         VALUES (99, 'newer', true, '', 0)";
            waiting.block_on(sqlx::query(newer).execute(&mut on))?;
            one.child.kill()?;
            one.child.wait()?;
            one.again()?;
            until("it says who wrote it", LIMIT, || one.has_said("written by a newer selfheal"))?;
            let last = signs()?;
            throughout("it takes no part", Duration::from_secs(5), || {
                ensure!(signs()? == last, "it gives a sign of life");
                Ok(())
            })?;
        }
    }
    Ok(())
}
