//! Tells the linker to write down compactly what the loader has to relocate.
//!
//! The list takes 1.4 MB of the program and each start reads all of it; packed it takes some
//! kilobytes. glibc reads the packed form from 2.36 on (`DT_RELR`; release notes of glibc 2.36).

use std::env;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
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
