use std::time::Duration;

use selfheal_agents::fakes::start_time;
use selfheal_agents::model::{IncidentId, Severity, TargetId};
use uuid::Uuid;

use super::*;
use crate::config::QuietHours;

fn at(secs: i64) -> Timestamp {
    start_time() + TimeDelta::seconds(secs)
}

/// An alert of the `n`-th incident, queued `secs` after the start.
fn waits(n: u32, event: &str, severity: Severity, secs: i64) -> Delivery {
    let incident = IncidentId(Uuid::from_u128(n.into()));
    let alert = Alert {
        key: format!("{incident} {event}"),
        event: event.to_owned(),
        severity,
        title: format!("container:c{n}: it fails. Nothing was changed. You must repair it."),
        body: String::new(),
        incident: Some(incident),
        target: Some(TargetId::container(&format!("c{n}"))),
        holds: vec![],
        at: at(secs),
    };
    let id = i64::from(n) * 10 + i64::from(event != "held");
    Delivery { id, channel: "mail".to_owned(), alert, attempts: 0, retry_at: None }
}

fn held(n: u32, secs: i64) -> Delivery {
    waits(n, "held", Severity::Warning, secs)
}

fn over(n: u32, secs: i64) -> Delivery {
    waits(n, "recovered", Severity::Info, secs)
}

/// A channel, what waits for it, and everything that was said through it.
struct Mail {
    waits: Vec<Delivery>,
    lately: Lately,
    quiet: Quiet,
    taste: Taste,
    said: Vec<Alert>,
}

impl Mail {
    fn new(waits: Vec<Delivery>) -> Self {
        let (lately, quiet, said) = (Lately::default(), Quiet::default(), vec![]);
        Self { waits, lately, quiet, taste: Taste::Person, said }
    }

    /// Says what is to be said until then, looking every two seconds; answers the events of it.
    fn until(&mut self, from: i64, to: i64) -> Vec<String> {
        let before = self.said.len();
        for secs in (from..=to).step_by(2) {
            loop {
                let waits = self.waits.iter().filter(|d| d.alert.at <= at(secs)).cloned();
                let said =
                    parcels(waits.collect(), &self.lately, &self.quiet, self.taste, at(secs));
                if said.is_empty() {
                    break;
                }
                for parcel in said {
                    self.lately.note(&parcel, at(secs));
                    self.waits.retain(|d| parcel.of.iter().all(|of| of.id != d.id));
                    self.said.push(parcel.alert);
                }
            }
        }
        self.said[before..].iter().map(|alert| alert.event.clone()).collect()
    }
}

/// From the start on for eight hours.
fn night() -> Quiet {
    use chrono::Timelike;
    let cron = format!("{} {} * * *", start_time().minute(), start_time().hour());
    let eight = Duration::from_hours(8);
    let hours = QuietHours { cron, duration: eight, except: Severity::Critical };
    Quiet { hours: vec![hours], timezone: "UTC".to_owned() }
}

const MORNING: i64 = 8 * 3600;

#[test]
fn a_thousand_at_once_are_three_messages() {
    let mut mail = Mail::new((1..=1000).map(|n| held(n, 0)).collect());
    assert_eq!(mail.until(0, 3600), ["held", "held", "summary"]);
    assert!(mail.waits.is_empty(), "nothing is left out");
    let summary = &mail.said[2];
    let first =
        "998 incidents at once: 998 not changed. You must look for what they have in common.";
    assert_eq!(summary.title, first);
    assert_eq!(summary.severity, Severity::Warning);
    assert!(summary.body.contains("... and 988 more"), "{}", summary.body);
}

