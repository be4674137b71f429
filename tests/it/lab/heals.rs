//! Selfheal against each fault: repaired, by the right action on the right target, proved, and recorded.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::daemon::Selfheal;
use super::engine;
use super::faults::{self, Fault};
use super::relay::{Change, is_clone};
use super::stack::Stack;
use crate::support::{throughout, until};

const BREAK_LIMIT: Duration = Duration::from_secs(20);
const HEAL_LIMIT: Duration = Duration::from_secs(150);
const RECORD_LIMIT: Duration = Duration::from_secs(150);
const STAYS: Duration = Duration::from_secs(2);

/// What the repair must look like from outside and in the record.
pub(super) struct Repair {
    /// The service that must be repaired.
    role: &'static str,
    /// The kind of target that is changed: `container`, or the data service in it.
    kind: &'static str,
    /// Who may be blamed, where that is not the service alone: who is looked at again after a
    /// repair belongs to it, or is an incident of its own when its window is over.
    blamed: Option<&'static [&'static str]>,
    /// Whose containers are touched, in this order, and nobody else's; the service's own alone
    /// where this says nothing.
    touched: Option<&'static [&'static str]>,
    /// The fix types that are right.
    pub(super) fix_types: &'static [&'static str],
    /// Further settings.
    pub(super) settings: fn(&Stack) -> Result<String>,
}

impl Repair {
    const fn of(role: &'static str, fix_types: &'static [&'static str]) -> Self {
        Self {
            role,
            kind: "container",
            blamed: None,
            touched: None,
            fix_types,
            settings: |_| Ok(String::new()),
        }
    }

    /// One that asks nothing of Docker.
    const fn without_docker(self) -> Self {
        Self { touched: Some(&[]), ..self }
    }

    /// One that is made in the service itself, without Docker.
    const fn inside(
        kind: &'static str,
        role: &'static str,
        fix_types: &'static [&'static str],
    ) -> Self {
        Self { kind, ..Self::of(role, fix_types) }.without_docker()
    }
}

fn heals(test: &str, fault: &Fault, repair: &Repair) -> Result<()> {
    if !engine::answers(test) {
        return Ok(());
    }
    let stack = fault.staged()?;
    let selfheal = Selfheal::watch(&stack, &(repair.settings)(&stack)?)?;
    is_healed(fault, repair, &stack, &selfheal).with_context(|| selfheal.last_words())
}

fn is_healed(fault: &Fault, repair: &Repair, stack: &Stack, selfheal: &Selfheal) -> Result<()> {
    ensure!(selfheal.changes().is_empty(), "a healthy stack was touched");
    (fault.inject)(stack)?;
    until("the judge notices the fault", BREAK_LIMIT, || match fault.judge(stack) {
        // What is repaired within the service itself may have happened by now.
        Ok(()) if selfheal.changes().is_empty() && selfheal.incidents()?.is_empty() => {
            bail!("the service works")
        }
        _ => Ok(()),
    })?;
    // A policy of Docker's may bring it up between two steps of the repair: only what lasts counts.
    until("the service works again and stays well", HEAL_LIMIT, || {
        throughout("the service stays well", STAYS, || fault.judge(stack))
    })?;
    let name = stack.name(repair.role);
    let incident = until("the repair is recorded as kept", RECORD_LIMIT, || {
        let incidents = selfheal.incidents()?;
        let kept = incidents.iter().find(|i| {
            let target = format!("{}:{name}", repair.kind);
            let validated = i["validation"]["verdict"] == "kept";
            i["state"] == "resolved" && i["fix_detail"]["target"] == target && validated
        });
        kept.cloned().with_context(|| format!("incidents: {}", Value::from(incidents)))
    })?;
    // A fault that takes a while to spread may have let the service work for a moment before.
    fault.judge(stack).context("the service fails after the repair")?;
    let fix_type = incident["fix_detail"]["fix_type"].as_str().unwrap_or("none");
    ensure!(repair.fix_types.contains(&fix_type), "the wrong kind of fix: {fix_type}");
    let blamed = incident["diagnosis"]["blamed"].as_str().unwrap_or("nobody");
    let own = [repair.role];
    let mut to_blame = repair.blamed.unwrap_or(&own).iter();
    ensure!(to_blame.any(|role| blamed.ends_with(&stack.name(role))), "blamed {blamed}");
    if fix_type == "container.set_memory" {
        is_told_of_its_limit(selfheal, &name)?;
    }
    // Last: whatever else it did until the repair had proved itself counts.
    touches_only(repair, stack, selfheal)?;
    let stats = selfheal.get("/api/monitoring/stats")?;
    ensure!(stats["total_fixes"].as_u64() >= Some(1), "nothing was learnt: {stats}");
    Ok(())
}

