//! Jobs of other programs, by one Redis that all nodes read: each is done once, and where what it is
//! about is.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Fleet;
use super::node::{LEASE, LIMIT};
use super::shops::ASKED;
use crate::probes::server::Server;
use crate::support::{ask, ask_within, until};

/// What other programs see of the streams.
struct Desk {
    port: u16,
}

impl Desk {
    fn redis(&self, words: &[&str]) -> Result<Vec<String>> {
        let mut asked = Command::new("redis-cli");
        asked.args(["--raw", "-p", &self.port.to_string()]).args(words);
        let said = asked.output().context("redis-cli")?;
        ensure!(said.status.success(), "{said:?}");
        Ok(String::from_utf8(said.stdout)?.lines().map(str::to_owned).collect())
    }

    fn job(&self, id: &str, kind: &str, payload: &Value) -> Result<()> {
        let payload = payload.to_string();
        let fields = ["job_id", id, "type", kind, "payload", &payload];
        self.redis(&[&["XADD", "maestro:streams:automation:jobs", "*"], &fields[..]].concat())
            .map(drop)
    }

    /// What was answered to a job, each time that it was.
    fn answers(&self, id: &str) -> Result<Vec<(String, Value)>> {
        let lines = self.redis(&["XRANGE", "maestro:streams:automation:results", "-", "+"])?;
        let of = |at: usize, name: &str| {
            let mut rest = lines[at..].windows(2);
            let value = rest.find(|two| two[0] == name).map(|two| two[1].clone());
            value.with_context(|| format!("no {name} of {id}: {lines:?}"))
        };
        let named = lines.windows(2).enumerate();
        let named = named.filter(|(_, two)| two[0] == "job_id" && two[1] == id);
        let answer = |at| Ok((of(at, "status")?, serde_json::from_str(&of(at, "result")?)?));
        named.map(|(at, _)| answer(at)).collect()
    }

    fn answer(&self, id: &str) -> Result<Value> {
        let mut answers = self.answers(id)?;
        let (status, result) = answers.pop().with_context(|| format!("{id} has no answer"))?;
        ensure!(answers.is_empty(), "{id} has several answers: {answers:?}");
        ensure!(status == "success", "{id}: {result}");
        Ok(result)
    }
}

impl Fleet {
    /// How many nodes have a freeze of everything.
    pub(super) fn freezes_of_everything(&self) -> Result<usize> {
        let frozen = self.nodes.iter().map(|node| {
            let status = node.get("/api/monitoring/status")?;
            let all = status["data"]["freezes"].as_array().with_context(|| status.to_string())?;
            Ok(usize::from(all.iter().any(|freeze| freeze["target"].is_null())))
        });
        frozen.sum()
    }
}

#[test]
fn a_job_is_done_once_and_by_the_node_that_has_what_it_is_about_whoever_reads_it() -> Result<()> {
    let Some(redis) = Server::redis(&["--save", ""]) else { return Ok(()) };
    let Some(fleet) = Fleet::begin_with(LEASE, Some(redis.port))? else { return Ok(()) };
    let desk = Desk { port: redis.port };
    // Of everything: on all of them, once, however often it is sent.
    for _ in 0..3 {
        desk.job("halt", "freeze", &json!({ "for": "10m", "reason": "audit" }))?;
    }
    let answer = fleet.wait("it is answered", || desk.answer("halt"))?;
    ensure!(answer["nodes"].as_object().map(serde_json::Map::len) == Some(2), "{answer}");
    ensure!(fleet.freezes_of_everything()? == 3, "{answer}");
    desk.job("go", "unfreeze", &json!({}))?;
    fleet.wait("it is answered", || desk.answer("go"))?;
    ensure!(fleet.freezes_of_everything()? == 0);
    // Whoever reads the approval, the owner acts.
    fleet.shops.shatter(ASKED)?;
    let (owner, incident) = fleet.waits_for_a_person(ASKED)?;
    desk.job("yes", "approve", &json!({ "incident_id": incident, "by": "ann" }))?;
    fleet.wait("it is answered", || desk.answer("yes"))?;
    fleet.wait("it is well again", || fleet.shops.is_well(ASKED))?;
    let effects = fleet.shops.effects(ASKED);
    ensure!(effects.len() == 1 && effects[0].0 == owner, "{owner}: {effects:?}");
    // A target is written with its node where several have one of that name.
    for node in ["one", "two", "three"] {
        let (id, target) = (format!("look-{node}"), format!("http:shop-{ASKED}@{node}"));
        desk.job(&id, "freeze", &json!({ "target": target, "for": "1m" }))?;
        fleet.wait("it is answered", || desk.answer(&id))?;
        let frozen = fleet.node(node).get("/api/monitoring/status")?["data"]["freezes"].to_string();
        ensure!(frozen.contains(&format!("http:shop-{ASKED}")), "{node}: {frozen}");
    }
    ensure!(desk.answers("halt")?.len() == 1, "it was done again");
    let backup = is_taken_back_elsewhere(&fleet, &owner, &incident)?;
    // Whoever reads it: what cannot be undone is said by who did it.
    desk.job("back", "rollback", &json!({ "backup_id": backup }))?;
    let said = fleet
        .wait("it is answered", || desk.answers("back")?.pop().context("there is no answer"))?;
    ensure!(
        !said.1.to_string().contains("no backup") && !said.1.to_string().contains("has a backup"),
        "{said:?}"
    );
    says_whose_it_is(&desk)?;
    names_who_did_not_hear_of_a_freeze(&fleet, &desk)?;
    fleet.shops.had_one_at_a_time()
}

