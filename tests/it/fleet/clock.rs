//! A clock of the day that is an hour ahead, for one process: what its system tells it is moved before
//! it arrives. How long the machine has run stays what it is, as where somebody sets a clock.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

const AHEAD: &str = r"
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, id, now);
    if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += 3600;
    return failed;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec fine;
    (void)zone;
    int failed = clock_gettime(CLOCK_REALTIME, &fine);
    if (!failed) { now->tv_sec = fine.tv_sec; now->tv_usec = fine.tv_nsec / 1000; }
    return failed;
}

time_t time(time_t *now) {
    struct timespec fine;
    clock_gettime(CLOCK_REALTIME, &fine);
    if (now) *now = fine.tv_sec;
    return fine.tv_sec;
}
";

/// The library that does it, built in `folder` by the compiler that links this test.
pub(super) fn an_hour_ahead(folder: &Path) -> Result<PathBuf> {
    let (source, library) = (folder.join("ahead.c"), folder.join("ahead.so"));
    std::fs::write(&source, AHEAD)?;
    let mut compiler = Command::new("cc");
    let built = compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    let built = built.context("cc, which links Rust programs as well")?;
    ensure!(built.success(), "cc: {built}");
    Ok(library)
}
