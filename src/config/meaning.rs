//! What values must be beyond their form: bounds, addresses, duplicates, contradictions.

mod alerts;
mod commands;
mod engines;
mod fleet;
mod heartbeat;
mod streams;

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use selfheal_agents::model::{TargetId, Timestamp};

use super::declared::{TargetSettings, endpoint};
use super::fault::Fault;
use super::formats::is_open;
use super::routes::QuietHours;
use super::settings::{ApiTls, Settings};
use super::tree::{Places, joined};
use super::values;
use crate::docker::Address;
use crate::traces::is_collector;

const WEEK: TimeDelta = TimeDelta::days(7);
const TEN_MINUTES: TimeDelta = TimeDelta::minutes(10);

/// Collects faults by the name of the setting.
struct Check<'a> {
    places: &'a Places,
    faults: Vec<Fault>,
}

impl Check<'_> {
    fn wrong(&mut self, name: &str, what: impl Into<String>) {
        self.faults.push(Fault::new(self.places.near(name), name, what));
    }

    fn between(&mut self, name: &str, value: Duration, least: Duration, most: Duration) {
        if value < least || value > most {
            let shown = humantime::format_duration;
            let what = format!("{} is outside {} to {}", shown(value), shown(least), shown(most));
            self.wrong(name, what);
        }
    }

    /// An address that is given here or in a file, which is read only where all else is right.
    fn url(
        &mut self,
        of: &str,
        has_file: bool,
        url: &values::Address,
        parse: impl FnOnce() -> Result<(), String>,
    ) {
        let name = format!("{of}.url");
        if has_file && !url.is_empty() {
            self.wrong(&name, "`url` and `url_file` are both given; keep one");
        } else if !url.is_empty() {
            self.result(&name, parse());
        }
    }

    /// The same once its file was read. One that cannot be read is a fault already.
    fn url_in_file(
        &mut self,
        of: &str,
        has_file: bool,
        parse: impl FnOnce() -> Result<(), String>,
    ) {
        if has_file {
            self.result(&format!("{of}.url_file"), parse());
        }
    }

    fn result(&mut self, name: &str, result: Result<(), String>) {
        if let Err(what) = result {
            self.wrong(name, what);
        }
    }
}

/// Everything that is wrong with settings whose values have the right form.
pub(super) fn faults(settings: &Settings, places: &Places) -> Vec<Fault> {
    let mut check = Check { places, faults: vec![] };
    durations(settings, &mut check);
    addresses(settings, &mut check);
    certificate(&settings.api.tls, &mut check);
    alerts::faults(&settings.alerts, &mut check);
    heartbeat::faults(&settings.heartbeat, &mut check);
    thresholds(settings, &mut check);
    policy(settings, &mut check);
    targets(settings, &mut check);
    tunables(settings, &mut check);
    commands::faults(&settings.commands, &mut check);
    dependencies(settings, &mut check);
    check.faults
}

/// Everything that is wrong with what was read from the files that settings name.
pub(super) fn faults_in_files(settings: &Settings, places: &Places) -> Vec<Fault> {
    let mut check = Check { places, faults: vec![] };
    alerts::faults_in_files(&settings.alerts, &mut check);
    heartbeat::faults_in_files(&settings.heartbeat, &mut check);
    streams::faults_in_files(&settings.streams, &mut check);
    let store = &settings.store;
    check.url_in_file("store", store.url_file.is_some(), || store.postgres().map(drop));
    check.faults
}

/// What is in the files is looked at when they are used: they may be renewed, and whoever asks the
/// daemon need not be allowed to read the key.
fn certificate(tls: &ApiTls, check: &mut Check<'_>) {
    match (&tls.cert_file, &tls.key_file) {
        (Some(_), None) => {
            check.wrong(
                "api.tls.cert_file",
                "a certificate needs its key: set api.tls.key_file too",
            );
        }
        (None, Some(_)) => {
            check.wrong(
                "api.tls.key_file",
                "a key needs its certificate: set api.tls.cert_file too",
            );
        }
        _ => {}
    }
}

