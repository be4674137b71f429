//! The manual page, written from the definition of the command line: what `--help` says, in one page.
//!
//! It is made here and not by the program, which would carry what writes it for ever.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use clap::CommandFactory as _;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use selfheal::cli::Cli;

/// What the definition of the command line does not know.
const ELSEWHERE: &str = "\
ENVIRONMENT
SELFHEAL_URL
The address of the running daemon, as --url.
SELFHEAL_TOKEN
The token that is shown to it; --token-file goes before it.
SELFHEAL_CONFIG
The file with the settings, as --config.
SELFHEAL__SECTION__KEY
Any setting, such as SELFHEAL__API__LISTEN for api.listen. It goes before the file.
SELFHEAL_LOG
What the log of `selfheal run` tells: error, warn, info, debug, or as logs.level in the settings.
NO_COLOR
No colours, where it is not empty.
FILES
./config/selfheal.toml, /etc/selfheal/selfheal.toml
The settings: the first of them that is there, where neither --config nor SELFHEAL_CONFIG names one. \
None is needed. `selfheal config show` tells which are in force and where each comes from.
/var/lib/selfheal
History, journal, backups, tokens and audit log of the packaged service; ./selfheal-data where \
data_dir is not set.
/usr/share/doc/selfheal/settings.toml
Every setting with its default and what it means.";

/// Everything that stands between the headings of `render`'s section.
fn content(render: impl Fn(&mut dyn std::io::Write) -> std::io::Result<()>) -> String {
    let mut text = vec![];
    render(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    text.lines().filter(|line| !line.starts_with(".SH")).map(|line| format!("{line}\n")).collect()
}

fn written(roff: &Roff) -> String {
    content(|out| roff.to_writer(out))
}

/// Text in which what is indented stays line by line as it is, and the rest is filled.
fn paragraphs(text: &str) -> String {
    let (mut roff, mut is_as_typed) = (Roff::new(), false);
    roff.control("PP", []);
    for line in text.lines() {
        let typed = line.strip_prefix("  ");
        match (is_as_typed, typed.is_some()) {
            (false, true) => {
                roff.control("RS", ["4"]).control("nf", []);
            }
            (true, false) => {
                roff.control("fi", []).control("RE", []).control("PP", []);
            }
            _ => {}
        }
        is_as_typed = typed.is_some();
        match typed.unwrap_or(line) {
            "" => roff.control("PP", []),
            line => roff.text([roman(line)]),
        };
    }
    if is_as_typed {
        roff.control("fi", []).control("RE", []);
    }
    written(&roff)
}

/// What the command takes beside what every command takes.
fn of_its_own(command: &clap::Command) -> clap::Command {
    command.clone().mut_args(|arg| {
        let is_everywhere = arg.is_global_set() || arg.get_id() == "help";
        if is_everywhere { arg.hide(true) } else { arg }
    })
}

/// One command and those below it.
fn described(command: &clap::Command) -> String {
    let mut page = String::new();
    if !command.is_subcommand_required_set() {
        let mut own = of_its_own(command);
        if own.has_subcommands() {
            own = own.subcommand_value_name("command").subcommand_required(false);
        }
        let man = Man::new(own);
        page += &written(Roff::new().control("SS", [command.get_bin_name().unwrap()]));
        page += &content(|out| man.render_synopsis_section(out));
        page += &written(Roff::new().control("PP", []));
        page += &content(|out| man.render_description_section(out));
        page += &content(|out| man.render_options_section(out));
        page += &paragraphs(&command.get_after_help().map(ToString::to_string).unwrap_or_default());
    }
    let below = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    page + &below.map(described).collect::<String>()
}

/// Sections of terms and what they mean.
fn terms(text: &str) -> String {
    let mut roff = Roff::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if matches!(line, "ENVIRONMENT" | "FILES") {
            roff.control("SH", [line]);
        } else {
            roff.control("TP", []).text([roman(line)]).text([roman(lines.next().unwrap())]);
        }
    }
    let mut page = vec![];
    roff.to_writer(&mut page).unwrap();
    String::from_utf8(page).unwrap()
}

fn page() -> String {
    let mut cli = Cli::command().disable_help_subcommand(true);
    cli.build();
    let man = Man::new(cli.clone()).manual("Selfheal");
    let mut page =
        b".\\\" Made from the definition of the command line; see tests/it/man.rs.\n".to_vec();
    man.render_title(&mut page).unwrap();
    man.render_name_section(&mut page).unwrap();
    man.render_synopsis_section(&mut page).unwrap();
    man.render_description_section(&mut page).unwrap();
    let more = cli.get_after_help().unwrap().to_string();
    page.write_all(paragraphs(&more).as_bytes()).unwrap();
    man.render_options_section(&mut page).unwrap();
    page.write_all(b".SH COMMANDS\n").unwrap();
    let commands = cli.get_subcommands().filter(|sub| !sub.is_hide_set()).map(described);
    page.write_all(commands.collect::<String>().as_bytes()).unwrap();
    page.write_all(terms(ELSEWHERE).as_bytes()).unwrap();
    page.write_all(b".SH SEE ALSO\n.BR docker (1),\n.BR systemctl (1),\n.BR journalctl (1)\n")
        .unwrap();
    String::from_utf8(page).unwrap()
}

/// `UPDATE_MAN=1 cargo nextest run --test it -E 'test(/^man::/)'` writes it anew.
#[test]
fn the_shipped_manual_page_is_what_the_program_says_of_itself() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/selfheal.1");
    let page = page();
    if std::env::var_os("UPDATE_MAN").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let shipped = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(shipped == page, "{} is old; run with UPDATE_MAN=1", path.display());
}

#[test]
fn groff_finds_nothing_wrong_with_the_manual_page_and_it_shows_each_command() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/selfheal.1");
    let rendered =
        Command::new("groff").args(["-man", "-Tutf8", "-ww", "-P-cbou"]).arg(path).output();
    let Ok(rendered) = rendered else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: groff is not installed");
        return;
    };
    let text = String::from_utf8_lossy(&rendered.stdout);
    let warnings = String::from_utf8_lossy(&rendered.stderr);
    assert!(rendered.status.success() && warnings.is_empty(), "{warnings}");
    for command in Cli::command().get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let name = format!("selfheal {}", command.get_name());
        assert!(text.contains(&name), "{name} is missing:\n{text}");
    }
    assert!(!text.contains("demo-service"), "what is hidden is told");
}
