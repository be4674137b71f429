//! The command line: reads it, asks the daemon or the store, shows the answer.
//!
//! Reading commands ask the running daemon, else the store it left behind. Deciding
//! commands need the daemon, or the store for themselves alone. Nothing here decides what
//! is healed.

mod alert;
mod args;
mod audit;
mod client;
mod daemon;
mod decide;
mod demo;
mod doctor;
mod drill;
mod follow;
mod knowledge;
mod local;
mod output;
mod patterns;
mod rca;
mod read;
mod render;
mod service_manager;
mod settings;
mod source;
mod store;
mod table;
mod token;
mod trust;
mod watch;

pub use args::{
    Alert, Audit, AuditWhat, Cli, Command, Config, Global, Knowledge, Shell, Stores, Tokens,
};
pub use doctor::examine;
pub use output::{Exit, Failure, Outcome, tell};

use chrono::Utc;
use clap::CommandFactory;

use self::client::Client;
use self::output::{Output, Style};
use self::trust::Trust;
use crate::app::own_knowledge;
use crate::config::{Api, Loaded, Settings, Sources, load_from};

/// Does what was typed and says how it ended. Failures are told on standard error.
pub async fn run(cli: Cli) -> Exit {
    match Box::pin(dispatch(cli)).await {
        Ok(exit) => exit,
        Err(failure) => {
            tell(failure.text());
            failure.exit
        }
    }
}

async fn dispatch(cli: Cli) -> Outcome {
    let out = Output { json: cli.global.json, style: Style::of_system(Utc::now()) };
    match cli.command {
        Command::Knowledge { what } => {
            // Runbooks can be read without sound settings; those name where one's own lie.
            let loaded = load_from(&sources(&cli.global)).ok();
            let own = loaded.and_then(|loaded| own_knowledge(&loaded.settings));
            knowledge::run(&what, own.as_deref(), out)
        }
        Command::Patterns(what) => patterns::run(&what, out),
        Command::Rca(ref asked) => rca::run(asked, out),
        Command::Config { what } => settings::run(what, &sources(&cli.global), out),
        Command::Completions { shell } => completions(shell, out),
        Command::Run { ref listen, ref mode } => {
            let mut sources = sources(&cli.global);
            for (setting, value, flag) in
                [("api.listen", listen, "--listen"), ("mode", mode, "--mode")]
            {
                if let Some(value) = value {
                    sources = sources.with_flag(setting, value, flag);
                }
            }
            Box::pin(daemon::run(sources)).await
        }
        Command::Alert { what: Alert::Test { ref channel } } => {
            let sources = sources(&cli.global);
            Box::pin(alert::test(&sources, channel.as_deref(), out)).await
        }
        Command::Token { ref what } => {
            token::run(what, &load(&sources(&cli.global))?.settings, out)
        }
        Command::Audit(ref asked) => {
            audit::run(asked, &load(&sources(&cli.global))?.settings, out).await
        }
        Command::Store { ref what } => {
            Box::pin(store::run(what, &load(&sources(&cli.global))?.settings, out)).await
        }
        Command::DemoService { port } => demo::serve(port).await,
        Command::Drill(ref asked) if asked.list => drill::list(asked, out),
        Command::Doctor => doctor::run(&sources(&cli.global), &cli.global, out).await,
        command => {
            let loaded = load(&sources(&cli.global))?;
            let client = client(&cli.global, &loaded)?;
            let Loaded { settings, .. } = loaded;
            match command {
                Command::Status { own, alive, .. } if own || alive => {
                    read::own_status(&client, alive, out).await
                }
                Command::Status { watch: true, .. } => watch::status(&client, &settings, out).await,
                Command::Status { .. } => read::status(client, &settings, out).await,
                Command::Incidents { id: Some(id), .. } => {
                    read::incident(client, &settings, &id, true, out).await
                }
                Command::Incidents { target, limit, follow: true, .. } => {
                    let wanted = read::Wanted { state: None, target, limit };
                    watch::incidents(&client, &settings, &wanted, out).await
                }
                Command::Incidents { state, target, limit, .. } => {
                    let wanted = read::Wanted { state, target, limit };
                    read::incidents(client, &settings, &wanted, out).await
                }
                Command::Explain { id } => read::incident(client, &settings, &id, false, out).await,
                Command::Targets { id } => read::targets(client, &settings, id, out).await,
                Command::Drill(asked) => drill::run(&asked, client, &settings, out).await,
                Command::Demo => Box::pin(demo::run(&settings, out)).await,
                Command::Fleet { what: None } => read::fleet(&client, out).await,
                Command::Shadow => read::shadow(client, &settings, out).await,
                Command::Backups => read::backups(client, &settings, out).await,
                command => decide::run(command, &client, &settings, out).await,
            }
        }
    }
}

/// Everything settings can come from, with the flags laid over.
fn sources(global: &Global) -> Sources {
    let sources = Sources::of_system(global.config.as_deref());
    match &global.data_dir {
        Some(folder) => sources.with_flag("data_dir", &folder.to_string_lossy(), "--data-dir"),
        None => sources,
    }
}

/// Every fault is named with its place, so there is nothing more to ask for.
fn load(sources: &Sources) -> Result<Loaded, Failure> {
    load_from(sources).map_err(|error| {
        let next = "correct what is named; selfheal config schema lists every setting";
        Failure::new(Exit::Usage, error).next(next)
    })
}

fn client(global: &Global, loaded: &Loaded) -> Result<Client, Failure> {
    let trust = trust(global, &loaded.settings)?;
    let own = own_url(&loaded.settings.api);
    let client = Client::new(global.url.as_deref().unwrap_or(&own), &person(), trust)?;
    match token::shown(global.token_file.as_deref())? {
        Some(token) => client.with_token(&token),
        None => Ok(client),
    }
}

/// Whose certificate is good at the daemon that is asked.
fn trust(global: &Global, settings: &Settings) -> Result<Trust, Failure> {
    match (&global.ca_file, &global.url, settings.api.tls.files()) {
        (Some(file), ..) => Trust::authorities(file),
        (None, None, Some(files)) => Trust::own(&files.certificate, &settings.data_dir),
        _ => Ok(Trust::System),
    }
}

/// Where a daemon with these settings answers on this machine.
fn own_url(api: &Api) -> String {
    let mut address = api.listen;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    api.url_at(address)
}

/// Who types, for the record.
fn person() -> String {
    ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| "command line".to_owned())
}

fn completions(shell: Shell, out: Output) -> Outcome {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Elvish => clap_complete::Shell::Elvish,
        Shell::Fish => clap_complete::Shell::Fish,
        Shell::Powershell => clap_complete::Shell::PowerShell,
        Shell::Zsh => clap_complete::Shell::Zsh,
    };
    let mut script = vec![];
    clap_complete::generate(shell, &mut Cli::command(), "selfheal", &mut script);
    out.data(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_daemon_on_the_wildcard_address_is_asked_on_this_machine() {
        let own =
            |listen: &str| own_url(&Api { listen: listen.parse().unwrap(), ..Api::default() });
        assert_eq!(own("0.0.0.0:8003"), "http://127.0.0.1:8003");
        assert_eq!(own("[::]:1"), "http://[::1]:1");
        assert_eq!(own("10.0.0.7:80"), "http://10.0.0.7:80");
    }
}
