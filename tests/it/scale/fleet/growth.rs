//! Prints what a node costs in ever larger fleets, and by which power of their number the whole grows.
//!
//! Run by `scripts/scale fleet` alone, with the optimised program. What a cycle costs is what is used
//! while every node makes one, less what they use in that time without any.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::cost::{Books, Clerk, Statement, between, own_cpu_secs, own_files, own_memory_bytes};
use super::{Fleet, Site};

/// Of each node, as most hosts have.
const CONTAINERS: usize = 50;
/// One node of so many has made a fix between two measurements.
const FIX_EVERY: usize = 20;
/// In seconds, as by default.
const LEASE: u64 = 8;
/// How long is looked at what nodes do between their cycles.
const BETWEEN: Duration = Duration::from_secs(30);
/// What a cycle changed is told to other nodes within this time.
const TOLD: Duration = Duration::from_secs(5);

/// What a fleet of one size costs.
struct Cost {
    nodes: usize,
    /// By name, of the whole fleet.
    figures: Vec<(String, f64)>,
    /// Between the cycles.
    statements: Vec<Statement>,
}

fn print(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).expect("standard error is open");
}

/// The sizes to measure.
fn sizes() -> Result<Vec<usize>> {
    let text = std::env::var("SELFHEAL_FLEET").unwrap_or("50,100,200,400,1000".to_owned());
    let sizes = text.split(',').map(|one| one.trim().parse());
    let wrong = || format!("SELFHEAL_FLEET={text}: write numbers of nodes, such as 50,100");
    sizes.collect::<Result<_, _>>().with_context(wrong)
}

