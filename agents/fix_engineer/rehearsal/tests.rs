use super::*;
use crate::fakes::{container, healthy};
use crate::model::ContainerStatus;

fn at(secs: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + TimeDelta::seconds(secs)
}

fn mount(source: &str, destination: &str, writable: bool) -> MountFacts {
    MountFacts {
        bind: source.starts_with('/'),
        source: source.to_owned(),
        destination: destination.to_owned(),
        writable,
    }
}

fn texts(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

fn ended(code: i64) -> Ending {
    Ending::Ended { exit_code: Some(code), out_of_memory: false }
}

fn dead(exit_code: i64) -> ContainerFacts {
    ContainerFacts {
        status: ContainerStatus::Exited,
        exit_code: Some(exit_code),
        ..container("web")
    }
}

fn verdict(
    ending: &Ending,
    original: (i64, &[&str]),
    says: &[&str],
    needs: &[&str],
) -> RehearsalVerdict {
    let (original_lines, lines, needs) = (texts(original.1), texts(says), texts(needs));
    let original = dead(original.0);
    let compared = Compared {
        original: &original,
        original_lines: &original_lines,
        lines: &lines,
        needs: &needs,
        share: WHOLE,
    };
    conclude(ending, compared).0
}

/// What a host with plenty of room gives.
const WHOLE: Share =
    Share { own_memory_bytes: None, own_cpu_nanos: None, room: (MOST_MEMORY, CORE * MOST_CORES) };

/// What it proves that a clone without needs ended up so, while its container ended otherwise.
fn verdict_of_new(ending: &Ending, original: &ContainerFacts, share: Share) -> RehearsalVerdict {
    let lines = texts(&["KeyError: 'SHOP_URL'"]);
    let compared = Compared { original, original_lines: &[], lines: &lines, needs: &[], share };
    conclude(ending, compared).0
}

#[test]
fn a_clone_that_got_less_than_its_limit_proves_nothing_by_a_bad_end() {
    let fits = Share { own_memory_bytes: Some(1 << 30), own_cpu_nanos: Some(CORE), ..WHOLE };
    let web = dead(2);
    assert_eq!(verdict_of_new(&ended(1), &web, fits), RehearsalVerdict::Failed);
    let memory = Share { room: ((1 << 30) - 1, CORE), ..fits };
    let cpu = Share { room: (1 << 30, CORE - 1), ..fits };
    for less in [memory, cpu] {
        for end in [ended(1), Ending::Unhealthy, Ending::NotStarted("no".to_owned())] {
            let seen = verdict_of_new(&end, &web, less);
            assert_eq!(seen, RehearsalVerdict::Inconclusive, "{end:?} {less:?}");
        }
    }
}

#[test]
fn without_a_limit_little_room_explains_an_end_of_another_kind_only() {
    let tight = Share { room: (MOST_MEMORY - 1, CORE * MOST_CORES), ..WHOLE };
    let slow = Share { room: (MOST_MEMORY, CORE), ..WHOLE };
    let web = dead(2);
    assert_eq!(verdict_of_new(&ended(1), &web, tight), RehearsalVerdict::Inconclusive);
    assert_eq!(verdict_of_new(&ended(1), &web, slow), RehearsalVerdict::Failed);
    assert_eq!(verdict_of_new(&Ending::Unhealthy, &web, slow), RehearsalVerdict::Inconclusive);
    let said = texts(&["KeyError: 'SHOP_URL'"]);
    let alike =
        Compared { original: &web, original_lines: &said, lines: &said, needs: &[], share: tight };
    assert_eq!(conclude(&ended(2), alike).0, RehearsalVerdict::Failed, "as the container does");
}

#[test]
fn what_the_container_may_write_and_a_clone_may_not_counts_as_a_need() {
    let with = |writable| ContainerFacts {
        mounts: vec![mount("/srv/data", "/data", writable)],
        ..dead(2)
    };
    assert_eq!(verdict_of_new(&ended(1), &with(false), WHOLE), RehearsalVerdict::Failed);
    assert_eq!(verdict_of_new(&ended(1), &with(true), WHOLE), RehearsalVerdict::Inconclusive);
    let (web, said) = (with(true), texts(&["KeyError: 'SHOP_URL'"]));
    let alike =
        Compared { original: &web, original_lines: &said, lines: &said, needs: &[], share: WHOLE };
    assert_eq!(conclude(&ended(2), alike).0, RehearsalVerdict::Failed);
}

#[test]
fn the_same_banner_at_the_start_is_not_the_same_fault() {
    let banner = "Shop server 4.2 starts, listening soon";
    let one = [banner, "reading the settings", "KeyError: 'SHOP_URL'"];
    let other = [banner, "reading the settings", "ValueError: bad port"];
    let needs = ["db"];
    assert_eq!(verdict(&ended(1), (1, &one), &other, &needs), RehearsalVerdict::Inconclusive);
    assert_eq!(verdict(&ended(1), (1, &one), &one, &needs), RehearsalVerdict::Failed);
    let calm = [banner, "loading", "step the first", "step the second", "bye for now"];
    let also = [banner, "loading", "phase the first", "phase the second", "so long, all"];
    assert_eq!(verdict(&ended(1), (1, &calm), &also, &needs), RehearsalVerdict::Inconclusive);
    assert_eq!(verdict(&ended(1), (1, &calm), &calm, &needs), RehearsalVerdict::Failed);
}

#[test]
fn one_complaint_in_common_is_not_the_same_fault() {
    let same = |one: &[&str], other: &[&str]| {
        verdict(&ended(1), (1, one), other, &["db"]) == RehearsalVerdict::Failed
    };
    let cache = "error: the cache is cold";
    assert!(!same(&[cache, "error: no port is set"], &[cache, "error: the key is too short"]));
    let (early, late) = ("error in job 7 at 0x7f3a11", "error in job 12 at 0x9bc0de");
    assert!(same(&["error: no room", early], &["error: no port", late]), "they end the same way");
    assert!(!same(&[late, "error: no room"], &[early, "error: no port"]));
    let (one, two) = ("error: the first step", "error: the second step");
    assert!(same(&[one, two, "error: so long"], &[one, two, "error: bye for now"]));
    assert!(!same(&[one, "error: in face"], &[two, "error: in decade"]), "words are no numbers");
}

#[test]
fn a_clone_without_a_health_check_must_outlive_what_the_container_lives() {
    let short = Terms::of(&dead(1), Duration::from_mins(5));
    assert_eq!(short.stay, LEAST_STAY);
    let life =
        |secs| ContainerFacts { started_at: Some(at(0)), finished_at: Some(at(secs)), ..dead(1) };
    let longer = Terms::of(&life(20), Duration::from_mins(5));
    assert_eq!(longer.stay, Duration::from_secs(40));
    assert_eq!(Terms::of(&life(2000), Duration::from_mins(5)).stay, LONGEST_STAY);
    let up = container("web");
    assert_eq!(ending(&up, at(0), at(39), longer), None);
    let works = Ending::Works { secs: 40, healthy: false };
    assert_eq!(ending(&up, at(0), at(40), longer), Some(works));
    assert_eq!(ending(&dead(3), at(0), at(1), longer), Some(ended(3)));
}

#[test]
fn a_health_check_has_its_whole_time_and_the_life_of_the_plan_bounds_it() {
    let mut web = healthy("web");
    let check = web.health_check.as_mut().unwrap();
    check.start_period = Duration::from_secs(30);
    (check.interval, check.timeout) = (Duration::from_secs(5), Duration::from_secs(5));
    check.retries = 3;
    let terms = Terms::of(&web, Duration::from_mins(5));
    assert_eq!(terms.at_most, Duration::from_secs(80));
    web.health = Some(HealthStatus::Starting);
    assert_eq!(ending(&web, at(0), at(79), terms), None);
    assert_eq!(ending(&web, at(0), at(80), terms), Some(Ending::NotHealthyYet));
    web.health = Some(HealthStatus::Unhealthy);
    assert_eq!(ending(&web, at(0), at(1), terms), Some(Ending::Unhealthy));
    let hurried = Terms::of(&web, Duration::from_secs(3));
    assert_eq!((hurried.stay, hurried.at_most), (Duration::from_secs(3), Duration::from_secs(3)));
}

#[test]
fn what_being_alone_explains_proves_nothing() {
    for line in [
        "psycopg.OperationalError: [Errno -3] Temporary failure in name resolution",
        "Error: connect ECONNREFUSED 127.0.0.1:5432",
        "nginx: [emerg] host not found in upstream \"app\" in /etc/nginx/nginx.conf:7",
        "FATAL: waiting for postgres",
        "open /data/x: read-only file system",
    ] {
        let seen = verdict(&ended(1), (1, &[line]), &[line], &["postgres"]);
        assert_eq!(seen, RehearsalVerdict::Inconclusive, "{line}");
    }
    let out_of_memory = Ending::Ended { exit_code: Some(137), out_of_memory: true };
    assert_eq!(verdict(&out_of_memory, (137, &[]), &[], &[]), RehearsalVerdict::Inconclusive);
    assert_eq!(verdict(&Ending::NotHealthyYet, (1, &[]), &[], &[]), RehearsalVerdict::Inconclusive);
}

#[test]
fn a_clone_that_fails_as_the_container_does_has_failed_whatever_it_needs() {
    let said = ["  File \"app.py\", line 7", "KeyError: 'SHOP_URL'"];
    let needs = ["postgres"];
    assert_eq!(verdict(&ended(1), (1, &said), &said, &needs), RehearsalVerdict::Failed);
    assert_eq!(verdict(&ended(3), (3, &[]), &[], &needs), RehearsalVerdict::Failed, "silent both");
    let other = ["settings are incomplete"];
    for (code, says) in [(2, &said[..]), (1, &other[..]), (1, &[][..])] {
        let seen = verdict(&ended(code), (1, &said), says, &needs);
        assert_eq!(seen, RehearsalVerdict::Inconclusive, "{code} {says:?}");
        assert_eq!(verdict(&ended(code), (1, &said), says, &[]), RehearsalVerdict::Failed);
    }
    let lonely = "the postgresql driver is missing";
    assert_eq!(verdict(&ended(1), (1, &[lonely]), &[lonely], &needs), RehearsalVerdict::Failed);
}

#[test]
fn what_cannot_be_started_has_failed_unless_it_is_for_what_may_not_be_written() {
    let missing = Ending::NotStarted("exec: \"serve\": not found in $PATH".to_owned());
    assert_eq!(verdict(&missing, (1, &[]), &[], &["db"]), RehearsalVerdict::Failed);
    let mkdir = Ending::NotStarted("mkdir /srv/x: read-only file system".to_owned());
    assert_eq!(verdict(&mkdir, (1, &[]), &[], &[]), RehearsalVerdict::Inconclusive);
}

#[test]
fn a_clone_sees_nothing_through_which_it_could_reach_what_works() {
    let with = |name: &str, mount| ContainerFacts { mounts: vec![mount], ..container(name) };
    let none = || std::iter::empty::<&ContainerFacts>();
    for seen in [
        mount("/run/docker.sock", "/docker.sock", false),
        mount("/srv/pg", "/var/run/postgresql", false),
        mount("/tmp/.X11-unix", "/x11", false),
        mount("/srv/tmp", "/tmp", false),
        mount("/srv/php.sock", "/php.sock", false),
        mount("/srv/tmp/", "/scratch", false),
        mount("/dev", "/host-dev", false),
        mount("/dev/ttyUSB0", "/dev/ttyUSB0", false),
        mount("/var/lib/docker/", "/docker", false),
        mount("/var/lib/mysql", "/mysql", false),
        mount("shop_mysql", "/var/lib/mysql", false),
        mount("/var/spool/postfix", "/spool", false),
    ] {
        assert!(unsafe_because(&with("web", seen.clone()), none()).is_some(), "{seen:?}");
    }
    let data = mount("/srv/data", "/data", true);
    let web = with("web", data.clone());
    assert_eq!(unsafe_because(&web, none()), None);
    assert_eq!(unsafe_because(&web, [&web].into_iter()), None, "itself is no other");
    let reads = with("backup", MountFacts { writable: false, ..data });
    let why = unsafe_because(&web, [&web, &reads].into_iter()).unwrap();
    assert!(why.contains("`backup`"), "{why}");
    for theirs in ["/srv/data/", "/srv", "/srv/data/uploads"] {
        let other = with("other", mount(theirs, "/theirs", false));
        assert!(unsafe_because(&web, [&other].into_iter()).is_some(), "{theirs}");
    }
    for theirs in ["/srv/database", "/srv/dat", "/opt/data"] {
        let other = with("other", mount(theirs, "/theirs", true));
        assert_eq!(unsafe_because(&web, [&other].into_iter()), None, "{theirs}");
    }
    let (one, two) = (
        with("one", mount("/srv/conf", "/etc/x", false)),
        with("two", mount("/srv/conf", "/etc/x", false)),
    );
    assert_eq!(unsafe_because(&one, [&two].into_iter()), None, "nobody can put a socket there");
}

#[test]
fn a_clone_gets_no_more_than_half_of_what_is_free() {
    let host = |total: u64, used: u64, cores| HostFacts {
        memory_total_bytes: total,
        memory_used_bytes: used,
        cores,
        ..HostFacts::default()
    };
    assert_eq!(room_for_clone(&host(64 << 30, 0, 16)), Some((MOST_MEMORY, 2 * CORE)));
    assert_eq!(room_for_clone(&host(2 << 30, 1 << 30, 1)), Some((512 << 20, CORE)));
    assert_eq!(room_for_clone(&host(1 << 30, 950 << 20, 1)), None);
    assert_eq!(room_for_clone(&HostFacts::default()), None, "what is not known is not there");
}

#[test]
fn a_file_of_the_host_is_found_where_the_container_sees_it() {
    let web = ContainerFacts {
        mounts: vec![
            mount("/srv/web/", "/etc/web", false),
            mount("/srv/web/inner", "/inner", false),
            mount("/srv/one.conf", "/etc/one.conf", false),
            mount("volume", "/srv", true),
        ],
        ..container("web")
    };
    let at = |path: &str| seen_at(&web, path, vec![]).map(|file| (file.mount, file.path));
    let seen = |mount: &str, path: &str| Some((mount.to_owned(), path.to_owned()));
    assert_eq!(at("/srv/web/a/b.json"), seen("/etc/web", "/etc/web/a/b.json"));
    assert_eq!(at("/srv/web/inner/c"), seen("/inner", "/inner/c"));
    assert_eq!(at("/srv/one.conf"), seen("/etc/one.conf", "/etc/one.conf"));
    assert_eq!(at("/srv/website/x"), None);
}
