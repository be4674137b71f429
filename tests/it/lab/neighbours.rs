//! Two nodes of a fleet, where the application of one needs the database of the other, and nobody has
//! told them so.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::runtime::Runtime;

use super::daemon::Selfheal;
use super::engine::{self, docker};
use super::faults::app;
use super::stack::{Service, Stack};
use crate::probes::server::Server;
use crate::store::postgres::{address_text, database, server};
use crate::support::{free_port, throughout, until};

const LIMIT: Duration = Duration::from_secs(90);
const FLEET: &str = "fleet";

/// The database, on a host of its own; with it the address of that host, for which its own stands:
/// those of this machine are either node's.
fn start_database(port: u16) -> Result<(Stack, String)> {
    let mut stack = Stack::new()?;
    let published = format!("0.0.0.0:{port}:{port}");
    stack.start(
        Service::new("postgres", "postgres")
            .env("POSTGRES_USER", "shop")
            .env("POSTGRES_PASSWORD", "not-a-secret")
            .env("POSTGRES_DB", "shop")
            .env("PGPORT", &port.to_string())
            .with(&["--publish", &published])
            // Its node only looks on, so that there is time to see what the other one does.
            .with(&["--label", "selfheal.mode=observe"]),
    )?;
    until("the database is ready", LIMIT, || {
        let said = stack.log("postgres");
        ensure!(said.contains("ready to accept connections"), "it says {said}");
        Ok(())
    })?;
    let address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = stack.inspect("postgres", address)?;
    Ok((stack, address))
}

/// The application, which is told that address and nothing else.
fn start_application(database: &Stack, address: &str, port: u16) -> Result<Stack> {
    let mut stack = Stack::new()?;
    stack.start(
        app()
            .env("DATABASE_URL", &format!("postgres://shop:not-a-secret@{address}:{port}/shop"))
            .env("DATABASE_PATIENCE_S", "30")
            .env("DEEP_HEALTH", "1")
            .asks_itself(),
    )?;
    docker(&["network", "connect", database.network(), &stack.name("app")])?;
    stack.wait_for("app", "/orders")?;
    stack.wait_until_healthy("app")?;
    Ok(stack)
}

fn node(name: &str, of: &Stack, server: &Server, more: &str) -> Result<Selfheal> {
    let settings = format!(
        "[store]\nurl = \"{}\"\n[fleet]\nnode = \"{name}\"\n{more}",
        address_text(server, FLEET)
    );
    Selfheal::watch(of, &settings)
}

/// What the near node says of the trouble, once it says it so.
fn blamed(near: &Selfheal, target: &str, hold: &str) -> Result<()> {
    until("the other node's target is blamed", LIMIT, || {
        let incidents = near.incidents()?;
        let open =
            incidents.iter().find(|one| one["closed_at"].is_null()).context("none is open")?;
        ensure!(open["target"] == target && open["holds"][0]["reason"] == hold, "{open:#}");
        Ok(())
    })
}

#[test]
fn an_application_is_left_alone_while_the_database_that_it_needs_fails_on_another_node() {
    if !engine::answers("an application is left alone while another node's database fails") {
        return;
    }
    waits_for_another_node().expect("two nodes");
}

fn waits_for_another_node() -> Result<()> {
    let Some(server) = server() else { return Ok(()) };
    Runtime::new()?.block_on(database(&server, FLEET));
    let port = free_port()?;
    let (far, address) = start_database(port)?;
    let near = start_application(&far, &address, port)?;
    let hosts = format!("hosts = [\"{address}\"]\n");
    let mut nas = node("nas", &far, &server, &hosts)?;
    let shop = node("shop", &near, &server, "")?;
    let database = format!("container:{}@nas", far.name("postgres"));
    let target = format!("/api/targets/container:{}", near.name("app"));
    until("the need is found", LIMIT, || {
        let seen = shop.get(&target)?;
        ensure!(seen["depends_on"].to_string().contains(&database), "{seen:#}");
        Ok(())
    })?;

    far.signal_from_host("postgres", "KILL")?;
    blamed(&shop, &database, "leased_elsewhere").with_context(|| shop.last_words())?;
    throughout("it is left alone", Duration::from_secs(12), || {
        ensure!(shop.changes().is_empty(), "{:?}", shop.changes());
        ensure!(shop.alerts().is_empty(), "who was woken? {:?}", shop.alerts());
        Ok(())
    })?;
    docker(&["start", &far.name("postgres")])?;
    until("the application works, and the trouble is over", 2 * LIMIT, || {
        near.get("app", "/orders")?;
        let incidents = shop.incidents()?;
        ensure!(incidents.iter().all(|one| !one["closed_at"].is_null()), "{incidents:#?}");
        Ok(())
    })
    .with_context(|| shop.last_words())?;
    ensure!(shop.changes().is_empty(), "{:?}", shop.changes());

    nas.kill()?;
    far.signal_from_host("postgres", "KILL")?;
    blamed(&shop, &database, "target_external").with_context(|| shop.last_words())?;
    until("a person is told", LIMIT, || {
        let alerts = format!("{:?}", shop.alerts());
        ensure!(alerts.contains("nothing answers at"), "{alerts}");
        Ok(())
    })?;
    ensure!(shop.changes().is_empty(), "{:?}", shop.changes());
    Ok(())
}
