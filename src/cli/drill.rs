//! `drill`: breaks the containers of a throw-away stack, one at a time, and judges from outside
//! what the running Selfheal does about it.
//!
//! Its invariant: a container without the label [`stack::DRILL_LABEL`] is never touched, and
//! whatever was broken is put back, whatever happens. It heals nothing itself: it waits for the
//! Selfheal that watches this host, and refuses where none may act.
//!
//! Rejected: to lower memory limits. Whether that kills depends on the kernel, on swap and on what
//! the service does next, so that it proves nothing. And to break a health check or an image,
//! because that needs the container to be made again.

mod card;
mod course;
mod fault;
mod kinds;
mod site;
mod stack;
mod verdict;
mod watch;

use std::io::{BufRead as _, IsTerminal as _};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use clap::Args;
use selfheal_agents::model::TargetId;
use selfheal_agents::ports::ContainerRuntime as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::card::{Card, Row};
use self::kinds::Kind;
use self::site::Site;
use self::stack::Member;
use super::client::Client;
use super::daemon::{start_log, wait_for_the_end};
use super::follow::follow_incidents;
use super::output::{Exit, Failure, Outcome, Output, tell};
use crate::config::{Logs, Settings};
use crate::docker::Docker;
use crate::http::body::{IncidentRow, Status, TargetList};
use crate::probes::Probes;

/// What is drilled.
#[derive(Debug, Clone, Args)]
pub struct Drill {
    /// What there is to drill, and no more
    #[arg(long)]
    pub list: bool,
    /// Only this marked container, such as container:web; may be given more than once
    #[arg(long, value_name = "TARGET")]
    pub target: Vec<TargetId>,
    /// Only these drills, with commas between
    #[arg(long, value_enum, value_delimiter = ',', value_name = "DRILL")]
    pub only: Vec<Kind>,
    /// Do not ask before breaking things
    #[arg(long)]
    pub yes: bool,
    /// How long Selfheal may take to heal, beside what the container's health check takes
    #[arg(long, default_value = "2m", value_parser = humantime::parse_duration)]
    #[arg(value_name = "TIME")]
    pub patience: Duration,
}

impl Drill {
    fn kinds(&self) -> Vec<Kind> {
        let wanted = |kind: &Kind| self.only.is_empty() || self.only.contains(kind);
        Kind::ALL.into_iter().filter(wanted).collect()
    }
}

/// What there is to drill; needs neither Docker nor settings.
pub(super) fn list(asked: &Drill, out: Output) -> Outcome {
    let kinds = asked.kinds();
    let rows: Vec<_> = kinds.iter().map(|kind| card::Listed::from(*kind)).collect();
    out.show(&rows, |rows, style| card::list(rows, style))?;
    Ok(Exit::Done)
}

/// One drill that is to be done, or why it cannot be.
struct Planned<'a> {
    kind: Kind,
    member: &'a Member,
    obstacle: Option<String>,
}

/// Drills the marked stack and shows the score card.
pub(super) async fn run(
    asked: &Drill,
    client: Client,
    settings: &Settings,
    out: Output,
) -> Outcome {
    start_log(&Logs { level: "error".to_owned(), ..settings.logs.clone() })?;
    let docker = Docker::connect(&settings.docker.host)
        .map_err(|error| Failure::new(Exit::Usage, error).next("selfheal config check"))?;
    let all = docker.containers().await.map_err(|error| {
        Failure::new(Exit::Unreachable, format!("drills need Docker: {error}"))
            .next("selfheal doctor")
    })?;
    let marked = stack::chosen(all, &asked.target)?;
    let status: Status = client.monitoring("/api/monitoring/status").await?;
    let known: TargetList = client.get("/api/targets").await?;
    let ids: Vec<TargetId> = marked.iter().map(|facts| TargetId::container(&facts.name)).collect();
    let drilled = if asked.target.is_empty() { &ids } else { &asked.target };
    for id in drilled {
        stack::fit(id, &status, &known.targets)?;
    }
    let declared = settings.declared_targets();
    let mut all: Vec<Member> = vec![];
    for facts in marked {
        let member = stack::member(facts, &ids, &known.targets, &declared);
        all.push(explored(member, &docker).await?);
    }
    let members = all.iter().filter(|member| member.facts.is_up()).cloned().collect();
    let site = Site { docker, client, probes: Probes::new(), members };
    let plan = plan(all.iter().filter(|member| drilled.contains(&member.id)), &asked.kinds());
    agree(&plan, &site, asked.yes).await?;
    let card = Card::of(play(&plan, &site, asked.patience).await);
    out.show(&card, card::shown)?;
    Ok(card.exit())
}

