//! What Docker's refusals and a broken connection mean in the words of the port.
//!
//! Every message names what was asked and, where a person can do something, what. Nothing
//! is retried here.

use std::io::ErrorKind;
use std::time::Duration;

use bollard::errors::Error;
use selfheal_agents::model::clean;
use selfheal_agents::ports::WorldError;

use super::address::Address;

/// The longest piece of Docker's own words in a message, in characters.
const LONGEST_REASON: usize = 300;

/// Translates an error of one call; `what` names the object, ``container `web` `` say.
pub(super) fn world_error(
    what: &str,
    limit: Duration,
    address: &Address,
    error: &Error,
) -> WorldError {
    let unreachable =
        |why: String| WorldError::Unreachable { what: format!("Docker at {address}"), why };
    let foreign = |why: &dyn std::fmt::Display| {
        let why = clean(&why.to_string(), LONGEST_REASON);
        unreachable(format!("what answers there does not speak Docker's API ({why})"))
    };
    match error {
        Error::DockerResponseServerError { status_code, message } => {
            refusal(what, *status_code, message)
        }
        Error::RequestTimeoutError => WorldError::TimedOut { what: what.to_owned(), limit },
        Error::IOError { err } => connection(address, err),
        Error::HyperResponseError { err } if err.is_parse() => foreign(&err),
        Error::HyperResponseError { .. } => {
            unreachable("the connection broke off before the answer was complete".to_owned())
        }
        Error::JsonDataError { message, .. } => foreign(message),
        Error::JsonSerdeError { err } => foreign(&err),
        other => unreachable(clean(&other.to_string(), LONGEST_REASON)),
    }
}

fn connection(address: &Address, error: &std::io::Error) -> WorldError {
    let why = match (error.kind(), address) {
        (ErrorKind::PermissionDenied, Address::Unix(path)) => {
            return WorldError::Denied {
                what: format!("use of the Docker socket {}", path.display()),
                remedy: "run `sudo usermod -aG docker $USER` and log in again, or run Selfheal \
                         as root"
                    .to_owned(),
            };
        }
        (ErrorKind::NotFound, Address::Unix(_)) => {
            "there is no such socket; is Docker installed and running? try `systemctl start \
             docker`, or set docker.host to where it listens"
                .to_owned()
        }
        (ErrorKind::ConnectionRefused, _) => {
            "nobody listens there; is Docker running? try `systemctl start docker`".to_owned()
        }
        _ => clean(&error.to_string(), LONGEST_REASON),
    };
    WorldError::Unreachable { what: format!("Docker at {address}"), why }
}

fn refusal(what: &str, status: u16, message: &str) -> WorldError {
    let message = message.trim().trim_start_matches("Error response from daemon: ");
    let why = clean(message, LONGEST_REASON);
    let what = what.to_owned();
    match status {
        // Docker also says 404 when something the container needs is missing, such as its
        // network: then the container is there and the message is the news.
        404 if why.is_empty() || why.to_lowercase().starts_with("no such container") => {
            WorldError::NotFound { what }
        }
        401 => {
            WorldError::Denied { what, remedy: "give Selfheal access to this Docker".to_owned() }
        }
        _ if why.is_empty() => WorldError::Refused { what, why: format!("status {status}") },
        _ => WorldError::Refused { what, why },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);

    fn socket() -> Address {
        Address::parse("unix:///var/run/docker.sock").unwrap()
    }

    fn io(kind: ErrorKind) -> Error {
        Error::IOError { err: std::io::Error::from(kind) }
    }

    fn answer(status_code: u16, message: &str) -> Error {
        Error::DockerResponseServerError { status_code, message: message.to_owned() }
    }

    #[test]
    fn a_forbidden_socket_is_denied_and_says_how_to_get_in() {
        let error = world_error("the list", LIMIT, &socket(), &io(ErrorKind::PermissionDenied));
        assert!(matches!(error, WorldError::Denied { .. }));
        let text = error.to_string();
        assert!(text.contains("/var/run/docker.sock"), "{text}");
        assert!(text.contains("usermod -aG docker"), "{text}");
        assert!(!error.is_transient(), "asking again does not help");
    }

    #[test]
    fn a_missing_socket_and_a_silent_one_ask_whether_docker_runs() {
        for kind in [ErrorKind::NotFound, ErrorKind::ConnectionRefused] {
            let error = world_error("the list", LIMIT, &socket(), &io(kind));
            assert!(error.is_transient());
            assert!(error.to_string().contains("is Docker"), "{error}");
        }
    }

    #[test]
    fn a_missing_container_differs_from_a_missing_thing_it_needs() {
        let not_found = |message| {
            matches!(
                world_error("container `web`", LIMIT, &socket(), &answer(404, message)),
                WorldError::NotFound { .. }
            )
        };
        assert!(not_found("No such container: web"));
        assert!(!not_found("network front not found"));
    }

    #[test]
    fn refusals_carry_dockers_words_without_secrets_and_line_ends() {
        let message = "Error response from daemon: bad\noption password=hunter2\n";
        let error = world_error("start of `web`", LIMIT, &socket(), &answer(500, message));
        assert_eq!(error.to_string(), "start of `web` was refused: bad option password=***");
    }
}
