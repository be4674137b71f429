//! One drill from its beginning to its end: wait until all is well, break, look on, judge, put
//! back.

use std::collections::BTreeSet;
use std::time::Duration;

use selfheal_agents::model::{ContainerFacts, IncidentId, TargetId};
use selfheal_agents::ports::ContainerRuntime as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::card::Row;
use super::course::{Course, End, Look};
use super::fault::Fault;
use super::kinds::Kind;
use super::site::{Seen, Site};
use super::stack::{self, Member};
use super::verdict::{self, Did, Verdict};
use crate::cli::client::CallError;
use crate::cli::output::tell;
use crate::http::body::{Status, TargetList};

/// How often is looked while a cure is waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How often Selfheal is asked what it does.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long a fix may take to prove itself.
const PROOF: Duration = Duration::from_mins(40);
/// How long what was put back may take to work.
const WORKS_WITHIN: Duration = Duration::from_mins(2);
/// The longest start period that is waited for.
const LONGEST_START: Duration = Duration::from_mins(10);

/// What was seen until the end.
struct Watched {
    end: End,
    suffered: BTreeSet<TargetId>,
    did: Vec<Did>,
    /// Whether Selfheal did not answer at the end.
    lost: bool,
}

impl Site {
    /// Does one drill.
    pub(super) async fn drill(
        &self,
        kind: Kind,
        member: &Member,
        patience: Duration,
        interrupted: &CancellationToken,
    ) -> Row {
        let expected = kind.expected(member);
        let undone = |why: String| Row::undone(member.id.clone(), kind, expected, why);
        let prepared = interrupted.run_until_cancelled(self.begin(kind, member)).await;
        let (fault, before) = match prepared {
            None => return undone("interrupted before it began".to_owned()),
            Some(Err(why)) => return undone(why),
            Some(Ok(ready)) => ready,
        };
        // From here on nothing returns before all is put back.
        let mut row = if let Err(why) = fault.inject(&self.docker).await {
            undone(why)
        } else {
            tell("  broke it");
            let patience = patience + health_time(&member.facts);
            let watching = self.watch(kind, member, &fault, &before, patience);
            match interrupted.run_until_cancelled(watching).await {
                Some(watched) => judged(kind, member, expected, watched),
                None => Row { verdict: Verdict::BrokenOff, ..undone("interrupted".to_owned()) },
            }
        };
        self.put_back(&fault, &mut row, interrupted).await;
        row
    }

    /// Takes back what is still broken, and writes that into the row.
    async fn put_back(&self, fault: &Fault, row: &mut Row, interrupted: &CancellationToken) {
        match fault.put_back(&self.docker).await {
            Ok(None) => {}
            Ok(Some(what)) => {
                tell(format!("  put back: {what}"));
                row.left_broken = self.still_broken(interrupted).await;
                row.put_back = Some(what);
            }
            Err(left) => {
                tell(format!("  {left}"));
                row.left_broken = Some(left);
            }
        }
    }

    /// Waits until all is well, and prepares the fault of the container as it is then, if it may
    /// still be broken.
    async fn begin(
        &self,
        kind: Kind,
        member: &Member,
    ) -> Result<(Fault, BTreeSet<IncidentId>), String> {
        self.calm().await?;
        let unanswered = |_: CallError| "the running Selfheal does not answer".to_owned();
        let status: Status =
            self.client.monitoring("/api/monitoring/status").await.map_err(unanswered)?;
        let known: TargetList = self.client.get("/api/targets").await.map_err(unanswered)?;
        // Failed fixes of earlier drills may have stopped it.
        stack::fit(&member.id, &status, &known.targets).map_err(|failure| failure.what)?;
        let all = self.docker.containers().await.map_err(|error| error.to_string())?;
        let member = member.now(all, &known.targets)?;
        if let Some(obstacle) = kind.obstacle(&member) {
            return Err(obstacle);
        }
        let fault = Fault::prepare(kind, &member)?;
        let before = self.incidents().await.map_err(unanswered)?;
        Ok((fault, before.incidents.iter().map(|incident| incident.id).collect()))
    }

