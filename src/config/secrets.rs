//! Reads the files that settings ending in `_file` name.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::fault::Fault;
use super::load::read_bounded;
use super::settings::Settings;
use super::tree::Places;
use super::values::{Address, Secret};

const LONGEST_SECRET_BYTES: u64 = 64 * 1024;

/// Puts the content of every named file where the secret itself would stand.
pub(super) fn read_all(
    settings: &mut Settings,
    places: &Places,
    faults: &mut Vec<Fault>,
    warnings: &mut Vec<String>,
) {
    let channels = settings.alerts.secrets().into_iter();
    let mut slots: Vec<_> =
        channels.map(|(name, file, slot)| (format!("alerts.{name}_file"), file, slot)).collect();
    for (index, target) in settings.targets.iter_mut().enumerate() {
        let name = format!("target[{index}].password_file");
        slots.push((name, target.password_file.clone(), &mut target.password));
    }
    let heartbeat = &mut settings.heartbeat;
    let file = heartbeat.url_file.clone();
    slots.push(("heartbeat.url_file".to_owned(), file, &mut heartbeat.url));
    let file = settings.streams.sentinel_password_file.clone();
    let name = "streams.sentinel_password_file".to_owned();
    slots.push((name, file, &mut settings.streams.sentinel_password));
    // An address is no secret as a whole: it is read beside, and put in its place then.
    let (mut store, mut streams) = (None, None);
    for (of, file, slot) in [
        ("store", &settings.store.url_file, &mut store),
        ("streams", &settings.streams.url_file, &mut streams),
    ] {
        slots.push((format!("{of}.url_file"), file.clone(), slot));
    }
    for (name, file, slot) in slots {
        let Some(file) = file else { continue };
        match read(&file) {
            Ok(secret) => *slot = Some(secret),
            Err(why) => {
                let what = format!("the file {} cannot be used: {why}", file.display());
                faults.push(Fault::new(places.near(&name), &name, what));
            }
        }
        if readable_by_all(&file) {
            warnings.push(format!(
                "{} holds a secret and everybody on this machine may read it; run `chmod 600` on it",
                file.display()
            ));
        }
    }
    for (address, url) in [(store, &mut settings.store.url), (streams, &mut settings.streams.url)] {
        if let Some(address) = address {
            *url = Address::new(address.expose());
        }
    }
}

fn read(file: &Path) -> Result<Secret, String> {
    let bytes = read_bounded(file, LONGEST_SECRET_BYTES).map_err(|error| error.to_string())?;
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(Secret::new(text))
}

fn readable_by_all(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|facts| facts.permissions().mode() & 0o004 != 0)
}