#[test]
fn a_thousand_within_a_minute_are_three_messages_and_their_end_is_one() {
    let mut mail = Mail::new((0..1000).map(|n| held(n, i64::from(n) * 60 / 1000)).collect());
    assert_eq!(mail.until(0, 300), ["held", "held", "summary"]);
    mail.waits = (0..1000).map(|n| over(n, 310)).collect();
    assert_eq!(mail.until(310, 3600), ["recovered", "recovered", "summary"]);
    let end = &mail.said[5];
    assert_eq!(end.title, "998 incidents at once: 998 over by themselves. You need to do nothing.");
    assert_eq!(end.severity, Severity::Info);
}

#[test]
fn the_worst_are_named_in_a_summary() {
    let mut waiting: Vec<Delivery> = (1..=100).map(|n| held(n, 0)).collect();
    // Two of three go alone.
    waiting.extend((198..=200).map(|n| waits(n, "rolled_back", Severity::Critical, 0)));
    waiting.push(over(201, 0));
    let mut mail = Mail::new(waiting);
    mail.until(0, 60);
    let summary = &mail.said[2];
    assert_eq!(summary.severity, Severity::Critical);
    let counted = "100 not changed, 1 over by themselves, 1 taken back";
    assert!(summary.title.contains(counted), "{}", summary.title);
    let worst = summary.body.lines().nth(1).unwrap();
    assert!(worst.contains("container:c200"), "{}", summary.body);
    assert!(!summary.body.contains("container:c201"), "what is over is not among the worst");
}

#[test]
fn few_that_come_one_after_the_other_are_told_alone_and_soon() {
    let mut mail = Mail::new((0..5).map(|n| held(n, i64::from(n) * 100)).collect());
    assert_eq!(mail.until(0, 199), ["held", "held"]);
    assert_eq!(mail.until(200, 228), Vec::<String>::new(), "it may be the first of many");
    assert_eq!(mail.until(230, 500), ["held", "held", "held"]);
}

#[test]
fn what_was_begun_alone_goes_on_alone_in_a_storm() {
    let mut mail = Mail::new((1..=50).map(|n| held(n, 0)).collect());
    mail.until(0, 60);
    mail.waits = vec![over(1, 70), waits(2, "rolled_back", Severity::Warning, 70), held(51, 70)];
    assert_eq!(mail.until(70, 80), ["recovered", "rolled_back"]);
    assert_eq!(mail.until(82, 60 + 500), Vec::<String>::new(), "the storm is not over");
    assert_eq!(mail.until(562, 800), ["held"]);
}

#[test]
fn what_only_a_person_can_end_is_never_put_together() {
    let mut waiting: Vec<Delivery> = (1..=50).map(|n| held(n, 0)).collect();
    waiting.push(waits(51, "stuck", Severity::Critical, 0));
    let mut mail = Mail::new(waiting);
    assert_eq!(mail.until(0, 0), ["held", "held", "stuck"]);
}

#[test]
fn a_record_and_a_service_that_groups_by_itself_get_each() {
    for taste in [Taste::Everything, Taste::Grouping] {
        let mut mail = Mail { taste, ..Mail::new((1..=50).map(|n| held(n, 0)).collect()) };
        assert_eq!(mail.until(0, 0).len(), 50, "{taste:?}");
    }
}

#[test]
fn what_is_not_urgent_waits_for_the_end_of_the_quiet_hours() {
    let critical = waits(2, "held", Severity::Critical, 100);
    let mut mail = Mail { quiet: night(), ..Mail::new(vec![held(1, 100), critical]) };
    assert_eq!(mail.until(100, MORNING - 2), ["held"]);
    assert_eq!(mail.said[0].severity, Severity::Critical);
    assert_eq!(mail.until(MORNING, MORNING + 2), ["held"]);
}

#[test]
fn whoever_was_woken_is_told_that_it_is_over_and_nobody_else() {
    let mut mail = Mail::new(vec![held(1, -60)]);
    mail.quiet = night();
    assert_eq!(mail.until(-60, -58), ["held"]);
    mail.waits = vec![waits(2, "held", Severity::Critical, 100), over(1, 200), over(2, 200)];
    assert_eq!(mail.until(100, MORNING - 2), ["held", "recovered"]);
    assert_eq!(mail.said[2].incident, mail.said[1].incident);
    assert_eq!(mail.until(MORNING, MORNING + 2), ["recovered"]);
}