    /// Looks on until the end, and until what Selfheal did has proved itself.
    async fn watch(
        &self,
        kind: Kind,
        member: &Member,
        fault: &Fault,
        before: &BTreeSet<IncidentId>,
        patience: Duration,
    ) -> Watched {
        let broken = Instant::now();
        let mut course = Course::new(kind, patience);
        let (mut did, mut lost) = (vec![], false);
        let mut asked = broken;
        let end = loop {
            if asked.elapsed() >= ASK_AGAIN {
                asked = Instant::now();
                match self.deeds(before).await {
                    Ok(deeds) => (did, lost) = (deeds, false),
                    Err(_) => lost = true,
                }
            }
            let seen = self.look().await;
            let look = look_of(&seen, kind, member, fault, &did);
            if let Some(end) = course.look(&Look { after: broken.elapsed(), ..look }) {
                break end;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        };
        if let End::WellAgain(after) = end {
            tell(format!("  well again after {:.1} s", after.as_secs_f64()));
        }
        match self.proved(before, end).await {
            Some(deeds) => did = deeds,
            None => lost = true,
        }
        Watched { end, suffered: course.suffered().clone(), did, lost }
    }

    /// What Selfheal did, once its fixes have proved themselves; `None` if it does not answer.
    async fn proved(&self, before: &BTreeSet<IncidentId>, end: End) -> Option<Vec<Did>> {
        let deadline = Instant::now() + PROOF;
        let mut told = false;
        loop {
            let did = self.deeds(before).await.ok()?;
            let over = did.iter().all(Did::is_over) || !matches!(end, End::WellAgain(_));
            if over || Instant::now() >= deadline {
                return Some(did);
            }
            if !told {
                tell("  waiting until the fix has proved itself");
                told = true;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    /// What does not work though all was put back. A second interruption ends the waiting alone.
    async fn still_broken(&self, interrupted: &CancellationToken) -> Option<String> {
        let deadline = Instant::now() + WORKS_WITHIN;
        loop {
            let trouble = self.look().await.trouble()?;
            if Instant::now() >= deadline || interrupted.is_cancelled() {
                return (!interrupted.is_cancelled()).then(|| format!("not well yet: {trouble}"));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

fn look_of(seen: &Seen, kind: Kind, member: &Member, fault: &Fault, did: &[Did]) -> Look {
    let now = seen.containers.get(&member.id).and_then(Option::as_ref);
    let mut suffering = seen.suffering(&member.id);
    if kind == Kind::Stop {
        // Who stops a service wants its own address silent: that alone is no reason to start it.
        suffering.retain(|id| member.endpoints.iter().all(|(own, _)| own != id));
    }
    Look {
        after: Duration::ZERO,
        mended: now.is_some_and(|facts| fault.is_mended(facts)),
        well: seen.trouble().is_none(),
        suffering,
        told: did.iter().any(Did::is_over),
    }
}

fn judged(kind: Kind, member: &Member, expected: &'static str, watched: Watched) -> Row {
    let Watched { end, suffered, did, lost } = watched;
    let course = verdict::Course {
        kind,
        target: &member.id,
        policy: member.facts.restart_policy,
        end,
        suffered: &suffered,
        did: &did,
    };
    let (verdict, why) = course.judge();
    let unheard = || "the running Selfheal does not answer any more".to_owned();
    let why = if lost && verdict == Verdict::NotHealed { Some(unheard()) } else { why };
    let well_after = match end {
        End::WellAgain(after) => Some(after),
        End::Untouched | End::TimeOver => None,
    };
    Row {
        verdict,
        why,
        well_after,
        did: course.tells().cloned(),
        ..Row::undone(member.id.clone(), kind, expected, String::new())
    }
}

/// How long the container's own health check takes to say that it is ill, and then that it is well.
fn health_time(facts: &ContainerFacts) -> Duration {
    facts.health_check.as_ref().map_or(Duration::ZERO, |check| {
        let failing = (check.interval + check.timeout) * (check.retries + 1);
        failing + check.start_period.min(LONGEST_START) + check.interval
    })
}

#[cfg(test)]
mod tests {
    use selfheal_agents::model::Endpoint;

    use super::super::stack::tests::member;
    use super::*;

    #[test]
    fn its_own_address_misses_what_lost_its_network_and_not_what_a_person_stopped() {
        let (own, other): (TargetId, TargetId) =
            ("http:web".parse().unwrap(), "http:app".parse().unwrap());
        let endpoint = Endpoint::Tcp { host: "127.0.0.1".to_owned(), port: 1 };
        let web = Member { endpoints: vec![(own.clone(), endpoint)], ..member("web") };
        let seen =
            Seen { failing: BTreeSet::from([own.clone(), other.clone()]), ..Seen::default() };
        let missed = |kind| {
            let fault = Fault::prepare(kind, &web).unwrap();
            look_of(&seen, kind, &web, &fault, &[]).suffering
        };
        assert_eq!(missed(Kind::Network), BTreeSet::from([own, other.clone()]));
        assert_eq!(missed(Kind::Stop), BTreeSet::from([other]));
    }
}
