//! Several daemons that share one PostgreSQL and reach the same targets.
//!
//! What is done to a target is counted at the target: the command that mends it writes down when it
//! began and ended, and for which node. Lists of the daemons prove nothing.

mod clock;
mod cut_off;
mod everywhere;
mod far;
mod jobs;
mod leave;
mod net;
mod node;
mod older;
mod shops;
mod usual;
mod way;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::runtime::Runtime;

use self::node::{DATABASE, LEASE, LIMIT, Meeting, Node, Place};
use self::shops::{ASKED, SHOPS, Shops};
use crate::probes::server::Server;
use crate::store::postgres::{client, database, server};
use crate::support::{ask, ask_within, throughout, until};

/// Which node looks after a shop, as one of them says.
fn owner(asked: &Node, shop: usize) -> Result<String> {
    let fleet = asked.get("/api/fleet")?;
    let place = format!("/{shop}");
    let has_it = |node: &&Value| {
        let leases = node["leases"].as_array();
        let holds = |held: &Value| held["target"].as_str().is_some_and(|t| t.ends_with(&place));
        node["is_silent"] == false && leases.is_some_and(|leases| leases.iter().any(holds))
    };
    let nodes = fleet["nodes"].as_array().context("no nodes")?;
    let owner = nodes.iter().find(has_it).and_then(|node| node["name"].as_str());
    Ok(owner.with_context(|| format!("nobody has shop {shop}: {fleet}"))?.to_owned())
}

struct Fleet {
    shops: Shops,
    nodes: Vec<Node>,
    server: Server,
}

impl Fleet {
    fn begin() -> Result<Option<Self>> {
        Self::begin_with(LEASE, None)
    }

    fn begin_with(lease: Duration, redis: Option<u16>) -> Result<Option<Self>> {
        Self::begin_at(vec![Place { lease: Some(lease), ..Place::default() }; 3], redis)
    }

    /// Three nodes, each at its place.
    fn begin_at(places: Vec<Place>, redis: Option<u16>) -> Result<Option<Self>> {
        let Some(server) = server() else { return Ok(None) };
        Runtime::new()?.block_on(database(&server, DATABASE));
        let shops = Shops::open()?;
        let meeting = Meeting { shops: &shops, server: &server, redis };
        let nodes = ["one", "two", "three"].into_iter().zip(places);
        let nodes = nodes.map(|(name, place)| Node::start_at(place, name, &meeting));
        let nodes = nodes.collect::<Result<Vec<_>>>()?;
        let fleet = Self { shops, nodes, server };
        fleet.is_whole()?;
        Ok(Some(fleet))
    }

    /// Everybody sees everybody, and every shop has somebody.
    fn is_whole(&self) -> Result<()> {
        let fleet = self;
        fleet.wait("all are there, and every shop is looked after", || {
            let seen = fleet.nodes[2].get("/api/fleet")?;
            ensure!(seen["nodes"].as_array().map(Vec::len) == Some(3), "{seen}");
            (0..SHOPS).try_for_each(|shop| owner(&fleet.nodes[2], shop).map(drop))
        })
    }

    fn wait<T>(&self, what: &str, look: impl FnMut() -> Result<T>) -> Result<T> {
        until(what, LIMIT, look).map_err(|error| {
            let words: Vec<String> = self.nodes.iter().map(Node::last_words).collect();
            error.context(words.join("\n"))
        })
    }

    fn node(&self, name: &str) -> &Node {
        self.nodes.iter().find(|node| node.name == name).expect("one of ours")
    }

    fn other_than(&self, name: &str) -> &Node {
        self.nodes.iter().find(|node| node.name != name).expect("there are three")
    }

    /// One that is cut off and stopped when it is about to begin wakes up while another is at work;
    /// what it had asked the server for before arrives then.
    fn is_stopped_and_wakes(&self, shop: usize) -> Result<()> {
        let name = owner(&self.nodes[0], shop)?;
        let node = self.node(&name);
        // Between the decision and the effect it asks the server, which takes its time now.
        node.way.takes(Duration::from_millis(40));
        self.shops.shatter(shop)?;
        self.wait("it has begun", || node.has_begun(shop))?;
        node.way.cut();
        node.signal("-STOP")?;
        self.wait("another is at work, or it had begun already", || {
            let effects = self.shops.effects(shop);
            let is_other = effects.iter().any(|(who, ..)| *who != name);
            ensure!(is_other || self.shops.is_well(shop).is_ok(), "{effects:?}");
            Ok(())
        })?;
        node.signal("-CONT")?;
        node.way.heal();
        self.wait("it is well again", || self.shops.is_well(shop))
    }

