//! The Docker engine, through its command line: independent of the client that Selfheal uses.

use std::io::Write as _;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

/// The label on everything that tests make.
pub(crate) const TEST_LABEL: &str = "selfheal.test=1";

/// Runs one Docker command and answers what it printed.
pub(crate) fn docker<S: AsRef<str>>(arguments: &[S]) -> Result<String> {
    let arguments: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
    let line = arguments.join(" ");
    let output = Command::new("docker").args(&arguments).output().context("run docker")?;
    if !output.status.success() {
        bail!("docker {line}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether an engine answers. Where none does, the test is skipped with a word about it;
/// in CI that is a failure.
pub(crate) fn answers(test: &str) -> bool {
    static ANSWERS: OnceLock<bool> = OnceLock::new();
    let answers = *ANSWERS.get_or_init(|| docker(&["version"]).is_ok());
    if !answers {
        assert!(std::env::var_os("CI").is_none(), "no Docker engine answers, and in CI one must");
        let word = format!("SKIPPED {test}: no Docker engine answers (see scripts/with-docker)\n");
        std::io::stderr().write_all(word.as_bytes()).expect("standard error is open");
    }
    answers
}

/// The tag of the lab's images, which are built where missing.
pub(crate) fn tag() -> Result<&'static str> {
    static TAG: OnceLock<String> = OnceLock::new();
    if let Some(tag) = TAG.get() {
        return Ok(tag);
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/build-image");
    let output = Command::new(script).output().context("run tests/lab/build-image")?;
    if !output.status.success() {
        bail!("tests/lab/build-image: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let tag = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(TAG.get_or_init(|| tag))
}
