use std::time::Duration;

use super::*;

fn declared(rest: &str) -> String {
    format!("[[command]]\nname = \"flush\"\ntarget = \"container:web\"\n{rest}")
}

#[test]
fn a_command_is_declared_with_its_undo_and_its_check() {
    let text = declared(
        "argv = [\"/bin/sh\", \"/srv/flush\"]\nundo = [\"/bin/true\"]\ncheck = [\"/bin/false\"]\n\
         timeout = \"5s\"\nenvironment = [\"HOME\"]\n",
    );
    let command = read(&text).unwrap().settings.declared_commands().remove(0);
    assert_eq!(command.argv, ["/bin/sh", "/srv/flush"]);
    assert_eq!(command.undo, Some(vec!["/bin/true".to_owned()]));
    assert_eq!(command.check, Some(vec!["/bin/false".to_owned()]));
    assert_eq!(
        (command.limit, command.environment),
        (Duration::from_secs(5), vec!["HOME".to_owned()])
    );
    let least =
        read(&declared("argv = [\"/bin/true\"]\n")).unwrap().settings.declared_commands().remove(0);
    assert_eq!((least.undo, least.check, least.limit), (None, None, Duration::from_secs(30)));
}

#[test]
fn what_cannot_or_must_not_be_run_is_refused() {
    let good = "argv = [\"/bin/true\"]\n";
    for (rest, place, what) in [
        ("argv = []\n".to_owned(), "4 command[0].argv", "begin with the whole path"),
        ("argv = [\"flush\"]\n".to_owned(), "4 command[0].argv", "is not absolute"),
        ("argv = [\"/nowhere/flush\"]\n".to_owned(), "4 command[0].argv", "No such file"),
        (format!("{good}undo = [\"/tmp\"]\n"), "5 command[0].undo", "is no program"),
        (format!("{good}check = []\n"), "5 command[0].check", "begin with the whole path"),
        (format!("{good}timeout = \"1h\"\n"), "5 command[0].timeout", "outside 1s to 10m"),
        (format!("{good}environment = [\"A=b\"]\n"), "5 command[0].environment", "name variables"),
        (format!("{good}shell = true\n"), "5 command[0].shell", "known here"),
    ] {
        refused(&declared(&rest), place, what);
    }
    refused(&format!("{}{}", declared(good), declared(good)), "6 command[1].name", "there are two");
}