#[test]
fn what_began_and_ended_while_it_was_quiet_is_one_message() {
    let mut mail = Mail { quiet: night(), ..Mail::new(vec![held(1, 100), over(1, 900)]) };
    assert_eq!(mail.until(100, MORNING + 2), ["recovered"]);
    assert!(mail.waits.is_empty());
}

#[test]
fn a_quiet_night_of_many_incidents_is_one_message_that_names_each() {
    let mut waiting: Vec<Delivery> = (1..=5).map(|n| held(n, i64::from(n) * 600)).collect();
    waiting.push(over(3, 5000));
    let mut mail = Mail { quiet: night(), ..Mail::new(waiting) };
    assert_eq!(mail.until(0, MORNING + 2), ["summary"]);
    let Alert { title, body, .. } = &mail.said[0];
    let first = "5 incidents in the quiet hours: 4 not changed, 1 over by themselves. \
                 You must look at 4 of them.";
    assert_eq!(title, first);
    assert!((1..=5).all(|n| body.contains(&format!("container:c{n}:"))), "{body}");
    mail.waits = vec![held(9, MORNING + 60)];
    assert_eq!(mail.until(MORNING + 60, MORNING + 62), ["held"], "the day begins anew");
}

#[test]
fn what_waits_for_its_next_try_keeps_its_conversation_in_order_and_no_other_back() {
    let mut refused = held(1, 0);
    refused.retry_at = Some(at(60));
    let mut mail = Mail::new(vec![refused, over(1, 10), held(2, 0)]);
    assert_eq!(mail.until(0, 58), ["held"]);
    assert_eq!(mail.said[0].target, Some(TargetId::container("c2")));
    assert_eq!(mail.until(60, 62), ["held", "recovered"]);
}

#[test]
fn a_summary_that_was_refused_waits_as_a_whole() {
    let mut waiting: Vec<Delivery> = (1..=20).map(|n| held(n, 0)).collect();
    waiting[2].retry_at = Some(at(300));
    let mut mail = Mail::new(waiting);
    assert_eq!(mail.until(0, 298), ["held", "held"]);
    assert_eq!(mail.until(300, 302), ["summary"]);
}

#[test]
fn a_clock_that_was_ahead_silences_nobody() {
    let mut mail = Mail::new((0..6).map(|n| held(n, 7_200)).collect());
    mail.until(7_200, 7_400);
    assert_eq!(mail.said.len(), 3, "two alone, and the rest together");
    // It is set back by two hours.
    mail.waits = vec![held(20, 100), held(21, 100)];
    assert_eq!(mail.until(100, 160), ["held", "held"]);
}

#[test]
fn what_is_critical_takes_the_first_place_and_waits_for_no_other_summary() {
    let mut waiting: Vec<Delivery> = (0..5).map(|n| held(n, 0)).collect();
    waiting.push(waits(9, "held", Severity::Critical, 0));
    let mut mail = Mail::new(waiting);
    mail.until(0, 200);
    assert!(mail.said[..2].iter().any(|alert| alert.severity == Severity::Critical));
    assert_eq!(mail.said.len(), 3);
    mail.waits = vec![held(20, 202), waits(21, "held", Severity::Critical, 202)];
    mail.until(202, 360);
    assert!(mail.said.len() > 3, "some minutes after the summary");
}

#[test]
fn a_program_is_told_of_an_end_while_it_is_quiet() {
    let mut mail = Mail { quiet: night(), taste: Taste::Grouping, ..Mail::new(vec![over(1, 100)]) };
    assert_eq!(mail.until(100, 110), ["recovered"]);
    mail.waits = vec![held(2, 120)];
    assert_eq!(mail.until(120, 130), Vec::<String>::new(), "what began waits");
}
