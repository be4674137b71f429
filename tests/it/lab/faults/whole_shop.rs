//! The whole shop at once: a proxy, the application, its database and its cache, a worker and the
//! provider that it asks. Whoever is loudest here is innocent.

use anyhow::Result;

use super::data_services::start_data_services;
use super::{Fault, GOOD_SITE, WORKER, start_worker, write_an_hour_ago};
use crate::lab::engine::docker;
use crate::lab::stack::{Service, Stack};

fn start_shop(stack: &mut Stack) -> Result<()> {
    start_data_services(stack)?;
    start_worker(stack, WORKER)?;
    stack.wait_for("app", "/orders")?;
    let folder = stack.folder("site")?;
    write_an_hour_ago(&folder.join("default.conf"), GOOD_SITE)?;
    let web = Service::new("web", "nginx").publish(80).needs(&["app"]);
    stack.start(web.mount(&folder, "/etc/nginx/conf.d"))
}

/// Proxy and application fail with the database, and both say so louder than it does.
pub(crate) const SHOP_DATABASE_STOPPED: Fault = Fault {
    stage: start_shop,
    judge: ("web", "/orders"),
    inject: |stack| docker(&["stop", &stack.name("postgres")]).map(drop),
    futile: Some(|stack| docker(&["restart", &stack.name("app"), &stack.name("web")]).map(drop)),
    cure: |stack| docker(&["start", &stack.name("postgres")]).map(drop),
};

/// The application is gone without a word, and the proxy logs every request that it loses.
pub(crate) const SHOP_APPLICATION_CRASHED: Fault = Fault {
    stage: start_shop,
    judge: ("web", "/orders"),
    inject: |stack| stack.signal_from_host("app", "KILL"),
    futile: None,
    cure: |stack| docker(&["start", &stack.name("app")]).map(drop),
};

/// The provider lowers its limit beside a shop that is well.
pub(crate) const SHOP_RATE_LIMIT: Fault = Fault {
    stage: start_shop,
    judge: ("worker", "/status"),
    inject: super::RATE_LIMIT.inject,
    futile: super::RATE_LIMIT.futile,
    cure: super::RATE_LIMIT.cure,
};