/// How long their leases are.
fn lease() -> Result<Duration> {
    let text = std::env::var("SELFHEAL_LEASE").unwrap_or(LEASE.to_string());
    let wrong = || format!("SELFHEAL_LEASE={text}: write a number of seconds, such as {LEASE}");
    text.trim().parse().map(Duration::from_secs).with_context(wrong)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures; scripts/scale runs it"]
async fn growth() -> Result<()> {
    let sizes = sizes()?;
    let most = sizes.iter().max().copied().unwrap_or_default();
    let Some(site) = Site::open(CONTAINERS, most * 4 + 50).await? else { return Ok(()) };
    let (mut fleet, mut clerk) = site.found("fleet", lease()?).await?;
    let empty = own_memory_bytes();
    let mut costs = vec![];
    for size in sizes {
        site.join(&mut fleet, size).await?;
        // Whoever is new looks at everything for the first time, and is sent as a whole.
        happens(&site, &fleet, false).await?;
        let cost = measured(&site, &fleet, &mut clerk, empty).await?;
        print(&format!("{size} nodes, {} files: {:?}\n", own_files()?, cost.figures));
        costs.push(cost);
    }
    print(&table(&costs));
    print(&by_statement(&costs));
    fleet.end().await;
    Ok(())
}

/// Everywhere a container ends, or is well again, which a cycle of each finds; and some learn.
async fn happens(site: &Site, fleet: &Fleet, is_well: bool) -> Result<()> {
    site.engine.end("c0", (!is_well).then_some(1));
    for node in fleet.nodes.iter().step_by(FIX_EVERY) {
        node.learns().await?;
    }
    fleet.cycle().await?;
    fleet.is_sent().await?;
    tokio::time::sleep(TOLD).await;
    Ok(())
}

/// What was used in a while.
struct Use {
    took: Duration,
    own_secs: f64,
    server_secs: f64,
    statements: Vec<Statement>,
}

async fn used(clerk: &mut Clerk, meanwhile: impl Future<Output = Result<()>>) -> Result<Use> {
    let statements = clerk.statements().await?;
    let (server, own, begun) = (clerk.books().await?.cpu_secs, own_cpu_secs()?, Instant::now());
    meanwhile.await?;
    Ok(Use {
        took: begun.elapsed(),
        own_secs: own_cpu_secs()? - own,
        server_secs: clerk.books().await?.cpu_secs - server,
        statements: between(&statements, clerk.statements().await?),
    })
}

async fn measured(site: &Site, fleet: &Fleet, clerk: &mut Clerk, empty: f64) -> Result<Cost> {
    let nothing = async {
        tokio::time::sleep(BETWEEN).await;
        Ok(())
    };
    let idle = used(clerk, nothing).await?;
    let cycle = used(clerk, happens(site, fleet, true)).await?;
    let figures = figures(&idle, &cycle, &clerk.books().await?, own_memory_bytes() - empty);
    Ok(Cost { nodes: fleet.nodes.len(), figures, statements: idle.statements })
}

/// One way to say what was used.
type Measure = (&'static str, fn(&Use) -> f64);

fn sum(of: &Use, what: fn(&Statement) -> f64) -> f64 {
    of.statements.iter().map(what).sum()
}

fn figures(idle: &Use, cycle: &Use, books: &Books, own_bytes: f64) -> Vec<(String, f64)> {
    let measures: [Measure; 7] = [
        ("the node's processor, ms", |of| of.own_secs * 1e3),
        ("PostgreSQL's processor, ms", |of| of.server_secs * 1e3),
        ("its statements", |of| sum(of, |one| one.calls)),
        ("its time in them, ms", |of| sum(of, |one| one.millis)),
        ("rows", |of| sum(of, |one| one.rows)),
        ("blocks looked at", |of| sum(of, |one| one.blocks)),
        ("journal, kB", |of| sum(of, |one| one.wal_bytes) / 1e3),
    ];
    let share = cycle.took.as_secs_f64() / idle.took.as_secs_f64();
    let minutes = idle.took.as_secs_f64() / 60.0;
    let mut figures = vec![];
    figures.extend(measures.map(|(name, of)| (format!("a minute: {name}"), of(idle) / minutes)));
    let alone = |of: fn(&Use) -> f64| of(cycle) - of(idle) * share;
    figures.extend(measures.map(|(name, of)| (format!("a cycle: {name}"), alone(of))));
    let standing = [
        ("the node's memory, MB", own_bytes / 1e6),
        ("connections", books.connections),
        ("PostgreSQL's memory, MB", books.memory_bytes / 1e6),
        ("the database, kB", books.database_bytes / 1e3),
        ("of it what all share, kB", books.shared_bytes / 1e3),
    ];
    figures.extend(standing.map(|(name, value)| (name.to_owned(), value)));
    figures
}

/// By which power of the number of nodes the whole grows: the slope in a plot of logarithms.
fn exponent(points: &[(f64, f64)]) -> f64 {
    let points: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let above: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let below: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    above / below
}

fn cells(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn table(costs: &[Cost]) -> String {
    let sizes = costs.iter().map(|cost| format!("{} nodes", cost.nodes));
    let ends = ["last / first".to_owned(), "exponent".to_owned()];
    let head: Vec<String> = std::iter::once("of each node".to_owned()).chain(sizes).collect();
    let head = [head, ends.to_vec()].concat();
    let mut text = format!("{}|{}\n", cells(&head), "---|".repeat(head.len()));
    for nth in 0..costs[0].figures.len() {
        let whole = |cost: &Cost| (cost.nodes as f64, cost.figures[nth].1);
        let points: Vec<(f64, f64)> = costs.iter().map(whole).collect();
        let each: Vec<f64> = points.iter().map(|(nodes, whole)| whole / nodes).collect();
        let ratio = each[each.len() - 1] / each[0];
        let each = each.iter().map(|each| format!("{each:.3}"));
        let name = costs[0].figures[nth].0.clone();
        let row: Vec<String> = std::iter::once(name).chain(each).collect();
        let ends = [format!("{ratio:.2}"), format!("{:.2}", exponent(&points))];
        text += &cells(&[row, ends.to_vec()].concat());
    }
    text
}

/// What is asked most in the largest fleet, beside the smallest.
fn by_statement(costs: &[Cost]) -> String {
    let (first, last) = (&costs[0], &costs[costs.len() - 1]);
    let mut text = format!(
        "\n| each call, of {} and {} nodes | calls a node | ms | rows | blocks |\n|---|---|---|---|---|\n",
        first.nodes, last.nodes
    );
    let mut dearest: Vec<&Statement> = last.statements.iter().collect();
    dearest.sort_by(|one, other| other.millis.total_cmp(&one.millis));
    for one in dearest.into_iter().take(12) {
        let before = first.statements.iter().find(|before| before.sql == one.sql);
        let both = |of: &dyn Fn(&Statement, usize) -> f64| {
            let before = before.map_or(0.0, |before| of(before, first.nodes));
            format!("{before:.3}, {:.3}", of(one, last.nodes))
        };
        let sql: String = one.sql.chars().take(90).collect();
        text += &cells(&[
            format!("`{sql}`"),
            both(&|one, nodes| one.calls / nodes as f64),
            both(&|one, _| one.millis / one.calls),
            both(&|one, _| one.rows / one.calls),
            both(&|one, _| one.blocks / one.calls),
        ]);
    }
    text
}
