//! Proves the lab itself, without Selfheal: each fault breaks what the judge asks for, does not
//! mend by itself, and mends by the right action. A wrong action is shown to be none.

use std::time::Duration;

use anyhow::{Result, bail};

use super::engine;
use super::faults::{self, Fault};
use super::stack::Stack;
use crate::support::{throughout, until};

const BREAK_LIMIT: Duration = Duration::from_secs(20);
const CURE_LIMIT: Duration = Duration::from_mins(1);
const STAYS: Duration = Duration::from_secs(2);

fn fails(fault: &Fault, stack: &Stack) -> Result<()> {
    match fault.judge(stack) {
        Err(_) => Ok(()),
        Ok(()) => bail!("the service works"),
    }
}

/// Breaks a healthy stack, tries what does not help, and cures it.
fn breaks_and_mends(test: &str, fault: &Fault) -> Result<()> {
    if !engine::answers(test) {
        return Ok(());
    }
    let stack = fault.staged()?;
    (fault.inject)(&stack)?;
    until("the judge notices the fault", BREAK_LIMIT, || fails(fault, &stack))?;
    if let Some(futile) = fault.futile {
        futile(&stack)?;
        until("the wrong action does not help", BREAK_LIMIT, || fails(fault, &stack))?;
    }
    throughout("the service stays broken", STAYS, || fails(fault, &stack))?;
    (fault.cure)(&stack)?;
    until("the service works after the cure", CURE_LIMIT, || fault.judge(&stack))?;
    throughout("the service stays well", STAYS, || fault.judge(&stack))
}

/// A test for each fault.
macro_rules! each_fault {
    ($($name:ident: $fault:ident)*) => {$(
        #[test]
        fn $name() -> Result<()> {
            breaks_and_mends(stringify!($name), &faults::$fault)
        }
    )*};
}

each_fault! {
    a_crash_without_a_policy_stays_until_started: CRASH
    a_hang_stays_until_restarted: HANG
    an_unhealthy_service_stays_so_until_restarted: UNHEALTHY
    a_stopped_database_is_not_mended_at_the_application: DATABASE_STOPPED
    a_dependent_that_gave_up_is_not_mended_at_the_database: DEPENDENT_GAVE_UP
    a_stopped_cache_is_not_mended_at_the_application: CACHE_STOPPED
    a_frozen_cache_is_not_mended_at_the_application: CACHE_FROZEN
    a_frozen_database_is_not_mended_at_the_application: DATABASE_FROZEN
    a_wrong_start_order_is_not_mended_at_the_database: START_ORDER
    leaked_connections_are_not_given_back_by_who_needs_one: CONNECTIONS_LEAKED
    leaked_connections_to_mysql_are_not_given_back_by_who_needs_one: MYSQL_CONNECTIONS_LEAKED
    a_bad_value_is_not_mended_by_a_restart: BAD_VALUE
    a_spinning_program_spins_until_restarted: SPINNING
    a_leak_ends_with_the_program: MEMORY_LEAK
    a_memory_limit_too_low_is_not_mended_by_a_restart: MEMORY_TOO_LOW
    a_broken_configuration_is_not_mended_by_a_restart: BROKEN_CONFIGURATION
    a_lost_network_is_not_mended_at_the_application: NETWORK_LOST
    a_lock_that_is_held_is_not_mended_at_the_application: LOCK_HELD
    a_full_cache_is_not_mended_at_the_application: CACHE_FULL
    a_taken_port_stays_taken_until_its_holder_stops: PORT_TAKEN
    a_timeout_too_low_is_not_mended_by_a_restart: TIMEOUT_TOO_LOW
    a_volume_full_of_logs_stays_full: LOGS_FULL
    a_rate_limit_is_not_mended_by_a_restart: RATE_LIMIT
    a_lost_variable_is_not_mended_by_a_restart: LOST_VARIABLE
    a_bad_image_is_not_mended_by_a_restart: BAD_IMAGE_UPDATE
    a_stopped_database_of_the_whole_shop_is_not_mended_at_its_symptoms: SHOP_DATABASE_STOPPED
    a_crashed_application_of_the_whole_shop_stays_until_started: SHOP_APPLICATION_CRASHED
    a_rate_limit_of_the_whole_shop_is_not_mended_by_a_restart: SHOP_RATE_LIMIT
    a_way_back_that_is_closed_is_not_mended_by_going_back: NO_WAY_BACK
}
