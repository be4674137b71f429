//! Makes the program smaller in memory.
//!
//! The runbooks, and what healthy programs wrote, are packed into one file each: as text they are a megabyte and a half, read once at the
//! start and resident for ever.
//!
//! The linker is told to write down compactly what the loader has to relocate: the list takes
//! 1.4 MB of the program and each start reads all of it; packed it takes some kilobytes. glibc
//! reads the packed form from 2.36 on (`DT_RELR`; release notes of glibc 2.36).

use std::env;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::DeflateEncoder;

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let knowledge = root.join("knowledge");
    let technologies = entries(&knowledge)?.into_iter().filter(|path| path.is_dir());
    pack("runbooks", &knowledge, "toml", technologies.collect())?;
    let healthy = root.join("tests/knowledge/healthy");
    pack("healthy", &healthy, "log", vec![healthy.clone()])?;
    pack_relocations();
    Ok(())
}

/// Writes, of each file in `folders` with that extension, its path below `root`, a zero, its text
/// and a zero, by name.
fn pack(target: &str, root: &Path, extension: &str, folders: Vec<PathBuf>) -> io::Result<()> {
    println!("cargo:rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    for folder in folders {
        files.extend(entries(&folder)?);
    }
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    let target = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join(target);
    // Written anew and not over: the folder may be shared with another build by links.
    if target.exists() {
        fs::remove_file(&target)?;
    }
    let mut packed = DeflateEncoder::new(File::create(target)?, Compression::best());
    for file in files {
        let name = file.strip_prefix(root).map_err(io::Error::other)?;
        packed.write_all(name.to_string_lossy().as_bytes())?;
        packed.write_all(b"\0")?;
        packed.write_all(&fs::read(&file)?)?;
        packed.write_all(b"\0")?;
    }
    packed.finish()?;
    Ok(())
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    Ok(entries)
}

fn pack_relocations() {
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    let glibc_on_linux = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    // What another machine has is not known here.
    let at_home = env::var("HOST").ok() == env::var("TARGET").ok();
    if glibc_on_linux && at_home && glibc().is_some_and(|version| version >= (2, 36)) {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this machine's glibc.
fn glibc() -> Option<(u32, u32)> {
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}
