//! Whether the clocks agree: this machine's with the time at all, and others' with this one's.
//!
//! Docker says in its own time when a container ended and a line was written, and PostgreSQL until when
//! a lease holds.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use selfheal_agents::model::Timestamp;

use crate::config::Settings;
use crate::docker::Docker;
use crate::http::body::{Examined, Grade};

/// Seconds since 1970 before which a clock is surely wrong: this program is younger.
const YOUNGER_THAN: u64 = 1_767_225_600;
/// Clocks that are set by NTP are closer together than that by far.
const APART: TimeDelta = TimeDelta::seconds(5);
const SET: &str = "timedatectl set-ntp true";

/// This machine's.
pub(super) fn own(now: SystemTime) -> Examined {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seen = DateTime::<Utc>::from(now).format("%Y-%m-%d %H:%M:%S UTC");
    if since.as_secs() < YOUNGER_THAN {
        let remedy = format!("set the clock ({SET}): schedules and windows depend on it");
        return Examined::not(Grade::Fail, "clock", seen, &remedy);
    }
    Examined::ok("clock", seen)
}

/// Docker's, where it answers and tells: a proxy before it may not let that through.
pub(super) async fn of_docker(settings: &Settings) -> Option<Examined> {
    let docker = Docker::connect(&settings.docker.host).ok()?;
    let began = Utc::now();
    let theirs = docker.time().await.ok()??;
    Some(compared("Docker's clock", theirs, began, Utc::now()))
}

/// What a clock said that was asked between these times of ours.
pub(super) fn compared(
    what: &'static str,
    theirs: Timestamp,
    began: Timestamp,
    ended: Timestamp,
) -> Examined {
    // Within the time that the answer took nobody knows when it was read.
    let (apart, way) =
        if theirs > ended { (theirs - ended, "ahead of") } else { (began - theirs, "behind") };
    if apart <= APART {
        return Examined::ok(what, "it agrees with this machine's");
    }
    let seen = format!("it is {} s {way} this machine's", apart.num_seconds());
    let remedy = format!(
        "let NTP set both ({SET}): what happened is dated by the one and judged by the other"
    );
    Examined::not(Grade::Warn, what, seen, &remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_in_the_past_fails_with_a_remedy() {
        let examined = own(SystemTime::UNIX_EPOCH);
        assert_eq!(examined.grade, Grade::Fail);
        assert!(examined.remedy.unwrap().contains("timedatectl"));
    }

    #[test]
    fn another_clock_may_be_a_little_off_and_no_more() {
        let at = |secs: i64| Timestamp::UNIX_EPOCH + TimeDelta::seconds(1_000 + secs);
        let said = |theirs| compared("theirs", at(theirs), at(0), at(2));
        for agrees in [-5, 0, 1, 2, 7] {
            assert_eq!(said(agrees).grade, Grade::Ok, "{agrees}");
        }
        for (theirs, seen) in [(-6, "it is 6 s behind"), (8, "it is 6 s ahead of")] {
            let examined = said(theirs);
            assert_eq!(examined.grade, Grade::Warn);
            assert!(examined.seen.starts_with(seen), "{}", examined.seen);
        }
    }
}
