//! What is promised of nodes with the leases that they have where nobody says otherwise.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use selfheal::config::Settings;
use tokio::runtime::Runtime;

use super::far::leases;
use super::node::{DATABASE, Node};
use super::{Fleet, owner};
use crate::store::postgres::client;
use crate::support::{throughout, until};

/// A dead node's targets are another's by then.
const REPLACED: Duration = Duration::from_secs(15);
/// So long one is stopped.
const STOPPED: Duration = Duration::from_secs(30);
/// So long takes each way of a question and its answer: between its decision and the effect a node
/// asks, and is stopped before it is answered.
const ONE_WAY: Duration = Duration::from_millis(500);
/// Never broken: nobody is at work there, so it is had for the usual time.
const UNTOUCHED: usize = 0;

impl Fleet {
    /// Who looks after a shop is stopped as soon as it has decided to mend it, and before it does; the
    /// answer that lets it arrives at what is stopped.
    fn is_stopped_before_its_effect(&self) -> Result<(usize, &Node, String)> {
        for shop in 1..4 {
            let name = self.wait("somebody has it", || owner(&self.nodes[0], shop))?;
            let node = self.node(&name);
            node.way.takes(ONE_WAY);
            self.shops.shatter(shop)?;
            let begun = self.wait("it has begun", || node.has_begun(shop))?;
            node.signal("-STOP")?;
            let has_not_begun = throughout("it is not at work", ONE_WAY, || {
                let effects = self.shops.effects(shop);
                ensure!(effects.is_empty(), "{effects:?}");
                Ok(())
            });
            if has_not_begun.is_ok() {
                return Ok((shop, node, begun));
            }
            node.signal("-CONT")?;
            node.way.heal();
            self.wait("it is well again", || self.shops.is_well(shop))?;
        }
        bail!("it was at work each time before it could be stopped")
    }

    /// The other one that is there and mended the shop.
    fn is_mended_by_another(&self, shop: usize, than: &Node) -> Result<&Node> {
        let effects = self.shops.effects(shop);
        let (who, ..) = effects.first().context("nobody is at work")?;
        ensure!(who != than.name, "{who} is at work although it is stopped: {effects:?}");
        self.shops.is_well(shop)?;
        Ok(self.node(who))
    }

    /// One that dies right after it has renewed its leases is replaced in time.
    fn dies_and_is_replaced(&self, dead: &Node) -> Result<()> {
        let waiting = Runtime::new()?;
        let mut on = waiting.block_on(client(&self.server, DATABASE));
        let place = format!("/{UNTOUCHED}");
        let mut lease = || -> Result<(String, i64, i64)> {
            let all = leases(&waiting, &mut on)?;
            let found = all.into_iter().find(|(target, _)| target.ends_with(&place));
            Ok(found.context("nobody ever had it")?.1)
        };
        let before = self.wait("it has that one, too", || {
            let lease = lease()?;
            ensure!(lease.0 == dead.name, "{lease:?}");
            Ok(lease)
        })?;
        self.wait("it is renewed", || {
            let lease = lease()?;
            ensure!(lease.2 > before.2, "{lease:?}");
            Ok(())
        })?;
        dead.signal("-KILL")?;
        let died = Instant::now();
        let (holder, ..) = until("another has it", REPLACED, || {
            let lease = lease()?;
            ensure!(lease.0 != dead.name, "{lease:?}");
            Ok(lease)
        })?;
        ensure!(died.elapsed() <= REPLACED, "{holder} has it after {:?}", died.elapsed());
        Ok(())
    }
}

#[test]
fn with_usual_leases_a_dead_node_is_replaced_within_15_s_and_one_stopped_for_30_s_does_no_harm()
-> Result<()> {
    let usual = Settings::default().fleet.lease;
    let Some(fleet) = Fleet::begin_with(usual, None)? else { return Ok(()) };
    let (shop, stopped, begun) = fleet.is_stopped_before_its_effect()?;
    let since = Instant::now();
    let next = fleet.wait("another mends it", || fleet.is_mended_by_another(shop, stopped))?;
    fleet.dies_and_is_replaced(next)?;
    std::thread::sleep(STOPPED.saturating_sub(since.elapsed()));
    stopped.signal("-CONT")?;
    stopped.way.heal();
    fleet.wait("it ends what it had begun", || stopped.has_ended(&begun))?;
    fleet.shops.is_well(shop)?;
    fleet.shops.had_one_at_a_time()
}
