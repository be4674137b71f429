//! What can be typed. The texts here are the manual: each command says what it does and
//! shows how it is used.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use selfheal_agents::model::TargetId;

use super::drill::Drill;
use super::rca::Rca;
use crate::access::Scope;
use crate::audit::Head;

const EXAMPLES: &str = "\
First steps:
  selfheal doctor              is everything there that Selfheal needs?
  selfheal check --dry-run     look at everything, change nothing
  selfheal run                 start; the page is at http://127.0.0.1:8003
  selfheal demo                see a container broken and healed
  selfheal drill --list        the same with a stack of your own

Exit codes: 0 all healthy or done; 1 something is wrong and was not healed;
2 wrong usage or settings; 3 the daemon or Docker cannot be reached.";

/// Keeps a Docker host and the services on it healthy: detects, diagnoses, fixes, proves,
/// undoes, learns.
#[derive(Debug, Parser)]
#[command(name = "selfheal", version, after_help = EXAMPLES, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Default, Args)]
pub struct Global {
    /// Read settings from this file
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Answer in JSON on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Keep history, journal and backups in this folder
    #[arg(long, global = true, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Address of the running daemon; the setting api.listen without it
    #[arg(long, global = true, env = "SELFHEAL_URL", value_name = "URL")]
    pub url: Option<String>,
    /// Where the daemon speaks TLS: the authorities whose certificates are good, as PEM. Without it
    /// those of the system, and of the daemon of one's own settings its very certificate
    #[arg(long, global = true, env = "SELFHEAL_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Show the daemon the token in this file; $SELFHEAL_TOKEN without it
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Watch and heal until stopped
    #[command(after_help = "Examples:\n  selfheal run\n  selfheal run --mode observe\n  \
        SELFHEAL_LOG=debug selfheal run")]
    Run {
        /// Listen on this address and port
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<String>,
        /// How far to go by itself: observe, approve or auto
        #[arg(long)]
        mode: Option<String>,
    },
    /// Run one cycle now and show what was seen and done
    #[command(after_help = "Examples:\n  selfheal check --dry-run\n  selfheal check --target \
        container:web\n  selfheal check --json | jq .status")]
    Check {
        /// Decide, but apply nothing
        #[arg(long)]
        dry_run: bool,
        /// Only this target and what it depends on, such as container:web
        #[arg(long, value_name = "TARGET")]
        target: Option<TargetId>,
    },
    /// How everything stands, in one screen
    Status {
        /// Go on and show it anew every two seconds, until Ctrl-C
        #[arg(long, conflicts_with_all = ["own", "alive"])]
        watch: bool,
        /// Only whether the daemon itself works, for a health check: 0 if it does, 1 if its store
        /// cannot be written or triggers are not handled, 3 if nobody answers
        #[arg(long)]
        own: bool,
        /// The same, and only what starting it again would mend counts: a cycle that does not end,
        /// and not a full disk. For whatever restarts it.
        #[arg(long, conflicts_with = "own")]
        alive: bool,
    },
    /// What went wrong, newest first; or one incident
    #[command(
        after_help = "Examples:\n  selfheal incidents\n  selfheal incidents --state open\n  \
        selfheal incidents 3f2a9c1b\n  selfheal incidents --follow --target container:web"
    )]
    Incidents {
        /// One incident, by its id or a unique part of it
        id: Option<String>,
        /// Only in this state; `open` means not yet closed
        #[arg(long)]
        state: Option<String>,
        /// Only about this target
        #[arg(long)]
        target: Option<TargetId>,
        /// At most this many
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Go on and tell what becomes of incidents, a line each time, until Ctrl-C
        #[arg(long, short, conflicts_with_all = ["id", "state"])]
        follow: bool,
    },
    /// Why an incident was blamed on whom, and why it was or was not healed
    Explain {
        /// The incident, by its id or a unique part of it
        id: String,
    },
    /// Apply the fix of an incident that waits for you
    Approve {
        /// The incident, by its id or a unique part of it
        id: String,
        /// Also its like from now on: this kind of fix, for this trouble, on this target; the page of
        /// the target takes that back
        #[arg(long)]
        always: bool,
    },
    /// Close an incident without a fix; it is not told of again until it was gone
    #[command(
        after_help = "Example:\n  selfheal dismiss 3f2a9c1b --reason \"it is meant to be off\""
    )]
    Dismiss {
        /// The incident, by its id or a unique part of it
        id: String,
        /// Why; it stands in the incident's timeline and in the audit log
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Take back what a fix changed
    #[command(after_help = "Examples:\n  selfheal backups\n  selfheal rollback \
        backup_20251019_170000\n  selfheal rollback 3f2a9c1b")]
    Rollback {
        /// The backup, as `selfheal backups` lists it; or an incident, for all that was done for it
        #[arg(value_name = "BACKUP|INCIDENT")]
        what: String,
        /// Also when a newer change of the same thing would be lost
        #[arg(long)]
        force: bool,
    },
    /// What fixes touched, as it was before
    Backups,
    /// What would have been done where it was not allowed, and what came without it
    #[command(after_help = "Counted where nothing but the mode, or trust that a fix has not yet \
        earned (healing.autonomy), held a fix back. SAME WAY: it then worked again because somebody \
        else had done the same. EARNED: how often it was confirmed since it last failed, by that or \
        by a fix you approved that was kept.\n\nExamples:\n  selfheal shadow\n  selfheal shadow \
        --json | jq '.rows[] | select(.confirmed >= 3)'")]
    Shadow,
    /// Stop all automatic fixes for a while
    #[command(after_help = "Examples:\n  selfheal freeze 30m\n  selfheal freeze 2h --target \
        container:web --reason \"upgrade\"\n  selfheal freeze 1h --fleet\n  selfheal freeze --off")]
    Freeze {
        /// How long, such as 30m or 2h; until `selfheal unfreeze` without it
        duration: Option<String>,
        /// Only this target
        #[arg(long, value_name = "TARGET")]
        target: Option<TargetId>,
        /// Everything on every node of the fleet
        #[arg(long, conflicts_with = "target")]
        fleet: bool,
        /// Why, for the record
        #[arg(long)]
        reason: Option<String>,
        /// End the freeze
        #[arg(long, conflicts_with_all = ["duration", "reason"])]
        off: bool,
    },
    /// Let automatic fixes go on
    Unfreeze {
        /// Only this target
        #[arg(long, value_name = "TARGET")]
        target: Option<TargetId>,
        /// Everything on every node of the fleet
        #[arg(long, conflicts_with = "target")]
        fleet: bool,
    },
    /// Everything that is watched
    Targets {
        /// One target with all its observations, such as container:web
        id: Option<TargetId>,
    },
    /// All nodes that share one PostgreSQL, what is wrong on each, and who looks after what
    #[command(
        after_help = "Any node answers for all. What is decided about an incident of another \
        node (approve, dismiss, rollback, each with its whole id) is passed on to that one."
    )]
    Fleet {
        /// What to do about one; without it all are shown
        #[command(subcommand)]
        what: Option<Nodes>,
    },
    /// What Selfheal knows about trouble: its runbooks
    Knowledge {
        /// What about them.
        #[command(subcommand)]
        what: Knowledge,
    },
    /// Group the lines of a log by what they say, without any rules
    #[command(after_help = "Examples:\n  selfheal patterns app.log\n  docker logs web 2>&1 | \
        selfheal patterns -\n  selfheal patterns --json app.log | jq '.patterns[0]'")]
    Patterns(Patterns),
    /// Who among many nodes caused the trouble of one, from recorded series
    #[command(
        after_help = "Files as the PetShop data set has them: the graph is a matrix in which \
        a row calls the columns; metrics have three header rows (node, metric, statistic) and a \
        row an interval, by Unix time. The answer is best first, and empty when nothing is \
        wrong.\n\nExample:\n  selfheal rca --graph graph.csv --normal noissue/metrics.csv \
        --metrics issue/metrics.csv --target shop --metric latency --statistic Average --json"
    )]
    Rca(Rca),
    /// The settings
    Config {
        /// What about them.
        #[command(subcommand)]
        what: Config,
    },
    /// Is everything there that Selfheal needs?
    Doctor,
    /// Whether people can be told
    Alert {
        /// What to do
        #[command(subcommand)]
        what: Alert,
    },
    /// Who may look and who may act: the tokens that the API asks for
    Token {
        /// What about them
        #[command(subcommand)]
        what: Tokens,
    },
    /// What was decided and done, and by whom: the newest entries of the audit log
    #[command(after_help = "Examples:\n  selfheal audit --limit 100\n  selfheal audit verify\n  \
        selfheal audit export > audit.jsonl")]
    Audit(Audit),
    /// The history in another database
    Store {
        /// What about it
        #[command(subcommand)]
        what: Stores,
    },
    /// Break a throw-away container and watch it being healed
    #[command(after_help = "Makes one small container of this program itself, needs no registry, \
        touches nothing else on this machine, and removes everything it made. A running Selfheal \
        leaves that container alone.")]
    Demo,
    /// Break a marked throw-away stack and see what the running Selfheal does about it
    #[command(
        after_help = "Only containers with the label selfheal.drill=true are touched, one at a \
        time and while all of them are well; whatever Selfheal does not heal is put back. A crash \
        and a hang are made from the host, so that they look like one: that needs root.\n\n\
        Examples:\n  selfheal drill --list\n  selfheal drill\n  selfheal drill --target \
        container:web --only crash,stop --yes"
    )]
    Drill(Drill),
    /// What runs in the container of the demo.
    #[command(hide = true)]
    DemoService {
        /// Listen on this port
        #[arg(long)]
        port: u16,
    },
    /// Write the completion script of a shell
    #[command(after_help = "Example:\n  selfheal completions bash > \
        ~/.local/share/bash-completion/completions/selfheal")]
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// What about the runbooks.
#[derive(Debug, Clone, Subcommand)]
pub enum Knowledge {
    /// All of them
    List,
    /// One of them
    Show {
        /// Its id, as the list shows it
        id: String,
    },
    /// Those with all these words, the best first
    #[command(after_help = "Example:\n  selfheal knowledge search disk full postgresql")]
    Search {
        /// The words
        #[arg(required = true)]
        words: Vec<String>,
    },
    /// What log lines on standard input mean: which runbook knows them, why, what would be done
    #[command(after_help = "Examples:\n  docker logs web 2>&1 | selfheal knowledge explain \
        --known\n  echo 'FATAL:  sorry, too many clients already' | selfheal knowledge explain \
        --json")]
    Explain {
        /// Leave out the lines that no runbook knows
        #[arg(long)]
        known: bool,
    },
    /// The JSON schema of a runbook file
    #[command(after_help = "Example:\n  selfheal knowledge schema > knowledge/schema.json")]
    Schema,
    /// Which of them know this log line; without one, judge all of them
    #[command(after_help = "Without a line every runbook is checked: its rules, its examples \
        against all other runbooks, its literal text, its links. Shown are the coverage, the \
        problems with their remedies, and a score for each with what it lacks.\n\nExamples:\n  \
        selfheal knowledge test\n  selfheal knowledge test --json | jq '.scores[] | select(.points \
        < 80)'\n  selfheal knowledge test \"FATAL: sorry, too many clients already\"\n  docker logs \
        web 2>&1 | selfheal knowledge test -\n  selfheal knowledge test --captured \
        target/reproduced\n  selfheal knowledge test --healthy /var/log/app.log\n\nExit codes: 0 \
        all is well, or the line is known; 1 there are problems, or nobody knows the line; 2 wrong \
        usage.")]
    Test {
        /// A log line, or - to read lines from standard input
        line: Option<String>,
        /// Each FOLDER/TECHNOLOGY/ID.log was written by the real program; the runbook ID must
        /// know a line of it
        #[arg(long, value_name = "FOLDER", conflicts_with = "line")]
        captured: Option<PathBuf>,
        /// A log file of programs that are well, or a folder of such `*.log`: no runbook of
        /// severity warning or above may know a line of it
        #[arg(long, value_name = "PATH", conflicts_with = "line")]
        healthy: Option<PathBuf>,
    },
}

