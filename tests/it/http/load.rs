//! How quickly the API answers with a long history: 500 requests a second beside cycles that run
//! without a pause. `scripts/bench http` runs it; it is no test, since a busy machine is slow.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use selfheal_agents::model::{
    Actor, Finding, FindingSource, Incident, IncidentId, IncidentState, Severity, TargetId,
    Timestamp, Trend, time_ordered_id,
};
use selfheal_agents::ports::Incidents;

use crate::access::Site;
use crate::lab::UNDER_LOAD;
use crate::support::ask_within;

const INCIDENTS: usize = 100_000;
const PER_SECOND: u32 = 500;
const SECONDS: u32 = 20;
/// Requests for each path, one after the other.
const ALONE: u32 = 100;
/// Requests under way at once that the goal is measured with.
const CONNECTIONS: usize = 16;
const GOAL: Duration = Duration::from_millis(10);

/// One of a long history: three in a hundred thousand are open.
fn incident(number: usize, begun: Timestamp) -> Result<Incident> {
    let at = begun + chrono::TimeDelta::seconds(i64::try_from(number)? * 20);
    let target = TargetId::container(&format!("service-{}", number % 50));
    let finding = Finding {
        key: Finding::check_key(&target, "container.state"),
        target: target.clone(),
        source: FindingSource::Check {
            check: "container.state".to_owned(),
            value: "exited".to_owned(),
        },
        category: selfheal_agents::model::Category::Crash,
        severity: Severity::Critical,
        message: "it ended with exit code 1".to_owned(),
        samples: vec!["panic: the till does not open".to_owned(); 3],
        count: 1,
        first_seen: at,
        last_seen: at,
        trend: Trend::Steady,
    };
    let mut incident = Incident::open(IncidentId(time_ordered_id(at)), target, vec![finding], at);
    if !number.is_multiple_of(33_333) {
        let text = "it works again without a fix";
        incident.become_state(IncidentState::Resolved, at, Actor::HealthMonitor, text)?;
    }
    Ok(incident)
}

async fn fill(data: &Path) -> Result<IncidentId> {
    let clock = Arc::new(selfheal::host::SystemClock);
    let store = selfheal::store::open(data, clock).await?.store;
    let length = chrono::TimeDelta::seconds(i64::try_from(INCIDENTS)? * 20);
    let begun = chrono::Utc::now() - length;
    let mut last = None;
    for chunk in (0..INCIDENTS).collect::<Vec<_>>().chunks(200) {
        let made: Vec<Incident> =
            chunk.iter().map(|number| incident(*number, begun)).collect::<Result<_>>()?;
        try_join_all(made.iter().map(|incident| store.save_incident(incident))).await?;
        last = made.last().map(|incident| incident.id);
    }
    store.close().await;
    last.context("no incident was made")
}

fn paths(known: IncidentId) -> Vec<String> {
    let day_ago = (chrono::Utc::now() - chrono::TimeDelta::days(1)).format("%Y-%m-%dT%H:%M:%SZ");
    let now = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ");
    vec![
        "/".to_owned(),
        "/health".to_owned(),
        "/metrics".to_owned(),
        "/api/incidents".to_owned(),
        "/api/incidents?state=open".to_owned(),
        "/api/incidents?state=stuck".to_owned(),
        "/api/incidents?state=open,stuck,rolled_back".to_owned(),
        "/api/incidents?target=container:none".to_owned(),
        "/api/incidents?target=container:service-7&state=open".to_owned(),
        format!("/api/incidents?since={now}"),
        "/api/incidents?target=container:service-7&limit=20".to_owned(),
        format!("/api/incidents?since={day_ago}&limit=20"),
        format!("/api/incidents?cursor={known}"),
        format!("/api/incidents/{known}"),
        "/api/targets".to_owned(),
        "/api/targets/host".to_owned(),
        "/api/monitoring/health".to_owned(),
        "/api/monitoring/status".to_owned(),
        "/api/monitoring/stats".to_owned(),
        "/api/monitoring/backups".to_owned(),
    ]
}

