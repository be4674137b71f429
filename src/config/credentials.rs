//! Puts systemd's folder of credentials in where a setting says `${CREDENTIALS_DIRECTORY}`.
//!
//! Every setting that ends in `_file` may begin with it, whatever source it comes from; nothing else
//! is replaced in any setting. It looks at no file: that one is missing is told by whoever reads it.

use std::collections::BTreeMap;

use super::tree::{Node, Value};

/// What systemd calls the folder, for the service and in its unit alike.
const VARIABLE: &str = "CREDENTIALS_DIRECTORY";
const WRITTEN: &str = "${CREDENTIALS_DIRECTORY}/";

/// Where the service's folder lies for whoever types a command beside it, without the variable.
const OF_THE_SERVICE: &str = "/run/credentials/selfheal.service";

/// Puts the folder into every setting that names a file in it.
pub(super) fn put_in(tree: &mut Node, variables: &BTreeMap<String, String>) {
    let named = variables.get(VARIABLE).filter(|folder| !folder.is_empty());
    fill(tree, named.map_or(OF_THE_SERVICE, String::as_str));
}

fn fill(node: &mut Node, folder: &str) {
    match &mut node.value {
        Value::Table(entries) => {
            for (key, entry) in entries {
                match &mut entry.value {
                    Value::Text(text) if key.ends_with("_file") => {
                        if let Some(name) = text.strip_prefix(WRITTEN) {
                            *text = format!("{folder}/{name}");
                        }
                    }
                    _ => fill(entry, folder),
                }
            }
        }
        Value::List(nodes) => nodes.iter_mut().for_each(|node| fill(node, folder)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const SETTINGS: &str = r#"
        [api.tls]
        cert_file = "/etc/selfheal/fullchain.pem"
        key_file = "${CREDENTIALS_DIRECTORY}/api-key"
        [alerts]
        email = { password_file = "${CREDENTIALS_DIRECTORY}/smtp-password" }
        [alerts.slack]
        channel = "${CREDENTIALS_DIRECTORY}/is-no-file"
        token_file = "/run/${CREDENTIALS_DIRECTORY}/elsewhere"
        [[target]]
        password_file = "${CREDENTIALS_DIRECTORY}/orders"
    "#;

    fn read(variables: &[(&str, &str)]) -> serde_json::Value {
        let name: std::sync::Arc<Path> = Path::new("selfheal.toml").into();
        let mut tree = Node::parse(SETTINGS, &name).unwrap();
        let variables = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        put_in(&mut tree, &variables.collect());
        tree.plain()
    }

    #[test]
    fn every_setting_that_names_a_file_knows_the_folder_and_no_other_does() {
        let settings = read(&[("CREDENTIALS_DIRECTORY", "/run/credentials/other.service")]);
        let of_service = |name: &str| format!("/run/credentials/other.service/{name}");
        assert_eq!(settings["api"]["tls"]["key_file"], of_service("api-key"));
        assert_eq!(settings["alerts"]["email"]["password_file"], of_service("smtp-password"));
        assert_eq!(settings["target"][0]["password_file"], of_service("orders"));
        assert_eq!(settings["api"]["tls"]["cert_file"], "/etc/selfheal/fullchain.pem");
        let slack = &settings["alerts"]["slack"];
        assert_eq!(slack["channel"], "${CREDENTIALS_DIRECTORY}/is-no-file");
        assert_eq!(slack["token_file"], "/run/${CREDENTIALS_DIRECTORY}/elsewhere");
    }

    #[test]
    fn beside_the_service_the_folder_is_where_systemd_puts_the_services() {
        for variables in [&[][..], &[("CREDENTIALS_DIRECTORY", "")]] {
            let key = &read(variables)["api"]["tls"]["key_file"];
            assert_eq!(*key, "/run/credentials/selfheal.service/api-key");
        }
    }
}
