//! The program: reads the command line and hands it to [`selfheal::cli`].

use std::process::ExitCode;

use clap::Parser;
use selfheal::cli::{self, Cli, Exit, tell};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => {
            // Help and version are asked for; anything else is wrong usage.
            let asked = !said.use_stderr();
            let _ = said.print();
            return if asked { Exit::Done } else { Exit::Usage }.into();
        }
    };
    // Two providers could slip in with two libraries; this one is named once, here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(cli::run(cli)).into(),
        Err(error) => {
            tell(format!("error: the program cannot start its threads: {error}"));
            Exit::Wrong.into()
        }
    }
}