/// Which lines are grouped, and what is shown.
#[derive(Debug, Clone, Args)]
pub struct Patterns {
    /// A log file, or - to read lines from standard input
    pub file: PathBuf,
    /// Print the id of each line's pattern, one a line in the order of the input
    #[arg(long, conflicts_with = "json")]
    pub ids: bool,
    /// The lines are messages alone: no moment, level or name of a logger before them
    #[arg(long)]
    pub message_only: bool,
}

/// What about the settings.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Config {
    /// Read them all and say everything that is wrong
    Check,
    /// Those in force, each with where it came from
    Show,
    /// Their JSON schema
    Schema,
}

/// What about a node.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Nodes {
    /// Forget one that is gone for good: what it had frozen for all ends, what it learnt stays
    #[command(
        after_help = "A node that gave a sign of life within the last minute is not forgotten."
    )]
    Forget {
        /// Its name
        node: String,
    },
}

/// What about the tokens.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Tokens {
    /// Make one and print it, this once
    #[command(after_help = "Only a hash of it is kept. A running daemon takes it at once.\n\n\
        Examples:\n  selfheal token create grafana --scope viewer\n  selfheal token create anna \
        --scope operator --expires 90d\n  selfheal token create ci --scope operator --expires \
        2027-01-31 > token")]
    Create {
        /// What it is called: its holder's name, which stands beside every decision made with it
        name: String,
        /// What it may do: viewer looks at everything; operator also approves, dismisses, rolls
        /// back, freezes and checks; admin may do everything
        #[arg(long)]
        scope: Scope,
        /// From when on it is worth nothing: after a time such as 90d, or on a day such as
        /// 2027-01-31; never without it
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
    /// All of them, by name
    List,
    /// End one at once, and who is logged in with it
    Revoke {
        /// Its name, as the list shows it
        name: String,
    },
}