/// What is allowed but dangerous.
pub(super) fn warnings(settings: &Settings) -> Vec<String> {
    let listen = settings.api.listen;
    let mut warnings = vec![];
    if !listen.ip().is_loopback() {
        let is_open = !settings.api.demands_token();
        let encrypted = settings.api.tls.files().is_some();
        warnings.extend((!is_open && !encrypted).then(|| {
            format!("api.listen is {listen}: tokens and answers can be read on the way there; a proxy with TLS, or api.tls, keeps them secret")
        }));
        warnings.extend(is_open.then(|| {
            format!("api.listen is {listen} and api.require_token is never: whoever reaches it can approve and undo fixes")
        }));
    }
    warnings.extend(alerts::warnings(&settings.alerts));
    warnings
}

fn durations(settings: &Settings, check: &mut Check<'_>) {
    let (second, hour) = (Duration::from_secs(1), Duration::from_hours(1));
    let (minute, day) = (Duration::from_mins(1), Duration::from_hours(24));
    let Settings { schedule, healing, probes, store, .. } = settings;
    check.between("schedule.jitter", schedule.jitter, Duration::ZERO, hour);
    check.between("healing.validation_window", healing.validation_window, second * 10, hour);
    check.between("healing.plan_lifetime", healing.plan_lifetime, minute, day);
    check.between("store.retention", store.retention, hour, day * 3660);
    check.between("store.audit_retention", store.audit_retention, day, day * 3660);
    check.between("traces.timeout", settings.traces.timeout, second / 10, minute);
    check.between("probes.interval", probes.interval, second, hour);
    check.between("probes.limit", probes.limit, second / 10, minute);
    check.between(
        "probes.confirm_after",
        probes.confirm_after,
        second / 20,
        probes.interval.max(second),
    );
    let remind_after = settings.alerts.remind_after;
    check.between("alerts.after", settings.alerts.after, Duration::ZERO, day);
    if !remind_after.is_zero() {
        check.between("alerts.remind_after", remind_after, minute, day * 7);
    }
    for (index, hours) in settings.alerts.quiet_hours.iter().enumerate() {
        let name = format!("alerts.quiet_hours[{index}].duration");
        check.between(&name, hours.duration, minute, day);
    }
    quiet_hours_that_end(settings, check);
    for (of, windows) in
        [("maintenance", &healing.maintenance), ("quiet_hours", &healing.quiet_hours)]
    {
        for (index, window) in windows.iter().enumerate() {
            let name = format!("healing.{of}[{index}].duration");
            check.between(&name, window.duration, minute, day * 7);
        }
    }
}

/// Refuses quiet hours that leave no moment of a week in which what waits is told.
fn quiet_hours_that_end(settings: &Settings, check: &mut Check<'_>) {
    let (hours, timezone) = (&settings.alerts.quiet_hours, &settings.schedule.timezone);
    let is_quiet = |at: Timestamp| {
        let open = |h: &QuietHours| is_open(&h.cron, h.duration, timezone, at) == Some(true);
        hours.iter().any(open)
    };
    // Any week will do; it begins after one whose last hours may reach into it.
    let mut moments = (0..8 * 24 * 6).map(|n| Timestamp::UNIX_EPOCH + WEEK + TEN_MINUTES * n);
    if !hours.is_empty() && moments.all(is_quiet) {
        check.wrong(
            "alerts.quiet_hours",
            "these never end, and what waits for their end would never be told; make them shorter",
        );
    }
}

fn addresses(settings: &Settings, check: &mut Check<'_>) {
    if settings.data_dir.as_os_str().is_empty() {
        check.wrong("data_dir", "this is empty; name a folder, such as `./selfheal-data`");
    }
    let docker = Address::parse_own(&settings.docker.host);
    check.result("docker.host", docker.map(drop).map_err(|invalid| invalid.to_string()));
    engines::faults(&settings.docker.engines, check);
    let store = &settings.store;
    check.url("store", store.url_file.is_some(), &store.url, || store.postgres().map(drop));
    streams::faults(&settings.streams, check);
    fleet::faults(settings, check);
    let traces = &settings.traces;
    if !traces.endpoint.is_empty() {
        check.result("traces.endpoint", is_collector(traces.endpoint.expose()));
    }
    for (name, value) in &traces.headers {
        header(&joined("traces.headers", name), name, value.expose(), check);
    }
}

