//! What Prometheus reads of a running coordinator. That rules and dashboard ask for it and for nothing
//! else, the tests beside the code say.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Stdio;

use axum::body::Body;
use regex::Regex;
use selfheal_agents::fakes::healthy;
use selfheal_agents::ports::Outcomes;

use super::{Served, asked, text};
use crate::store::samples::outcome;

async fn scraped(served: &Served) -> String {
    let request = asked("GET", "/metrics").body(Body::empty());
    text(served.send(request.expect("the test's own request is sound")).await).await
}

/// What happened is counted beside the answer, a moment later.
async fn scraped_until(served: &Served, told: &str) -> String {
    for _ in 0..1_000 {
        let seen = scraped(served).await;
        if seen.contains(told) {
            return seen;
        }
        tokio::task::yield_now().await;
    }
    panic!("{told} is not told");
}

/// The same in the older form, the only one that promtool reads: a counter is named as its samples are.
fn in_the_older_form(scraped: &str) -> String {
    let counter = Regex::new(r"(?m)^# TYPE (\S+) counter$").expect("a pattern");
    let counters: BTreeSet<&str> =
        counter.captures_iter(scraped).map(|found| found.extract::<1>().1[0]).collect();
    let heading = Regex::new(r"(?m)^# (HELP|TYPE) (\S+)").expect("a pattern");
    let renamed = heading.replace_all(scraped, |found: &regex::Captures<'_>| {
        let end = if counters.contains(&found[2]) { "_total" } else { "" };
        format!("# {} {}{end}", &found[1], &found[2])
    });
    renamed.replace("# EOF\n", "")
}

#[tokio::test]
async fn promtool_finds_nothing_to_say_about_the_names() {
    let served = Served::new();
    served.store.record_outcome(&outcome(1, 0, true)).await.unwrap();
    served.world.add(healthy("web"));
    served.post("/api/monitoring/trigger-check", "").await;
    let seen = scraped_until(&served, "selfheal_cycle_duration_seconds_count 1").await;
    let promtool = std::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        assert!(std::env::var_os("CI").is_none(), "promtool is not installed");
        let _ = writeln!(std::io::stderr(), "SKIPPED: promtool is not installed");
        return;
    };
    let mut input = promtool.stdin.take().unwrap();
    input.write_all(in_the_older_form(&seen).as_bytes()).unwrap();
    drop(input);
    let said = promtool.wait_with_output().unwrap();
    let text = [said.stdout, said.stderr].concat();
    assert!(said.status.success() && text.is_empty(), "{}", String::from_utf8_lossy(&text));
}

#[tokio::test]
async fn a_cycle_is_counted_and_timed_with_its_agents() {
    let served = Served::new();
    let (status, _) = served.post("/api/monitoring/trigger-check", "").await;
    assert!(status.is_success(), "{status}");
    let seen = scraped_until(&served, "selfheal_cycle_duration_seconds_count 1").await;
    for agent in ["health-monitor", "error-detector", "root-cause", "fix-engineer"] {
        let counted = format!("selfheal_agent_duration_seconds_count{{agent=\"{agent}\"}} 1");
        assert!(seen.contains(&counted), "{counted} is not in\n{seen}");
    }
}
