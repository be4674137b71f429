//! `mysql.*`: what every database server is asked, of MySQL and MariaDB.

use super::database::{Limits, Names};
use super::{Check, Context, Measured};
use crate::model::{Facts, TargetState};

pub(super) struct Mysql;

const NAMES: Names = Names {
    reachable: "mysql.reachable",
    latency: "mysql.latency",
    connections: "mysql.connections",
    idle_in_transaction: "mysql.idle_in_transaction",
    blocked: "mysql.blocked",
    limits: |context| Limits {
        latency_ms: context.thresholds.mysql_latency_ms,
        connections: context.thresholds.mysql_connections,
        idle_in_transaction_secs: context.thresholds.mysql_idle_in_transaction_secs,
        blocked: context.thresholds.mysql_blocked,
    },
};

impl Check for Mysql {
    fn name(&self) -> &'static str {
        "mysql"
    }

    fn judge(&self, state: &TargetState, context: &Context<'_>) -> Vec<Measured> {
        let Ok(Facts::Mysql(facts)) = &state.facts else { return vec![] };
        NAMES.judge(facts, context)
    }
}