    /// In the midst of its work. Another takes over what breaks meanwhile, and on its return it ends
    /// what it had begun.
    fn is_killed(&mut self, shop: usize) -> Result<()> {
        let name = self.wait("somebody has it", || owner(&self.nodes[0], shop))?;
        let nth = self.nodes.iter().position(|node| node.name == name).context("ours")?;
        self.shops.shatter(shop)?;
        let begun = self.wait("it has begun", || self.nodes[nth].has_begun(shop))?;
        self.wait("it is at work", || self.shops.is_being_mended(shop))?;
        self.nodes[nth].child.kill()?;
        self.nodes[nth].child.wait()?;
        let effects = self.shops.effects(shop);
        ensure!(effects.len() == 1 && effects[0].2.is_none(), "it had ended before: {effects:?}");
        // What it had started goes on without it.
        self.wait("it is well again", || self.shops.is_well(shop))?;
        self.shops.shatter(shop)?;
        self.wait("another mends it", || {
            let effects = self.shops.effects(shop);
            ensure!(effects.iter().any(|(who, ..)| *who != name), "{effects:?}");
            self.shops.is_well(shop)
        })?;
        self.nodes[nth].again()?;
        self.wait("it ends what it had begun", || self.nodes[nth].has_ended(&begun))
    }

    fn is_left_alone_without_the_server(&mut self, shop: usize) -> Result<()> {
        self.server.stop_postgres();
        self.shops.shatter(shop)?;
        self.wait("its absence is told where people look", || {
            let asked = self.nodes[0].get("/health")?;
            let why = asked["fleet"].as_str().with_context(|| asked.to_string())?;
            ensure!(why.contains("PostgreSQL does not answer"), "{why}");
            let page = ask("GET", self.nodes[0].port, "/", "")?.body;
            ensure!(page.contains("PostgreSQL does not answer"), "{page}");
            Ok(())
        })?;
        throughout("nobody touches it", LEASE * 2, || {
            let effects = self.shops.effects(shop);
            ensure!(effects.is_empty(), "{effects:?}");
            Ok(())
        })?;
        self.server.start_postgres_again();
        self.wait("it is well again", || self.shops.is_well(shop))
    }

    /// The one that looks after a shop, and its incident there that waits for a person.
    fn waits_for_a_person(&self, shop: usize) -> Result<(String, String)> {
        let target = format!("http:shop-{shop}");
        self.wait("it waits for a person", || {
            let owner = owner(&self.nodes[0], shop)?;
            let seen = self.nodes[0].get("/api/fleet")?;
            let nodes = seen["nodes"].as_array().context("nodes")?;
            let node = nodes.iter().find(|node| node["name"] == owner.as_str()).context("owner")?;
            let waits = |one: &&Value| one["target"] == target.as_str() && one["state"] == "held";
            let open = node["incidents"].as_array().and_then(|all| all.iter().find(waits));
            let id = open.and_then(|one| one["id"].as_str()).with_context(|| seen.to_string())?;
            Ok((owner, id.to_owned()))
        })
    }

    /// Approved on the page of a node that does not look after it; every node's shows it.
    fn is_decided_elsewhere(&self, shop: usize) -> Result<()> {
        self.shops.shatter(shop)?;
        let (owner, incident) = self.waits_for_a_person(shop)?;
        let approve = format!("/incidents/{incident}/approve");
        for asked in &self.nodes {
            self.wait("its page shows all of them and what waits", || {
                let page = ask("GET", asked.port, "/fleet", "")?.body;
                let names = self.nodes.iter().map(|node| format!("id=\"n-{}\"", node.name));
                let form = format!("action=\"{approve}\"");
                let missing = names.chain([form]).find(|shown| !page.contains(shown));
                ensure!(missing.is_none(), "{}: no {missing:?} in {page}", asked.name);
                Ok(())
            })?;
        }
        let asked = self.other_than(&owner);
        let answer = ask_within(LIMIT, "POST", asked.port, &approve, "")?;
        ensure!(answer.status == 303, "{answer:?}");
        self.wait("it is well again", || self.shops.is_well(shop))?;
        ensure!(self.shops.effects(shop)[0].0 == owner, "{:?}", self.shops.effects(shop));
        let audit = self.node(&owner).get("/api/audit?limit=100")?.to_string();
        let named = format!("at {}", asked.name);
        ensure!(audit.contains("\"via\":\"fleet\"") && audit.contains(&named), "{audit}");
        self.wait("it is proven", || self.node(&owner).has_ended(&incident))
    }

    /// Dismissed on a node that does not look after it: it is closed where it lies, without a fix.
    fn is_dismissed_elsewhere(&self, shop: usize) -> Result<()> {
        let before = self.shops.effects(shop).len();
        self.shops.shatter(shop)?;
        let (owner, incident) = self.waits_for_a_person(shop)?;
        let path = format!("/api/incidents/{incident}/dismiss");
        let reason = r#"{"reason": "closed for today"}"#;
        let answer = ask_within(LIMIT, "POST", self.other_than(&owner).port, &path, reason)?;
        ensure!(answer.status == 200 && answer.body.contains(&owner), "{answer:?}");
        let known = self.node(&owner).get(&format!("/api/incidents/{incident}"))?;
        let is_closed = known["state"] == "resolved" && known["applied"] == false;
        ensure!(is_closed && known.to_string().contains("closed for today"), "{known}");
        ensure!(self.shops.effects(shop).len() == before, "{:?}", self.shops.effects(shop));
        Ok(())
    }
}