type Times = Arc<Mutex<BTreeMap<String, Vec<Duration>>>>;

fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(CONNECTIONS)
        .timeout(Duration::from_secs(30))
        .build()
}

/// How long one answer takes.
async fn asked(client: &reqwest::Client, port: u16, path: &str) -> Result<Duration> {
    let began = Instant::now();
    let answer = client.get(format!("http://127.0.0.1:{port}{path}")).send().await?;
    ensure!(answer.status().is_success(), "{path}: {}", answer.status());
    answer.bytes().await?;
    Ok(began.elapsed())
}

/// Asks for each path, one request after the other.
async fn one_by_one(port: u16, paths: &[String]) -> Result<BTreeMap<String, Vec<Duration>>> {
    let (client, mut times) = (client()?, BTreeMap::<String, Vec<Duration>>::new());
    for path in paths.iter().cycle().take(ALONE as usize * paths.len()) {
        times.entry(path.clone()).or_default().push(asked(&client, port, path).await?);
    }
    Ok(times)
}

/// Asks for each path in turn, at the given rate, whatever is still under way.
async fn load(port: u16, paths: &[String]) -> Result<BTreeMap<String, Vec<Duration>>> {
    let (client, times) = (client()?, Times::default());
    let mut beat = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
    let mut under_way = vec![];
    for path in paths.iter().cycle().take((PER_SECOND * SECONDS) as usize) {
        beat.tick().await;
        let (client, times, path) = (client.clone(), Arc::clone(&times), path.clone());
        under_way.push(tokio::spawn(async move {
            let took = asked(&client, port, &path).await?;
            times.lock().expect("nobody panics with it").entry(path).or_default().push(took);
            anyhow::Ok(())
        }));
    }
    for one in under_way {
        one.await??;
    }
    Ok(std::mem::take(&mut times.lock().expect("nobody panics with it")))
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

#[expect(clippy::print_stdout, reason = "what it prints is what it is for")]
fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let (half, most) = (percentile(&times, 50), percentile(&times, 99));
    let ratio = GOAL.as_secs_f64() / most.as_secs_f64();
    println!(
        "{what:60} {:6} asked   p50 {half:>10.2?}   p99 {most:>10.2?}   {ratio:.1} times the goal",
        times.len()
    );
}

#[expect(clippy::print_stdout, reason = "what it prints is what it is for")]
fn tell_all(title: &str, times: BTreeMap<String, Vec<Duration>>, known: IncidentId) {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("== {title}; load of the machine {}", load.split(' ').next().unwrap_or("unknown"));
    let all: Vec<Duration> = times.values().flatten().copied().collect();
    for (path, times) in times {
        tell(&path.replace(&known.to_string(), "ID"), times);
    }
    tell("all of them", all);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: scripts/bench http"]
async fn reads_beside_a_running_cycle() -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let site = Site::new(&format!("listen = \"127.0.0.1:PORT\"\n{UNDER_LOAD}"))?;
    let known = fill(&site.folder.path().join("data")).await?;
    let daemon = site.run()?;
    let port = site.port;
    // What is asked for has to be seen first.
    ask_within(Duration::from_mins(1), "POST", port, "/api/monitoring/trigger-check", "{}")?;
    let paths = paths(known);
    tell_all("one after the other", one_by_one(port, &paths).await?, known);
    let cycles = std::thread::spawn(move || {
        let path = "/api/monitoring/trigger-check";
        let mut done = 0;
        while ask_within(Duration::from_mins(1), "POST", port, path, "{}").is_ok() {
            done += 1;
        }
        done
    });
    let times = load(port, &paths).await?;
    drop(daemon);
    let cycles = cycles.join().expect("it does not panic");
    let title = format!("{PER_SECOND} a second for {SECONDS} s, beside {cycles} cycles");
    tell_all(&title, times, known);
    Ok(())
}