/// The same with what only Docker and the kernel tell.
async fn explored(member: Member, docker: &Docker) -> Result<Member, Failure> {
    let removes_itself = docker.removes_itself(&member.facts.name).await;
    let removes_itself = removes_itself.map_err(|error| Failure::new(Exit::Wrong, error))?;
    let out_of_reach = fault::processes(&member.facts).err();
    Ok(Member { removes_itself, out_of_reach, ..member })
}

fn plan<'a>(members: impl Iterator<Item = &'a Member>, kinds: &[Kind]) -> Vec<Planned<'a>> {
    let each = |member: &'a Member| {
        let planned =
            |kind: &Kind| Planned { kind: *kind, member, obstacle: kind.obstacle(member) };
        kinds.iter().map(planned).collect::<Vec<_>>()
    };
    members.flat_map(each).collect()
}

/// Says what is about to be broken, and asks; without a terminal only `--yes` is an agreement.
async fn agree(plan: &[Planned<'_>], site: &Site, yes: bool) -> Result<(), Failure> {
    let possible: Vec<&Planned<'_>> = plan.iter().filter(|p| p.obstacle.is_none()).collect();
    if possible.is_empty() {
        return Ok(());
    }
    tell("One after the other, each put back if Selfheal does not heal it:");
    for Planned { kind, member, .. } in possible {
        tell(format!("  {:<24} {:<8} {}", member.id.to_string(), kind.word(), kind.breaks()));
    }
    tell(format!(
        "The Selfheal at {} is to heal them. Each fix proves itself before the next drill begins.",
        site.client.url()
    ));
    tell(
        "Drills count as real: a fix that fails makes Selfheal less sure of its kind, for every \
         container, and several that fail stop all healing by it until `selfheal unfreeze`.",
    );
    healed_lately(plan, &site.incidents().await?.incidents).into_iter().for_each(tell);
    if yes {
        return Ok(());
    }
    let refuse = |what: &str| Err(Failure::new(Exit::Usage, what).next("selfheal drill --yes"));
    if !std::io::stdin().is_terminal() {
        return refuse("nobody is here to agree, so nothing was broken");
    }
    tell("Break them? [y/N]");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" if read.is_ok() => Ok(()),
        _ => refuse("not agreed, so nothing was broken"),
    }
}

/// A fault that returns within this time counts against its fix.
const RETURNS_WITHIN: TimeDelta = TimeDelta::hours(1);

/// A word of warning where the same drill again would spoil what Selfheal learnt.
fn healed_lately(plan: &[Planned<'_>], incidents: &[IncidentRow]) -> Vec<String> {
    let since = Utc::now() - RETURNS_WITHIN;
    let lately = incidents.iter().filter(|incident| {
        let ours = plan.iter().any(|p| p.obstacle.is_none() && p.member.id == incident.target);
        ours && incident.fix.is_some() && incident.closed_at.is_some_and(|at| at > since)
    });
    let text = |incident: &IncidentRow| {
        format!(
            "note: {} was mended within the last hour ({}); if the same is wrong with it again \
             now, Selfheal counts that against its fix",
            incident.target, incident.title
        )
    };
    lately.map(text).collect()
}

/// Does what is planned; what was interrupted or left broken ends it all.
async fn play(plan: &[Planned<'_>], site: &Site, patience: Duration) -> Vec<Row> {
    let interrupted = CancellationToken::new();
    let heard = tokio::spawn(hear(interrupted.clone()));
    let following = follow_incidents(&site.client).await;
    let mut rows: Vec<Row> = vec![];
    for Planned { kind, member, obstacle } in plan {
        let expected = kind.expected(member);
        let undone = |why: String| Row::undone(member.id.clone(), *kind, expected, why);
        let over = rows.iter().any(|row| row.left_broken.is_some());
        rows.push(match obstacle {
            Some(obstacle) => undone(obstacle.clone()),
            None if interrupted.is_cancelled() => undone("interrupted before it began".to_owned()),
            None if over => undone("an earlier drill could not be put back".to_owned()),
            None => {
                tell(format!("{} of {}: {}", kind.word(), member.id, kind.breaks()));
                let row = site.drill(*kind, member, patience, &interrupted).await;
                tell(format!("  {}", row.verdict.words()));
                row
            }
        });
    }
    drop(following);
    heard.abort();
    rows
}

async fn hear(interrupted: CancellationToken) {
    let hangup = async {
        match signal(SignalKind::hangup()) {
            Ok(mut hangup) => drop(hangup.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        heard = wait_for_the_end() => if heard.is_err() { return },
        () = hangup => {}
    }
    tell("interrupted: putting back what is broken");
    interrupted.cancel();
    // A second one must not cut that short.
    let _ = wait_for_the_end().await;
}