/// The thresholds judge themselves; each of their sentences begins with the setting.
fn thresholds(settings: &Settings, check: &mut Check<'_>) {
    for what in settings.thresholds.validate() {
        let name = what.split(' ').next().unwrap_or_default();
        check.wrong(&format!("thresholds.{name}"), what.as_str());
    }
}

fn header(setting: &str, name: &str, value: &str, check: &mut Check<'_>) {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(token) {
        check.wrong(setting, "this is no name of a request header, such as `Authorization`");
    }
    if value.contains(char::is_control) {
        check.wrong(setting, "a header's value holds no line breaks or control characters");
    }
}

fn policy(settings: &Settings, check: &mut Check<'_>) {
    for target in settings.policy.target.keys() {
        if let Err(error) = target.parse::<TargetId>() {
            check.wrong(&joined("policy.target", target), error.to_string());
        }
    }
    for runbook in settings.policy.runbook.keys() {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if runbook.is_empty() || !runbook.chars().all(good) {
            let name = joined("policy.runbook", runbook);
            check.wrong(
                &name,
                "a runbook's id is lower case with hyphens; `selfheal knowledge list` shows them",
            );
        }
    }
}

fn targets(settings: &Settings, check: &mut Check<'_>) {
    let mut known = BTreeSet::new();
    for (index, target) in settings.targets.iter().enumerate() {
        let name = format!("target[{index}]");
        match target.id() {
            Err(error) => check.wrong(&format!("{name}.name"), error.to_string()),
            Ok(id) if known.contains(&id) => {
                check.wrong(
                    &format!("{name}.name"),
                    format!("there are two targets `{id}`; rename one"),
                );
            }
            Ok(id) => {
                known.insert(id);
            }
        }
        one_target(&name, target, check);
    }
}

fn one_target(name: &str, target: &TargetSettings, check: &mut Check<'_>) {
    if let Err(what) = endpoint(target) {
        check.wrong(&format!("{name}.url"), what);
    }
    if target.password.is_some() && target.password_file.is_some() {
        check.wrong(
            &format!("{name}.password"),
            "`password` and `password_file` are both given; keep one",
        );
    }
    for key in target.keys_of_other_kinds() {
        let kind = target.kind.to_model().as_str();
        check.wrong(&format!("{name}.{key}"), format!("a target of kind `{kind}` has no `{key}`"));
    }
    for (header_name, value) in &target.headers {
        header(
            &joined(&format!("{name}.headers"), header_name),
            header_name,
            value.expose(),
            check,
        );
    }
}

fn tunables(settings: &Settings, check: &mut Check<'_>) {
    let mut known = BTreeSet::new();
    for (index, tunable) in settings.tunables.iter().enumerate() {
        let name = format!("tunable[{index}]");
        if tunable.min >= tunable.max {
            let what = format!("`min` ({}) must be below `max` ({})", tunable.min, tunable.max);
            check.wrong(&format!("{name}.min"), what);
        }
        if tunable.min < 0.0 {
            check.wrong(&format!("{name}.min"), "no role has values below 0");
        }
        if !tunable.file.is_absolute() {
            let what = format!(
                "`{}` is not absolute; write the whole path on this host",
                tunable.file.display()
            );
            check.wrong(&format!("{name}.file"), what);
        }
        if tunable.key.trim().is_empty() {
            check.wrong(&format!("{name}.key"), "this is empty; name the key in the file");
        }
        if !known.insert((&tunable.file, &tunable.key)) {
            let what = format!("`{}` in {} is declared twice", tunable.key, tunable.file.display());
            check.wrong(&format!("{name}.key"), what);
        }
    }
}

fn dependencies(settings: &Settings, check: &mut Check<'_>) {
    let mut known = BTreeSet::new();
    for (index, dependency) in settings.dependencies.iter().enumerate() {
        let name = format!("dependency[{index}]");
        if dependency.from == dependency.to {
            check.wrong(&name, format!("`{}` cannot need itself", dependency.from));
        }
        if !known.insert((&dependency.from, &dependency.to)) {
            check.wrong(&name, "this dependency is declared twice");
        }
    }
}
