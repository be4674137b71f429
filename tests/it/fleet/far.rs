//! Nodes for which the way to the server is long: what they have they keep, and what they know they
//! tell with few questions.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::join_all;
use selfheal_agents::model::Outcome;
use selfheal_agents::ports::Outcomes as _;
use sqlx::PgConnection;
use tokio::runtime::Runtime;

use super::node::{DATABASE, LIMIT, Node, Place};
use super::way::Way;
use crate::probes::server::Server;
use crate::store::postgres::{address_at, client, database, server};
use crate::store::samples;
use crate::support::until;

const LEASES: usize = 40;
/// For so long each is had; the way there and back takes a good part of it.
const LEASE: Duration = Duration::from_secs(6);
const ONE_WAY: Duration = Duration::from_millis(150);
/// Renewed so often, each has gone on for longer than it lasts.
const RENEWED: i64 = 3;
/// So much has one of them learnt before; of one statement it is too much.
const LEARNT: i64 = 250;

/// A node that looks after nothing but what both reach, and looks at it only when it gets that.
fn node(name: &'static str, server: &Server) -> Result<Node> {
    let node = Node::of(Way::to(server.port)?, name, Place::default(), |folder, port, way| {
        let root = folder.display();
        let mut settings = format!(
            "data_dir = \"{root}/data\"\n[schedule]\ncron = \"0 0 0 1 1 *\"\n\
             [docker]\nhost = \"unix://{root}/none.sock\"\n\
             [api]\nlisten = \"127.0.0.1:{port}\"\n[store]\nurl = \"{}\"\n[probes]\ninterval = \"1h\"\n\
             [fleet]\nnode = \"{name}\"\nlease = \"{}s\"\n",
            address_at(way, DATABASE),
            LEASE.as_secs()
        );
        for target in 0..LEASES {
            write!(
                settings,
                "[[target]]\nkind = \"tcp\"\nname = \"far-{target}\"\nshared = true\n\
                 url = \"tcp://127.1.0.{target}:{}\"\n",
                server.port
            )?;
        }
        if name == "two" {
            Runtime::new()?.block_on(remember(&folder.join("data")))?;
        }
        Ok(settings)
    })?;
    node.is_up()?;
    Ok(node)
}

/// What a node with a past has learnt: of no kind more than is told.
fn past() -> Vec<Outcome> {
    let outcome = |n: i64| samples::outcome(n.unsigned_abs().into(), n, true);
    let of_kind = |n: i64| Outcome { issue_type: format!("kind-{}", n % 5), ..outcome(n) };
    (0..LEARNT).map(of_kind).collect()
}

async fn remember(data: &Path) -> Result<()> {
    let (store, past) = (samples::open(data).await, past());
    let all = join_all(past.iter().map(|one| store.record_outcome(one))).await;
    store.close().await;
    Ok(all.into_iter().collect::<Result<_, _>>()?)
}

/// By target who has it, under which number, and how often it was renewed.
pub(super) type Leases = BTreeMap<String, (String, i64, i64)>;

pub(super) fn leases(waiting: &Runtime, on: &mut PgConnection) -> Result<Leases> {
    let sql = "SELECT target, split_part(holder, '/', 1), fence, beat FROM selfheal_fleet.lease";
    let rows: Vec<(String, String, i64, i64)> =
        waiting.block_on(sqlx::query_as(sql).fetch_all(on))?;
    Ok(rows.into_iter().map(|(target, who, fence, beat)| (target, (who, fence, beat))).collect())
}

/// Writes down for the node `two` that it had told all of its past, but for the last outcome, and one
/// that was another then.
fn all_but_two_are_told(waiting: &Runtime, on: &mut PgConnection) -> Result<()> {
    let told = past().into_iter().skip(1);
    let documents = told.map(|outcome| Ok(serde_json::to_string(&outcome)?));
    let mut documents = documents.collect::<Result<Vec<_>>>()?;
    documents[0].push(' ');
    let sql = "INSERT INTO selfheal_fleet.outcome (fix, node, document)
               SELECT document::json ->> 'fix', 'two', document FROM UNNEST($1) AS one (document)";
    let told = sqlx::query(sql).bind(&documents).execute(on);
    waiting.block_on(told)?;
    Ok(())
}

/// Whatever was told in one statement bears one number.
fn statements(waiting: &Runtime, on: &mut PgConnection) -> Result<(i64, i64)> {
    let sql = "SELECT count(*), count(DISTINCT xact::text) FROM selfheal_fleet.outcome
               WHERE document = rtrim(document)";
    Ok(waiting.block_on(sqlx::query_as(sql).fetch_one(on))?)
}

#[test]
fn where_an_answer_takes_long_many_leases_are_kept_and_what_was_learnt_is_told_together()
-> Result<()> {
    let Some(server) = server() else { return Ok(()) };
    let waiting = Runtime::new()?;
    waiting.block_on(database(&server, DATABASE));
    let mut on = waiting.block_on(client(&server, DATABASE));
    let one = node("one", &server)?;
    until("the tables are there", LIMIT, || leases(&waiting, &mut on))?;
    all_but_two_are_told(&waiting, &mut on)?;
    let two = node("two", &server)?;
    let nodes = [&one, &two];
    until("somebody has each", LIMIT, || {
        let leases = leases(&waiting, &mut on)?;
        ensure!(leases.len() == LEASES, "{leases:?}");
        Ok(())
    })?;
    for node in nodes {
        node.way.takes(ONE_WAY);
    }
    let before = leases(&waiting, &mut on)?;
    // Either would take over what the other does not renew.
    until("each is renewed often enough", LIMIT, || {
        for (target, (who, fence, beat)) in leases(&waiting, &mut on)? {
            let (first, number, begun) = before.get(&target).context("a new one")?;
            assert!((&who, &fence) == (first, number), "{target} went from {first} to {who}");
            ensure!(beat - begun >= RENEWED, "{target}: {beat} after {begun}");
        }
        Ok(())
    })
    .map_err(|error| nodes.iter().fold(error, |error, node| error.context(node.last_words())))?;
    until("all of the past is told", LIMIT, || {
        let told = statements(&waiting, &mut on)?;
        ensure!(told == (LEARNT, 2), "{told:?}");
        Ok(())
    })
}
