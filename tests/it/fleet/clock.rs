//! A clock of the day that goes wrong, or jumps, for one process: what its system tells it is moved before
//! it arrives. How long the machine has run stays what it is, as where somebody sets a clock.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Fleet;
use super::node::Place;

/// Where the process finds by how many seconds it is wrong: a number of eight bytes that is looked at anew for
/// each question.
pub(super) const VARIABLE: &str = "MOVED_CLOCK";

const MOVED: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *moved;

__attribute__((constructor)) static void find(void) {
    const char *file = getenv("MOVED_CLOCK");
    int open_file = file ? open(file, O_RDONLY) : -1;
    if (open_file < 0) return;
    void *seen = mmap(0, sizeof *moved, PROT_READ, MAP_SHARED, open_file, 0);
    close(open_file);
    if (seen != MAP_FAILED) moved = seen;
}

int clock_gettime(clockid_t id, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, id, now);
    if (!failed && moved && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += *moved;
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
"#;

/// The clock of one process.
#[derive(Clone)]
pub(super) struct MovedClock {
    /// What is loaded into the process before its own code.
    pub(super) library: PathBuf,
    /// What [`VARIABLE`] names.
    pub(super) file: PathBuf,
}

impl MovedClock {
    /// One that is right until it is moved. Its library is built in `folder` by the compiler that links this test.
    pub(super) fn made_in(folder: &Path) -> Result<Self> {
        let (source, library) = (folder.join("moved.c"), folder.join("moved.so"));
        std::fs::write(&source, MOVED)?;
        let mut compiler = Command::new("cc");
        let built = compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
        let built = built.context("cc, which links Rust programs as well")?;
        ensure!(built.success(), "cc: {built}");
        let file = folder.join("moved");
        std::fs::write(&file, 0_i64.to_ne_bytes())?;
        Ok(Self { library, file })
    }

    /// Moves it to so many seconds ahead of the right time.
    pub(super) fn is_ahead_by(&self, secs: i64) -> Result<()> {
        // In place: the process looks at the very file.
        let mut file = File::options().write(true).open(&self.file)?;
        Ok(file.write_all(&secs.to_ne_bytes())?)
    }
}

const HOUR: i64 = 3600;

#[test]
fn whose_clock_jumps_while_it_mends_is_alone_at_it_and_comes_to_its_end() -> Result<()> {
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?];
    let clocks = folders.iter().map(|folder| MovedClock::made_in(folder.path()));
    let clocks: Vec<_> = clocks.collect::<Result<_>>()?;
    let places =
        clocks.iter().map(|clock| Place { clock: Some(clock.clone()), ..Place::default() });
    let Some(fleet) = Fleet::begin_at(places.collect(), None)? else { return Ok(()) };
    for (shop, ahead) in [HOUR, -HOUR, 0].into_iter().enumerate() {
        let mut begun = None;
        fleet.mends(shop, |node| {
            begun = Some((node.name, fleet.wait("it has begun", || node.has_begun(shop))?));
            let nth = fleet.nodes.iter().position(|one| one.name == node.name);
            clocks[nth.context("ours")?].is_ahead_by(ahead)
        })?;
        let (node, incident) = begun.context("somebody")?;
        fleet.wait("it comes to its end", || fleet.node(node).has_ended(&incident))?;
        ensure!(fleet.shops.effects(shop).len() == 1, "{:?}", fleet.shops.effects(shop));
    }
    fleet.shops.had_one_at_a_time()
}
