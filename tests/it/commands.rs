//! Programs that a person declared: how they are begun, what they see, and that they end at their
//! limit whatever becomes of whoever began them.

mod alone;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use selfheal::host::{LocalCommands, check_program};
use selfheal_agents::model::{Command, CommandPart, Ran, TargetId};
use selfheal_agents::ports::{Commands as _, WorldError, WorldResult};
use tempfile::TempDir;

/// A folder for one test, with a command that runs a script in it.
struct Bench {
    folder: TempDir,
    limit: Duration,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), limit: Duration::from_secs(20) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, script: &str) -> Command {
        let path = self.path("script");
        std::fs::write(&path, script).expect("the script is written");
        // The shell reads it as a file: nothing here is put together from text.
        let argv = vec!["/bin/sh".to_owned(), path.display().to_string()];
        self.of(argv)
    }

    fn of(&self, argv: Vec<String>) -> Command {
        Command {
            name: "mend".to_owned(),
            target: TargetId::container("web"),
            argv,
            undo: None,
            check: None,
            limit: self.limit,
            environment: vec![],
        }
    }

    async fn run(&self, script: &str) -> WorldResult<Ran> {
        self.runs(&self.command(script)).await
    }

    fn knows(&self, command: &Command) -> LocalCommands {
        Self::knows_in(command, self.folder.path())
    }

    /// The same with its locks in another folder.
    fn knows_in(command: &Command, folder: &Path) -> LocalCommands {
        LocalCommands::new(vec![command.clone()], folder.join("commands"))
            .kept_by(env!("CARGO_BIN_EXE_selfheal").into())
    }

    async fn runs(&self, command: &Command) -> WorldResult<Ran> {
        self.knows(command).run(command, CommandPart::Run).await
    }
}

fn why(ran: WorldResult<Ran>) -> String {
    ran.expect_err("it fails").to_string()
}

#[tokio::test]
async fn what_a_program_says_and_how_it_ends_is_told() {
    let ran = Bench::new().run("echo one; echo two >&2; sleep 0.1; echo three; exit 3").await;
    let ran = ran.unwrap();
    assert_eq!(ran.exit_code, Some(3));
    assert!(ran.output.ends_with("three"), "{}", ran.output);
    assert!(ran.output.contains("one") && ran.output.contains("two"), "{}", ran.output);
    assert!(!ran.is_success());
    assert!(Bench::new().run("exit 0").await.unwrap().is_success());
    let killed = Bench::new().run("kill -9 $$").await.unwrap();
    assert_eq!((killed.exit_code, killed.is_success()), (None, false));
}

/// Whether a process is there and not merely waiting to be forgotten.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