/// What of the audit log.
#[derive(Debug, Clone, Args)]
pub struct Audit {
    /// What about it; the newest entries without it.
    #[command(subcommand)]
    pub what: Option<AuditWhat>,
    /// At most this many entries
    #[arg(long, default_value_t = 20)]
    pub limit: usize,
}

/// What about the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum AuditWhat {
    /// Whether every entry is as it was written, and none is missing
    #[command(
        after_help = "Its end can only be missed by whoever noted the newest entry before: the \
        store does, and every digest and Selfheal's log tell it.\n\nExamples:\n  selfheal audit \
        verify\n  selfheal audit verify --head 118:9f3a...\n\nExits with 1 if an entry was altered \
        or removed."
    )]
    Verify {
        /// The newest entry, as it was told once: it must be in the log
        #[arg(long, value_name = "NUMBER:HASH")]
        head: Option<Head>,
    },
    /// Print all entries, each a line of JSON as it is written
    Export,
}

/// About alerts.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Alert {
    /// Send a test message through every channel that is set, or through one
    #[command(after_help = "Examples:\n  selfheal alert test\n  selfheal alert test slack\n\n\
        Exits with 1 if one did not arrive.")]
    Test {
        /// Only this channel, such as slack
        channel: Option<String>,
    },
}

/// The shells whose completion is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU bash.
    Bash,
    /// Elvish.
    Elvish,
    /// fish.
    Fish,
    /// PowerShell.
    Powershell,
    /// Z shell.
    Zsh,
}

/// What about the history.
#[derive(Debug, Clone, Subcommand)]
pub enum Stores {
    /// Move everything into an empty database and count it there
    #[command(
        after_help = "The source stays as it is; backups are files and stay where they are. \
        No Selfheal may be running on either. An address with a password is better put in the \
        settings (store.url or store.url_file): everybody on a machine sees what a program was \
        started with.\n\nExamples:\n  selfheal store migrate\n  selfheal store migrate --from \
        sqlite:/var/lib/selfheal --to postgres://selfheal@db/selfheal"
    )]
    Migrate {
        /// From here: sqlite:DATA_DIR or postgres://...; the data folder without it
        #[arg(long, value_name = "PLACE")]
        from: Option<String>,
        /// To here, which must be empty; the setting store.url without it
        #[arg(long, value_name = "PLACE")]
        to: Option<String>,
    },
}