/// Sees that who looks is told of a raised limit, which nobody has written down yet.
fn is_told_of_its_limit(selfheal: &Selfheal, name: &str) -> Result<()> {
    until("the raised limit is told of", RECORD_LIMIT, || {
        let target = selfheal.get(&format!("/api/targets/container:{name}"))?;
        let told = target["turned"].as_array().is_some_and(|lines| !lines.is_empty());
        ensure!(told, "{target}");
        Ok(())
    })
}

/// Sees that exactly the right containers were touched, in the right order.
fn touches_only(repair: &Repair, stack: &Stack, selfheal: &Selfheal) -> Result<()> {
    let changes = selfheal.changes();
    ensure!(changes.iter().all(|c| c.ours), "it reached for somebody else's container");
    // Docker is asked of the network whom to connect.
    let connection = format!("networks/{}/connect", stack.network());
    let own = stack.name(repair.role);
    let object = |change: &Change| {
        // What is kept beside the new one until that has proved itself.
        let (name, _) = change.object.split_once(".selfheal-old-").unwrap_or((&change.object, ""));
        if change.object == connection { own.clone() } else { name.to_owned() }
    };
    // A clone is nobody's service.
    let real = changes.iter().filter(|change| !is_clone(&change.object));
    let mut touched: Vec<String> = real.map(object).collect();
    touched.dedup();
    let wanted: Vec<String> =
        repair.touched.unwrap_or(&[repair.role]).iter().map(|role| stack.name(role)).collect();
    ensure!(touched == wanted, "it touched {touched:?} and not {wanted:?}: {changes:?}");
    Ok(())
}

pub(crate) fn worker_delay(stack: &Stack) -> Result<String> {
    worker_tunable(stack, "delay_s", "delay")
}

fn worker_timeout(stack: &Stack) -> Result<String> {
    worker_tunable(stack, "timeout_s", "timeout")
}

fn worker_tunable(stack: &Stack, key: &str, role: &str) -> Result<String> {
    Ok(format!(
        "[[tunable]]\ntarget = \"container:{}\"\nfile = \"{}\"\nkey = \"upstream.{key}\"\n\
         role = \"{role}\"\nmin = 0.05\nmax = 5.0\napply = \"restart\"\n",
        stack.name("worker"),
        stack.folder("worker")?.join("config.json").display(),
    ))
}

/// A test for each fault, and the list of them all.
macro_rules! each_fault {
    ($($name:ident: $fault:ident, $repair:expr;)*) => {
        $(
            #[test]
            fn $name() -> Result<()> {
                heals(stringify!($name), &faults::$fault, &$repair)
            }
        )*

        /// Every fault that is healed, by the name of its test.
        pub(super) const ALL: &[(&str, &Fault, Repair)] =
            &[$((stringify!($name), &faults::$fault, $repair)),*];
    };
}

