//! Turns settings into what the flow goes by.

use selfheal_agents::fix_engineer::plan::Limits;
use selfheal_agents::learning_engine::StopLimits;
use selfheal_agents::model::{Confidence, Rehearse};

use crate::config::Settings;
use crate::coordinator::Rules;
use crate::coordinator::policy::Budgets;
use crate::coordinator::schedule::CronSchedule;

/// The rules of these settings.
///
/// `channels` are those that alerts are queued for, `own_container` is the container Selfheal itself runs in, if any; `host_memory_bytes` is
/// needed for a memory cap given as a share. `streams` says whether somebody carries what is told
/// to other programs, which settings that are read again do not change.
pub(super) fn of(
    settings: &Settings,
    channels: Vec<String>,
    own_container: Option<String>,
    host_memory_bytes: u64,
    streams: bool,
) -> Rules {
    let healing = &settings.healing;
    let minutes = CronSchedule::new(&settings.schedule, "")
        .ok()
        .and_then(|schedule| schedule.interval(chrono::Utc::now()))
        .map_or(0.0, |interval| interval.as_secs_f64() / 60.0);
    Rules {
        mode: settings.mode,
        target_modes: settings
            .policy
            .target
            .iter()
            .filter_map(|(id, policy)| Some((id.parse().ok()?, policy.mode)))
            .collect(),
        runbook_modes: settings
            .policy
            .runbook
            .iter()
            .map(|(id, policy)| (id.clone(), policy.mode))
            .collect(),
        threshold: Confidence::clamped(i64::from(healing.confidence_threshold)),
        autonomy: healing.autonomy,
        earned_after: healing.earned_after,
        validation_window: healing.validation_window,
        plan_lifetime: healing.plan_lifetime,
        rehearse: match healing.rehearse {
            None => Rehearse::Recreate,
            Some(true) => Rehearse::Always,
            Some(false) => Rehearse::Never,
        },
        budgets: Budgets {
            per_target: healing.budget.per_target,
            per_action: healing.budget.per_action,
            per_host: healing.budget.per_host,
            steps: healing.budget.steps,
            failures_in_a_row: healing.safety_stop_after,
            common_cause_share: healing.common_cause_share,
        },
        stop: StopLimits {
            failures_an_hour: healing.safety_stop_per_hour,
            failed_share: healing.safety_stop_share,
        },
        limits: Limits { memory_cap_bytes: healing.memory_cap.bytes_of(host_memory_bytes) },
        maintenance: healing.maintenance.clone(),
        quiet_hours: healing.quiet_hours.clone(),
        timezone: settings.schedule.timezone.clone(),
        retention: settings.store.retention,
        audit_retention: settings.store.audit_retention,
        thresholds: settings.thresholds.clone(),
        declared: settings.declared(own_container),
        channels,
        routes: settings.alerts.routes.clone(),
        tell_after: settings.alerts.after,
        remind_after: settings.alerts.remind_after,
        digest: settings.alerts.digest.cron.clone(),
        streams,
        check_interval_minutes: minutes,
    }
}