/// What a program writes into a file, as soon as it has.
async fn said_in(file: &Path) -> String {
    loop {
        let known = std::fs::read_to_string(file).unwrap_or_default();
        if known.ends_with('\n') {
            return known;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn dies(pid: &str) -> bool {
    for _ in 0..400 {
        if !lives(pid) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test]
async fn past_its_time_limit_a_program_goes_with_all_it_started() {
    let bench = Bench { limit: Duration::from_secs(2), ..Bench::new() };
    let (child, grandchild) = (bench.path("child"), bench.path("grandchild"));
    let script = format!(
        "trap '' TERM\n(sleep 600 & echo $! > {}; sleep 600) &\necho $! > {}\necho waiting\nwait\n",
        grandchild.display(),
        child.display()
    );
    let said = why(bench.run(&script).await);
    assert!(said.contains("it had not ended after 2s, and was ended; waiting"), "{said}");
    for pid in [child, grandchild] {
        let pid = std::fs::read_to_string(pid).unwrap();
        assert!(dies(&pid).await, "{pid} goes on");
    }
}

#[tokio::test]
async fn who_no_longer_waits_for_a_program_ends_it() {
    let bench = Bench::new();
    let pid = bench.path("pid");
    let command = bench.command(&format!("echo $$ > {}\nsleep 600\n", pid.display()));
    let commands = bench.knows(&command);
    let waiting = tokio::spawn(async move { commands.run(&command, CommandPart::Run).await });
    let known = said_in(&pid).await;
    assert!(lives(&known));
    waiting.abort();
    assert!(dies(&known).await);
}

#[tokio::test]
async fn what_is_left_running_on_purpose_does_not_hold_up_the_answer() {
    let begun = Instant::now();
    let bench = Bench::new();
    let pid = bench.path("pid");
    let ran = bench.run(&format!("sleep 600 & echo $! > {}; echo done", pid.display())).await;
    assert_eq!(ran.unwrap().output, "done");
    assert_eq!(bench.run("echo again").await.unwrap().output, "again", "nor the next run");
    assert!(begun.elapsed() < bench.limit / 2, "{:?}", begun.elapsed());
    kill(&std::fs::read_to_string(pid).unwrap());
}

fn kill(pid: &str) {
    let pid = pid.trim().parse().ok().and_then(Pid::from_raw).expect("a process id");
    rustix::process::kill_process(pid, Signal::KILL).expect("it is there");
}

/// A program that leaves its group, so that it is not reached: as one that became another user's.
const ESCAPES: &str = "exec perl -e '
    my $other = fork;
    if (!$other) { setpgrp(0, 0); sleep 600; exit }
    select(undef, undef, undef, 0.2);
    setpgrp(0, $other);
    open(my $file, \">\", $ARGV[0]);
    print $file \"$$\\n$other\\n\";
    close $file;
    sleep 600' ";

#[tokio::test]
async fn what_cannot_be_ended_is_not_waited_for_and_told_and_not_run_beside_itself() {
    let begun = Instant::now();
    let bench = Bench { limit: Duration::from_secs(1), ..Bench::new() };
    let pids = bench.path("pids");
    let command = bench.command(&format!("{ESCAPES}{}", pids.display()));
    let said = bench.runs(&command).await.unwrap_err();
    assert!(matches!(said, WorldError::Untold { .. }), "{said:?}");
    assert!(said.to_string().contains("could not be ended and goes on"), "{said}");
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
    let again = why(bench.runs(&command).await);
    assert!(again.contains("an earlier run of it is still going"), "{again}");
    for pid in std::fs::read_to_string(pids).unwrap().lines() {
        kill(pid);
    }
}

#[tokio::test]
async fn megabytes_of_output_leave_only_their_end() {
    let script = "head -c 30000000 /dev/zero | tr '\\0' 'x'\necho\necho the end\n";
    let ran = Bench::new().run(script).await.unwrap();
    assert!(ran.is_success());
    assert!(ran.output.ends_with("| the end"), "{}", ran.output);
    assert!(ran.output.len() < 4000, "{}", ran.output.len());
}

#[tokio::test]
async fn output_that_is_no_text_and_secrets_in_it_are_made_harmless() {
    let script = r"printf 'a\377b \033[31mred\007\npassword=hunter2222\n'";
    let output = Bench::new().run(script).await.unwrap().output;
    assert!(output.starts_with("a\u{fffd}b [31mred"), "{output:?}");
    assert!(!output.contains("hunter2222"), "{output}");
}

#[tokio::test]
async fn a_program_sees_only_the_environment_it_was_given() {
    let bench = Bench::new();
    let mut command = bench.command("env | sort | tr '\\n' ' '; pwd; cat");
    // The test program is given these by its runner.
    command.environment = vec!["CARGO_MANIFEST_DIR".to_owned(), "NOT_SET_ANYWHERE".to_owned()];
    let output = bench.runs(&command).await.unwrap().output;
    let names: Vec<&str> =
        output.split(' ').filter_map(|part| Some(part.split_once('=')?.0)).collect();
    let allowed = ["CARGO_MANIFEST_DIR", "LANG", "OLDPWD", "PATH", "PWD", "SHLVL", "_"];
    assert!(names.iter().all(|name| allowed.contains(name)), "{output}");
    assert!(names.contains(&"CARGO_MANIFEST_DIR"), "{output}");
    assert!(output.ends_with('/'), "its folder is the root: {output}");
}

#[tokio::test]
async fn arguments_reach_a_program_as_they_are() {
    let hostile = ["$(reboot)", "; rm -rf /", "a b", "*", ""];
    let mut argv = vec!["/usr/bin/printf".to_owned(), "[%s]".to_owned()];
    argv.extend(hostile.map(str::to_owned));
    let bench = Bench::new();
    let ran = bench.runs(&bench.of(argv)).await.unwrap();
    assert_eq!(ran.output, "[$(reboot)][; rm -rf /][a b][*][]");
}

#[tokio::test]
async fn a_program_that_is_not_there_or_not_only_its_owners_is_not_run() {
    let bench = Bench::new();
    let file = |name: &str, mode: u32| {
        let path = bench.path(name);
        std::fs::write(&path, "#!/bin/sh\ntouch ran\n").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path.display().to_string()
    };
    let open = bench.path("open");
    std::fs::create_dir(&open).unwrap();
    let in_open = file("open/program", 0o755);
    std::fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
    for (program, expected) in [
        ("/nowhere/at/all".to_owned(), "No such file"),
        ("true".to_owned(), "is not absolute"),
        ("/".to_owned(), "is no program"),
        (file("plain", 0o644), "cannot be run"),
        (file("group", 0o775), "can be changed by others"),
        (file("all", 0o757), "can be changed by others"),
        (in_open, "can be replaced by others"),
    ] {
        let said = why(bench.runs(&bench.of(vec![program.clone()])).await);
        assert!(said.contains(expected), "{program}: {said}");
    }
    assert_eq!(check_program(&file("good", 0o755)), Ok(()));
    assert!(!Path::new("/ran").exists());
}

#[tokio::test]
async fn what_the_settings_do_not_hold_is_not_run() {
    let bench = Bench::new();
    let command = bench.command("exit 0");
    let commands = bench.knows(&command);
    assert!(commands.run(&command, CommandPart::Run).await.is_ok());
    assert!(commands.run(&command, CommandPart::Undo).await.is_err(), "it has none");
    let mut forged = command.clone();
    forged.argv.push("--evil".to_owned());
    let said = why(commands.run(&forged, CommandPart::Run).await);
    assert!(said.contains("the settings declare it otherwise now"), "{said}");
    commands.declare(vec![]);
    assert!(commands.run(&command, CommandPart::Run).await.is_err(), "it was taken out");
}

#[tokio::test]
async fn a_new_time_limit_and_other_variables_hold_for_what_a_record_says_too() {
    let bench = Bench::new();
    let recorded = bench.command("sleep 600");
    let today = Command {
        limit: Duration::from_millis(300),
        environment: vec!["HOME".to_owned()],
        ..recorded.clone()
    };
    let commands = bench.knows(&today);
    let said = why(commands.run(&recorded, CommandPart::Run).await);
    assert!(said.contains("it had not ended after 300ms"), "{said}");
}