each_fault! {
    a_crashed_container_without_a_policy_is_started:
        CRASH, Repair::of("app", &["container.start", "container.restart"]);
    a_hanging_container_is_restarted: HANG, Repair::of("app", &["container.restart"]);
    an_unhealthy_container_is_restarted: UNHEALTHY, Repair::of("app", &["container.restart"]);
    a_stopped_database_is_started_and_the_application_left_alone:
        DATABASE_STOPPED, Repair::of("postgres", &["container.start"]);
    a_stopped_cache_is_started_and_the_application_left_alone:
        CACHE_STOPPED, Repair::of("redis", &["container.start"]);
    a_frozen_database_is_restarted_and_the_application_left_alone:
        DATABASE_FROZEN, Repair::of("postgres", &["container.restart"]);
    leaked_connections_are_taken_back:
        CONNECTIONS_LEAKED,
        Repair::inside("postgres", "postgres", &["postgres.terminate_backends"]);
    leaked_connections_to_mysql_are_taken_back:
        MYSQL_CONNECTIONS_LEAKED,
        Repair::inside("mysql", "mysql", &["mysql.kill_connections"]);
    a_bad_value_is_put_back: BAD_VALUE, Repair::of("app", &["config.restore"]);
    a_frozen_cache_is_restarted_before_the_application:
        CACHE_FROZEN, Repair::of("redis", &["container.restart"]);
    a_full_cache_gets_room: CACHE_FULL, Repair::inside("redis", "redis", &["redis.set_memory"]);
    a_database_off_its_network_is_brought_back:
        NETWORK_LOST, Repair::of("postgres", &["network.connect"]);
    a_spinning_program_is_restarted: SPINNING, Repair::of("app", &["container.restart"]);
    a_program_that_leaked_is_started_again:
        MEMORY_LEAK, Repair::of("app", &["container.start", "container.set_memory"]);
    a_memory_limit_that_is_too_low_is_raised:
        MEMORY_TOO_LOW, Repair::of("app", &["container.set_memory"]);
    a_left_over_makes_room_for_its_successor:
        PORT_TAKEN,
        Repair { touched: Some(&["before", "app"]), ..Repair::of("app", &["container.stop"]) };
    a_dependent_that_gave_up_is_restarted_once_its_database_is_back:
        DEPENDENT_GAVE_UP,
        Repair {
            blamed: Some(&["postgres", "app"]),
            touched: Some(&["postgres", "app"]),
            ..Repair::of("app", &["container.restart"])
        };
    a_service_that_was_started_before_its_database_is_restarted:
        START_ORDER, Repair::of("app", &["container.restart"]);
    a_volume_full_of_logs_gets_room:
        LOGS_FULL, Repair::of("app", &["logs.trim"]).without_docker();
    a_lock_held_for_ever_is_given_back:
        LOCK_HELD, Repair::inside("postgres", "postgres", &["postgres.terminate_backends"]);
    a_broken_configuration_is_put_back: BROKEN_CONFIGURATION, Repair::of("web", &["config.restore"]);
    a_worker_that_gives_up_too_early_waits_for_longer:
        TIMEOUT_TOO_LOW,
        Repair { settings: worker_timeout, ..Repair::of("worker", &["config.set"]) };
    a_lost_variable_is_given_back:
        LOST_VARIABLE, Repair::of("app", &["container.recreate"]);
    a_bad_image_is_taken_back:
        BAD_IMAGE_UPDATE, Repair::of("app", &["container.recreate"]);
    a_rate_limited_worker_is_slowed_down:
        RATE_LIMIT,
        Repair { settings: worker_delay, ..Repair::of("worker", &["config.set"]) };
    a_stopped_database_of_the_whole_shop_is_started_and_nobody_else_touched:
        SHOP_DATABASE_STOPPED, Repair::of("postgres", &["container.start"]);
    a_crashed_application_of_the_whole_shop_is_started_and_the_loud_proxy_left_alone:
        SHOP_APPLICATION_CRASHED,
        Repair::of("app", &["container.start", "container.restart"]);
    a_rate_limit_beside_a_well_shop_touches_the_worker_alone:
        SHOP_RATE_LIMIT,
        Repair { settings: worker_delay, ..Repair::of("worker", &["config.set"]) };
}