impl Fleet {
    /// Frozen on a node that does not look after it, it is left alone by all until a third ends that.
    fn is_frozen_elsewhere(&self, shop: usize) -> Result<()> {
        let owner = self.wait("somebody has it", || owner(&self.nodes[0], shop))?;
        let target = format!("http:shop-{shop}");
        let body = format!(r#"{{"for": "10m", "target": "{target}", "reason": "audit"}}"#);
        let mut others = self.nodes.iter().filter(|node| node.name != owner);
        let (here, there) = (others.next().context("two")?, others.next().context("two")?);
        let answer = ask("POST", here.port, "/api/freeze", &body)?;
        ensure!(answer.status == 200, "{answer:?}");
        // What one knows all know after two looks; meanwhile nothing is wrong there.
        std::thread::sleep(LEASE);
        self.shops.shatter(shop)?;
        self.wait("its owner holds", || {
            let held =
                self.node(&owner).get(&format!("/api/incidents?state=held&target={target}"))?;
            let text = held.to_string();
            ensure!(text.contains(&format!("frozen at node `{}`", here.name)), "{text}");
            Ok(())
        })?;
        ensure!(self.shops.effects(shop).is_empty(), "{:?}", self.shops.effects(shop));
        let path = format!("/api/freeze?target={target}");
        let answer = ask_within(LIMIT, "DELETE", there.port, &path, "")?;
        ensure!(answer.status == 200, "{answer:?}");
        self.wait("it is well again", || self.shops.is_well(shop))
    }
}

impl Fleet {
    /// One that is gone for good is forgotten on anybody's word, one that is there is not.
    fn is_forgotten_when_gone(&self) -> Result<()> {
        let waiting = Runtime::new()?;
        let mut on = waiting.block_on(client(&self.server, DATABASE));
        let gone = "INSERT INTO selfheal_fleet.node (name, history, version, address, mode, seen_at, summary)
                    VALUES ('old', '', '', '', '', clock_timestamp() - interval '2 minutes', '{}')";
        waiting.block_on(sqlx::query(gone).execute(&mut on))?;
        let left =
            "INSERT INTO selfheal_fleet.decision (id, node, kind, payload, asked_by, asked_at)
                    VALUES ('left', 'old', 'freeze', '{}', 'ann', clock_timestamp())";
        waiting.block_on(sqlx::query(left).execute(&mut on))?;
        for (node, status) in [("old", 200), ("old", 404), ("two", 409)] {
            let answer = ask("DELETE", self.nodes[0].port, &format!("/api/fleet/{node}"), "")?;
            ensure!(answer.status == status, "{node}: {answer:?}");
        }
        let count = "SELECT count(*) FROM selfheal_fleet.decision WHERE node = 'old'";
        let waits: i64 = waiting.block_on(sqlx::query_scalar(count).fetch_one(&mut on))?;
        ensure!(waits == 0, "what was left for it is there for ever");
        let left = self.nodes[0].get("/api/fleet")?;
        ensure!(left["nodes"].as_array().map(Vec::len) == Some(3), "{left}");
        Ok(())
    }
}

#[test]
fn what_several_nodes_reach_is_mended_by_one_whoever_hangs_dies_or_is_cut_off() -> Result<()> {
    let Some(mut fleet) = Fleet::begin()? else { return Ok(()) };
    fleet.shops.shatter(0)?;
    fleet.wait("it is well again", || fleet.shops.is_well(0))?;
    ensure!(fleet.shops.effects(0).len() == 1, "{:?}", fleet.shops.effects(0));
    fleet.is_stopped_and_wakes(1)?;
    fleet.is_left_alone_without_the_server(3)?;
    fleet.is_decided_elsewhere(ASKED)?;
    fleet.is_dismissed_elsewhere(ASKED)?;
    fleet.is_frozen_elsewhere(4)?;
    fleet.is_forgotten_when_gone()?;
    fleet.is_killed(2)?;
    fleet.wait("what one learnt is known to all", || {
        let mut learning = 0;
        for node in &fleet.nodes {
            let figures = ask("GET", node.port, "/metrics", "")?.body;
            let learnt = figures.lines().find(|line| line.starts_with("selfheal_fleet_outcomes "));
            let learnt = learnt.and_then(|line| line.split(' ').next_back()?.parse::<f64>().ok());
            let all = fleet.shops.mended();
            learning += usize::from(learnt.is_some_and(|learnt| learnt >= 1.0));
            ensure!(learnt.is_some_and(|learnt| learnt <= all as f64), "{}: {all}", node.name);
        }
        // One of them may have done all of it.
        ensure!(learning >= 2, "{learning} of {} learnt of others", fleet.nodes.len());
        Ok(())
    })?;
    fleet.shops.had_one_at_a_time()
}
