//! What the engines of other hosts must be.

use std::collections::BTreeSet;

use super::Check;
use crate::config::engines::Engine;

/// The longest name: it stands before that of each container.
const LONGEST: usize = 40;

/// Notes every fault.
pub(super) fn faults(engines: &[Engine], check: &mut Check<'_>) {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    let mut names = BTreeSet::new();
    for (index, engine) in engines.iter().enumerate() {
        let of = format!("docker.engine[{index}]");
        let name = &engine.name;
        if name.is_empty() || name.len() > LONGEST || !name.chars().all(plain) {
            let what = format!("write 1 to {LONGEST} lower-case letters, digits, `-` and `_`");
            check.wrong(&format!("{of}.name"), what);
        } else if !names.insert(name) {
            let what = format!("there are two engines `{name}`; rename one");
            check.wrong(&format!("{of}.name"), what);
        }
        check.result(&format!("{of}.host"), engine.address().map(drop));
    }
}
