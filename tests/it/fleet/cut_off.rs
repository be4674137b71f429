//! What all of them need goes away in the middle of a repair, and one of them lives an hour ahead.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::runtime::Runtime;

use super::clock::MovedClock;
use super::net::Net;
use super::node::{DATABASE, Meeting, Node, Place};
use super::shops::Shops;
use super::way::Way;
use super::{Fleet, owner};
use crate::probes::server::Server;
use crate::store::postgres::{database, server};

impl Fleet {
    /// One repair, at whose beginning something happens.
    pub(super) fn mends(
        &self,
        shop: usize,
        happens: impl FnOnce(&Node) -> Result<()>,
    ) -> Result<()> {
        let name = self.wait("somebody has it", || owner(&self.nodes[0], shop))?;
        self.shops.shatter(shop)?;
        self.wait("it is being mended", || self.shops.is_being_mended(shop))?;
        happens(self.node(&name))?;
        self.wait("it is well again", || self.shops.is_well(shop))
    }

    /// What it began is done, and nothing after it: of what breaks now it is not the one, though it
    /// sees it. Where it can be the link itself goes down.
    fn is_cut_off(&self, net: Option<&Net>, (first, second): (usize, usize)) -> Result<()> {
        let set = |node: &Node, state: &str| {
            let nth = self.nodes.iter().position(|one| one.name == node.name).context("ours")?;
            net.map_or(Ok(()), |net| net.set(nth, state))
        };
        let mut cut = None;
        self.mends(first, |node| {
            cut = Some(node.name);
            if net.is_none() {
                node.way.cut();
            }
            set(node, "down")
        })?;
        let cut = self.node(cut.context("somebody")?);
        self.shops.shatter(second)?;
        self.wait("another mends it", || self.shops.is_well(second))?;
        let effects = self.shops.effects(second);
        ensure!(effects.iter().all(|(who, ..)| who != cut.name), "{}: {effects:?}", cut.name);
        cut.way.heal();
        set(cut, "up")?;
        self.wait("it is there again", || {
            let fleet = cut.get("/api/fleet")?;
            let nodes = fleet["nodes"].as_array().context("it reaches the server")?;
            ensure!(nodes.iter().all(|node| node["is_silent"] == false), "{fleet}");
            Ok(())
        })
    }
}

/// One that starts while the server is away, and another of its name.
fn are_told_why_they_have_no_part(fleet: &mut Fleet) -> Result<()> {
    let three = &mut fleet.nodes[2];
    three.child.kill()?;
    three.child.wait()?;
    three.again()?;
    fleet.wait("the server's absence is told", || {
        fleet.nodes[2].has_said("what other nodes reach as well is not changed until it does")
    })?;
    fleet.server.start_postgres_again();
    fleet.is_whole()?;
    let meeting = Meeting { shops: &fleet.shops, server: &fleet.server, redis: None };
    let double = Node::begin("three", &meeting, Place::default())?;
    // Right at its start, or where the first sends nothing just then, a moment later.
    fleet.wait("the double is told", || {
        double
            .has_said("another node of the fleet is called `three` as well")
            .or_else(|_| double.has_said("give this node another name (fleet.node)"))
    })
}

#[test]
fn one_at_a_time_mends_while_postgres_redis_or_the_network_goes_and_a_clock_is_an_hour_off()
-> Result<()> {
    let Some(server) = server() else { return Ok(()) };
    let Some(redis) = Server::redis(&["--save", ""]) else { return Ok(()) };
    Runtime::new()?.block_on(database(&server, DATABASE));
    let net = Net::of(3)?.map(Arc::new);
    let address = |of: fn(&Net) -> String| net.as_deref().map_or("127.0.0.1".to_owned(), of);
    let (shops, folder) = (Shops::open_at(&address(Net::shops))?, tempfile::tempdir()?);
    let to_redis = Way::between(&address(Net::server), &format!("127.0.0.1:{}", redis.port))?;
    let meeting = Meeting { shops: &shops, server: &server, redis: Some(to_redis.port) };
    let ahead = MovedClock::made_in(folder.path())?;
    ahead.is_ahead_by(3600)?;
    let places = [None, Some(ahead), None].into_iter().enumerate().map(|(node, clock)| {
        let net = net.clone().map(|net| (net, node));
        Place { clock, net, ..Place::default() }
    });
    let nodes = ["one", "two", "three"].into_iter().zip(places);
    let nodes = nodes.map(|(name, place)| Node::start_at(place, name, &meeting));
    let nodes = nodes.collect::<Result<Vec<_>>>()?;
    let mut fleet = Fleet { shops, nodes, server };
    fleet.is_whole()?;
    let status = fleet.wait("it looked", || {
        let status = fleet.node("two").get("/api/monitoring/status")?;
        let looked = status["data"]["last_check"].as_str().context("it has not looked")?;
        Ok(looked.parse::<DateTime<Utc>>()?)
    })?;
    ensure!(status - Utc::now() > TimeDelta::minutes(50), "{status}");

    fleet.mends(0, |_| {
        redis.signal("KILL");
        Ok(())
    })?;
    let _again = Server::redis_on(redis.port, &["--save", ""]);
    fleet.is_cut_off(net.as_deref(), (1, 2))?;
    fleet.shops.shatter(3)?;
    fleet.wait("it is being mended", || fleet.shops.is_being_mended(3))?;
    fleet.server.stop_postgres();
    fleet.wait("it is well again", || fleet.shops.is_well(3))?;
    are_told_why_they_have_no_part(&mut fleet)?;
    fleet.shops.had_one_at_a_time()
}
