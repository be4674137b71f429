//! Everything on every node is frozen and let go on again, by one word on any of them.

use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Fleet;
use super::node::{LEASE, Node};
use crate::support::{ask, ask_within};

/// One that is stopped is waited for until it is known to be silent, or for its answer.
const PATIENT: Duration = Duration::from_secs(50);

impl Fleet {
    /// How many nodes one of them shows as frozen.
    fn shown_as_frozen(&self, by: &str) -> Result<usize> {
        let seen = self.node(by).get("/api/fleet")?;
        let nodes = seen["nodes"].as_array().with_context(|| seen.to_string())?;
        Ok(nodes.iter().filter(|node| node["frozen"]["reason"].is_string()).count())
    }
}

fn selfheal(node: &Node, words: &[&str]) -> Result<Output> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_selfheal"));
    let address = format!("http://127.0.0.1:{}", node.port);
    Ok(program.args(words).args(["--url", &address]).output()?)
}

#[test]
fn one_word_freezes_all_nodes_also_one_that_is_silent_and_another_lets_them_go_on() -> Result<()> {
    let Some(mut fleet) = Fleet::begin_with(LEASE, None)? else { return Ok(()) };
    let (one, two, three) = (fleet.node("one"), fleet.node("two"), fleet.node("three"));
    let frozen = selfheal(one, &["freeze", "10m", "--fleet", "--reason", "audit"])?;
    let said = String::from_utf8_lossy(&frozen.stdout).into_owned();
    ensure!(frozen.status.code() == Some(0), "{frozen:?}");
    ensure!(said.contains("on 3 of 3 nodes") && said.contains("node `three`: freeze"), "{said}");
    ensure!(fleet.freezes_of_everything()? == 3, "{said}");
    fleet.wait("each shows all as frozen", || {
        let shown = fleet.nodes.iter().map(|node| fleet.shown_as_frozen(node.name));
        let shown: Vec<usize> = shown.collect::<Result<_>>()?;
        ensure!(shown == [3, 3, 3], "{shown:?}");
        let page = ask("GET", two.port, "/fleet", "")?.body;
        ensure!(page.contains("Let every node go on"), "{page}");
        Ok(())
    })?;
    // By the button of another.
    let answer = ask_within(PATIENT, "POST", two.port, "/unfreeze?fleet=true", "")?;
    ensure!(answer.status == 303, "{answer:?}");
    ensure!(fleet.freezes_of_everything()? == 0, "{answer:?}");
    // One that hangs is told of, and obeys as soon as it is back.
    three.signal("-STOP")?;
    let answer = ask_within(PATIENT, "POST", one.port, "/api/freeze", r#"{"fleet": true}"#)?;
    let state: Value = serde_json::from_str(&answer.body)?;
    let missing = state["others"].as_array().context("others")?.iter();
    let missing: Vec<&Value> = missing.filter(|other| other["done"] == false).collect();
    ensure!(missing.len() == 1 && missing[0]["node"] == "three", "{state}");
    ensure!(state["message"].to_string().contains("on 2 of 3 nodes"), "{state}");
    three.signal("-CONT")?;
    fleet.wait("it is frozen as well", || {
        ensure!(fleet.freezes_of_everything()? == 3);
        Ok(())
    })?;
    // Of one target it is not meant, and of one node alone there is no fleet.
    let both = r#"{"fleet": true, "target": "http:shop-0"}"#;
    let answer = ask("POST", one.port, "/api/freeze", both)?;
    ensure!(answer.status == 400 && answer.body.contains("leave one out"), "{answer:?}");
    fleet.shops.engine.kill();
    fleet.wait("each shows that the others are blind", || {
        let (two, three) = (fleet.node("two"), fleet.node("three"));
        let page = ask("GET", two.port, "/fleet", "")?.body;
        ensure!(page.matches("Not seen:").count() == 3, "{page}");
        let table = String::from_utf8(selfheal(three, &["fleet"])?.stdout)?;
        ensure!(table.contains("blind") && table.contains("one  not seen: "), "{table}");
        Ok(())
    })
}
