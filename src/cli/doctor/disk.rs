//! Whether there is room for what is kept.

use std::path::Path;

use crate::http::body::{Examined, Grade};
use crate::store::RESERVE_BYTES;

const WHAT: &str = "disk space";
/// Free space below which a store soon cannot be written, in bytes.
const LITTLE: u64 = 512 * 1024 * 1024;
const REMEDY: &str = "free some space (docker system df shows what Docker keeps), or set data_dir";

/// What is left on the disk of the data folder, or of where it will be made.
pub(super) fn space(dir: &Path) -> Examined {
    let place = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let place = place.ancestors().find(|place| place.exists()).unwrap_or(&place);
    let free = match rustix::fs::statvfs(place) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => {
            let seen = format!("what is free at {} is not known: {error}", place.display());
            return Examined::not(Grade::Warn, WHAT, seen, "look at the output of df");
        }
    };
    let seen = format!("{} MB free on the disk of {}", free / 1_000_000, place.display());
    if free < RESERVE_BYTES {
        let seen = format!("{seen}: nothing new can be kept, so that no new fix is begun");
        return Examined::not(Grade::Fail, WHAT, seen, REMEDY);
    }
    if free < LITTLE {
        return Examined::not(Grade::Warn, WHAT, seen, REMEDY);
    }
    Examined::ok(WHAT, seen)
}