/// A fix that was kept is asked to be taken back where it was not made; its node says what it thinks of
/// that.
fn is_taken_back_elsewhere(fleet: &Fleet, owner: &str, incident: &str) -> Result<String> {
    let backup = fleet.wait("its window is over", || {
        let seen = fleet.node(owner).get(&format!("/api/incidents/{incident}"))?;
        ensure!(seen["state"] == "resolved", "{}", seen["state"]);
        let backup = seen["backups"][0].as_str();
        Ok(backup.with_context(|| seen["backups"].to_string())?.to_owned())
    })?;
    let asked = fleet.other_than(owner);
    let of_backup = format!("/api/monitoring/rollback/{backup}");
    for path in [format!("/api/incidents/{incident}/rollback"), of_backup] {
        until("its owner is known", LIMIT, || {
            let answer = ask_within(LIMIT, "POST", asked.port, &path, "")?;
            ensure!(answer.status != 404 && answer.body.contains(owner), "{path}: {answer:?}");
            Ok(())
        })?;
    }
    let unknown = "/api/incidents/01890000-0000-7000-8000-000000000000/rollback";
    let no_backup = "/api/monitoring/rollback/backup_20200101_000000";
    for nobodys in [unknown, no_backup] {
        ensure!(ask("POST", asked.port, nobodys, "")?.status == 404, "{nobodys}");
    }
    Ok(backup)
}

/// One that is silent is named, and obeys when it is back; what is wrong is refused by whoever reads it.
fn names_who_did_not_hear_of_a_freeze(fleet: &Fleet, desk: &Desk) -> Result<()> {
    let three = fleet.node("three");
    three.signal("-STOP")?;
    fleet.wait("it is missed", || {
        let seen = fleet.node("one").get("/api/fleet")?.to_string();
        ensure!(seen.contains("\"is_silent\":true"), "{seen}");
        Ok(())
    })?;
    // Whoever is stopped may have been about to read it: that one is read again a minute later.
    let answered = |id: &str| {
        until("it is answered", LIMIT * 3, || desk.answers(id)?.pop().context("no answer"))
    };
    desk.job("stop", "freeze", &json!({ "for": "10m" }))?;
    let (status, said) = answered("stop")?;
    let said = said.to_string();
    ensure!(status == "failed" && said.contains("`three` gives no sign of life"), "{said}");
    ensure!(said.contains("`one`") && said.contains("`two`"), "{said}");
    three.signal("-CONT")?;
    fleet.wait("it is frozen as well", || {
        ensure!(fleet.freezes_of_everything()? == 3);
        Ok(())
    })?;
    let both = json!({ "fleet": true, "target": format!("http:shop-{ASKED}") });
    desk.job("both", "freeze", &both)?;
    let (status, said) = answered("both")?;
    ensure!(status == "failed" && said.to_string().contains("leave one out"), "{said}");
    Ok(())
}

fn says_whose_it_is(desk: &Desk) -> Result<()> {
    for stream in [
        "maestro:streams:automation:errors",
        "maestro:streams:automation:healing",
        "maestro:streams:automation:results",
    ] {
        let lines = desk.redis(&["XREVRANGE", stream, "+", "-", "COUNT", "1"])?;
        let node = lines.windows(2).find(|two| two[0] == "orchestrator_id");
        let node =
            node.map(|two| two[1].as_str()).with_context(|| format!("{stream}: {lines:?}"))?;
        ensure!(["one", "two", "three"].contains(&node), "{stream}: {node}");
    }
    Ok(())
}
