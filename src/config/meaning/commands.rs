//! What the commands of a person's own must be.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Check;
use crate::config::commands::CommandSettings;
use crate::host::check_program;

/// A command that takes longer holds up everything on its target.
const LONGEST: Duration = Duration::from_mins(10);

/// Notes every fault.
pub(super) fn faults(commands: &[CommandSettings], check: &mut Check<'_>) {
    let mut known = BTreeSet::new();
    for (index, command) in commands.iter().enumerate() {
        let place = format!("command[{index}]");
        if !is_name(&command.name) {
            let what = "a command's name is lower case with hyphens, such as `flush-cdn`";
            check.wrong(&format!("{place}.name"), what);
        } else if !known.insert(&command.name) {
            let what = format!("there are two commands `{}`; rename one", command.name);
            check.wrong(&format!("{place}.name"), what);
        }
        program(&format!("{place}.argv"), Some(&command.argv), check);
        program(&format!("{place}.undo"), command.undo.as_ref(), check);
        program(&format!("{place}.check"), command.check.as_ref(), check);
        let least = Duration::from_secs(1);
        check.between(&format!("{place}.timeout"), command.timeout, least, LONGEST);
        if command.environment.iter().any(|name| !is_variable(name)) {
            let what = "name variables, such as `HOME`; their values are Selfheal's own";
            check.wrong(&format!("{place}.environment"), what);
        }
    }
}

fn program(place: &str, argv: Option<&Vec<String>>, check: &mut Check<'_>) {
    let Some(argv) = argv else { return };
    let Some(program) = argv.first() else {
        return check.wrong(place, "this is empty; begin with the whole path of the program");
    };
    if argv.iter().any(|word| word.contains('\0')) {
        return check.wrong(place, "no word of it may hold a zero byte");
    }
    check.result(place, check_program(program));
}

fn is_name(text: &str) -> bool {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.len() <= 64 && text.chars().all(good)
}

fn is_variable(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !text.is_empty() && text.chars().all(good)
}
