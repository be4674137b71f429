//! The program: reads the command line and hands it to [`selfheal::cli`].

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Parser;
use selfheal::cli::{self, Cli, Exit, tell};

/// What the C library reads at the start of a program (glibc's manual, "Memory Allocation Tunables"): how
/// many heaps its threads may share, from how many bytes on a piece is the system's again as soon as it is
/// freed, and how much may lie free, or is taken more than is needed, at the end of the heap. The last three
/// are the library's own first values, or half: said by name they do not grow with what was needed once.
const HEAP: [(&str, &str); 4] = [
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_MMAP_THRESHOLD_", "131072"),
    ("MALLOC_TRIM_THRESHOLD_", "131072"),
    ("MALLOC_TOP_PAD_", "65536"),
];

/// Starts this program anew, as the same process, with one small heap for all its threads.
///
/// By default each thread gets a heap of its own and keeps what it once needed; for a daemon
/// that mostly waits, that is a sixth of its memory and no gain. Only the environment can say so, and
/// only before the start. Whoever has set any of it is obeyed; where it fails, the daemon just runs.
fn share_one_heap() {
    if HEAP.iter().any(|(name, _)| std::env::var_os(name).is_some()) {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        // Returns only if it failed.
        let _ = Command::new(program).args(std::env::args_os().skip(1)).envs(HEAP).exec();
    }
}

/// What still writes when all else has ended gets so long.
const LAST_THREADS: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    if selfheal::host::keeps_a_limit() {
        return Exit::Done.into();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => {
            // Help and version are asked for; anything else is wrong usage.
            let asked = !said.use_stderr();
            let _ = said.print();
            return if asked { Exit::Done } else { Exit::Usage }.into();
        }
    };
    if matches!(cli.command, cli::Command::Run { .. }) {
        share_one_heap();
    }
    // Two providers could slip in with two libraries; this one is named once, here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime {
        Ok(runtime) => {
            let exit = runtime.block_on(cli::run(cli));
            // Nobody waits for a thread that a dead file server holds.
            runtime.shutdown_timeout(LAST_THREADS);
            exit.into()
        }
        Err(error) => {
            tell(format!("error: the program cannot start its threads: {error}"));
            Exit::Wrong.into()
        }
    }
}
