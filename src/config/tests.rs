use std::fs;
use std::path::PathBuf;

use selfheal_agents::model::{Endpoint, Mode, TargetId};
use tempfile::TempDir;

use super::*;

/// A settings file in a folder of its own.
struct Written {
    folder: TempDir,
}

impl Written {
    fn new(text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("selfheal.toml"), text).unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("selfheal.toml")
    }

    fn sources(&self) -> Sources {
        Sources { explicit: Some(self.path()), ..Sources::default() }
    }
}

fn read(text: &str) -> Result<Loaded, ConfigError> {
    load_from(&Written::new(text).sources())
}

/// The faults as `LINE KEY`, with the whole text of each.
fn faults(text: &str) -> Vec<(String, String)> {
    match read(text) {
        Err(ConfigError::Faults(faults)) => faults
            .iter()
            .map(|fault| {
                let line = match &fault.place {
                    Place::File { line, .. } => line.to_string(),
                    other => other.to_string(),
                };
                (format!("{line} {}", fault.key), fault.to_string())
            })
            .collect(),
        other => panic!("faults were expected, not {other:?}"),
    }
}

/// Asserts that `text` has exactly one fault, at `place`, whose message holds `part`.
fn refused(text: &str, place: &str, part: &str) {
    let faults = faults(text);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].0, place, "{}", faults[0].1);
    assert!(faults[0].1.contains(part), "{}", faults[0].1);
}

fn environment(sources: Sources, variables: &[(&str, &str)]) -> Sources {
    let environment = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Sources { environment, ..sources }
}

#[test]
fn without_any_source_everything_is_default() {
    let loaded = load_from(&Sources::default()).unwrap();
    assert_eq!(loaded.settings, Settings::default());
    assert_eq!(loaded.file, None);
    assert!(loaded.warnings.is_empty());
}

#[test]
fn the_example_of_the_contract_is_read() {
    let loaded = read(
        r#"
mode = "auto"
data_dir = "./selfheal-data"
[schedule]
cron = "*/5 * * * *"
docker_events = true
[docker]
host = "unix:///var/run/docker.sock"
[healing]
confidence_threshold = 85
validation_window = "2m"
[store]
url = ""
[streams]
url = ""
[api]
listen = "127.0.0.1:8003"
[[target]]
kind = "http"
name = "shop"
url = "http://127.0.0.1:8080/health"
container = "web"
[[tunable]]
target = "container:worker"
file = "/srv/worker/config.json"
key = "upstream.delay_s"
role = "delay"
min = 0.1
max = 10.0
apply = "restart"
"#,
    )
    .unwrap();
    let Settings { targets, tunables, .. } = loaded.settings.clone();
    let mut rest = loaded.settings;
    rest.targets.clear();
    rest.tunables.clear();
    assert_eq!(rest, Settings::default());
    assert_eq!((targets.len(), tunables.len()), (1, 1));
}

#[test]
fn all_faults_are_told_at_once_in_the_order_of_the_file() {
    let faults = faults(
        r#"mode = "atuo"
[api]
lisetn = "127.0.0.1:1"
[schedule]
cron = "* * *"
timezone = "Mars/Olympus"
[healing]
validation_window = 120
confidence_threshold = 0.85
common_cause_share = 40
[[target]]
kind = "htpp"
name = "shop"
url = "http://x/"
[[tunable]]
target = "container:worker"
file = "/a.json"
key = "x"
role = "delay"
min = 5
max = 1
"#,
    );
    let places: Vec<&str> = faults.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(
        places,
        [
            "1 mode",
            "3 api.lisetn",
            "5 schedule.cron",
            "6 schedule.timezone",
            "8 healing.validation_window",
            "9 healing.confidence_threshold",
            "10 healing.common_cause_share",
            "12 target[0].kind",
            "20 tunable[0].min",
        ]
    );
}

#[test]
fn an_unknown_key_comes_with_a_guess() {
    refused("[api]\nlisetn = 1\n", "2 api.lisetn", "did you mean `listen`?");
    refused("[apo]\n", "1 apo", "did you mean `api`?");
    refused("listen = \"127.0.0.1:1\"\n", "1 listen", "`listen` belongs in [api]");
    refused("[api]\nzebra = 1\n", "2 api.zebra", "known here: costly_reads_per_minute, hosts");
}

#[test]
fn a_wrong_unit_says_what_to_write() {
    refused("[probes]\ninterval = \"5\"\n", "2 probes.interval", "`5s`");
    refused("[probes]\ninterval = 5\n", "2 probes.interval", "a duration with its unit");
    refused("[healing]\nmemory_cap = \"512\"\n", "2 healing.memory_cap", "`512MiB`");
}

#[test]
fn impossible_values_are_refused() {
    refused(
        "[healing]\nconfidence_threshold = 101\n",
        "2 healing.confidence_threshold",
        "50 to 100",
    );
    refused("[probes]\ninterval = \"0s\"\n", "2 probes.interval", "outside 1s");
    refused("[healing]\ncommon_cause_share = nan\n", "2 healing.common_cause_share", "finite");
    refused("[probes]\nfailures = 0\n", "2 probes.failures", "outside 1");
    for host in ["https://docker.lan:2376", "tcp://docker.lan:2375/v1", "docker.lan", "unix://a"] {
        let text = format!("[docker]\nhost = \"{host}\"\n");
        refused(&text, "2 docker.host", "`unix:///var/run/docker.sock`");
    }
    let engine = |name: &str, more: &str| {
        format!("[[docker.engine]]\nname = \"{name}\"\nhost = \"https://nas.lan\"\n{more}")
    };
    let all = "ca_file = \"a\"\ncert_file = \"c\"\nkey_file = \"k\"\n";
    refused(&engine("nas", ""), "3 docker.engine[0].host", "ca_file, cert_file and key_file");
    refused(&engine("nas", "ca_file = \"a\"\n"), "3 docker.engine[0].host", "give all");
    refused(&engine("nas/x", all), "2 docker.engine[0].name", "lower-case letters");
    let twice = engine("nas", all) + &engine("nas", all);
    refused(&twice, "8 docker.engine[1].name", "two engines `nas`");
    let plain = engine("nas", "").replace("https", "ftp");
    refused(&plain, "3 docker.engine[0].host", "neither a socket nor an address by TCP or SSH");
    let by_ssh = |more: &str| engine("nas", more).replace("https://", "ssh://ops@");
    let keys = "identity_file = \"k\"\nknown_hosts_file = \"h\"\n";
    read(&by_ssh(keys)).unwrap();
    refused(&by_ssh("identity_file = \"%h\"\n"), "3 docker.engine[0].host", "name a path");
    refused(&by_ssh(all), "3 docker.engine[0].host", "can be encrypted");
    refused(
        &engine("nas", &(all.to_owned() + keys)),
        "3 docker.engine[0].host",
        "belong to `ssh://`",
    );
    read(&engine("nas", all)).unwrap();
    refused("[api]\nlisten = \"8003\"\n", "2 api.listen", "`127.0.0.1:8003`");
    refused("[schedule]\ndocker_events = \"yes\"\n", "2 schedule.docker_events", "true or false");
}

#[test]
fn a_route_leads_to_channels_that_are_set_up() {
    let ntfy = "[alerts.ntfy]\nurl = \"https://ntfy.sh/x\"\n[[alerts.route]]\n";
    let good = format!("{ntfy}severity = \"critical\"\nchannels = [\"ntfy\", \"log\"]\n");
    let route = &read(&good).unwrap().settings.alerts.routes[0];
    assert_eq!(route.channels, [ChannelName::Ntfy, ChannelName::Log]);
    let channels = |list: &str| format!("{ntfy}channels = [{list}]\n");
    refused(&channels("\"nfty\""), "4 alerts.route[0].channels[0]", "did you mean `ntfy`?");
    refused(&channels("\"email\""), "4 alerts.route[0].channels[0]", "fill in [alerts.email]");
    refused(&channels("\"email\""), "4 alerts.route[0].channels[0]", "one that is: log, ntfy");
    refused(ntfy, "3 alerts.route[0]", "`channels` is missing");
    let event = format!("{ntfy}event = [\"hold\"]\nchannels = [\"ntfy\"]\n");
    refused(&event, "4 alerts.route[0].event[0]", "did you mean `held`?");
}

#[test]
fn the_store_is_a_postgres_database_named_here_or_in_a_file_and_never_shown_with_its_password() {
    let loaded = read("[store]\nurl = \"postgres://me:s3cret@db/x?sslmode=require\"\n").unwrap();
    let url = loaded.settings.store.postgres().unwrap().unwrap();
    assert_eq!(url.to_string(), "postgres://me@db:5432/x");
    let shown = format!("{:?} {:?}", loaded.shown(), loaded.settings);
    assert!(shown.contains("***") && !shown.contains("s3cret"), "{shown}");

    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, b"postgres://me:s3cret@db/y\n").unwrap();
    let named = |rest: &str| format!("[store]\nurl_file = {:?}\n{rest}", file.path());
    let settings = read(&named("")).unwrap().settings;
    assert_eq!(settings.store.postgres().unwrap().unwrap().to_string(), "postgres://me@db:5432/y");
    refused(&named("url = \"postgres://db/x\"\n"), "3 store.url", "keep one");
    refused("[store]\nurl = \"mysql://db/x\"\n", "2 store.url", "no address of a PostgreSQL");
    refused("[store]\nurl = \"postgres://db/x?sslmod=on\"\n", "2 store.url", "no parameter");
}

#[test]
fn sentinels_have_a_password_of_their_own_which_is_never_shown() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, b"s3cret\n").unwrap();
    let url = "[streams]\nurl = \"redis://one\"\n";
    let named = format!("{url}sentinel_password_file = {:?}\n", file.path());
    let master = "sentinel_master = \"shop\"\n";
    let loaded = read(&format!("{named}{master}sentinel_user = \"heal\"\n")).unwrap();
    let streams = &loaded.settings.streams;
    assert_eq!(streams.sentinel_password, Some(values::Secret::new("s3cret")));
    let shown = format!("{:?} {:?} {:?}", loaded.shown(), loaded.settings, streams.address());
    assert!(!shown.contains("s3cret"), "{shown}");
    let both = format!("{named}{master}sentinel_password = \"x\"\n");
    refused(&both, "5 streams.sentinel_password", "keep one");
    refused(&named, "3 streams.sentinel_password_file", "streams.sentinel_master");
    let user = format!("{url}{master}sentinel_user = \"heal\"\n");
    refused(&user, "4 streams.sentinel_user", "needs a password");
}

#[test]
fn a_file_that_is_not_toml_is_shown_with_a_caret() {
    let message = read("[api\nlisten = 3").unwrap_err().to_string();
    assert!(message.contains("not TOML") && message.contains('^'), "{message}");
}

#[test]
fn a_named_file_that_is_not_there_is_an_error_and_a_searched_one_is_not() {
    let missing = PathBuf::from("/nonexistent/selfheal.toml");
    let named = Sources { explicit: Some(missing.clone()), ..Sources::default() };
    assert!(matches!(load_from(&named), Err(ConfigError::Unreadable { .. })));
    let named = environment(Sources::default(), &[("SELFHEAL_CONFIG", "/nonexistent/a.toml")]);
    assert!(matches!(load_from(&named), Err(ConfigError::Unreadable { .. })));
    let searched = Sources { searched: vec![missing], ..Sources::default() };
    assert_eq!(load_from(&searched).unwrap().settings, Settings::default());
}

#[test]
fn a_file_that_is_no_text_is_refused() {
    let written = Written::new("");
    fs::write(written.path(), b"mode = \"\xff\"").unwrap();
    let message = load_from(&written.sources()).unwrap_err().to_string();
    assert!(message.contains("byte 8 is not UTF-8"), "{message}");
}

#[test]
fn the_environment_goes_before_the_file_and_a_flag_before_both() {
    let written = Written::new("[api]\nlisten = \"127.0.0.1:1\"\n[probes]\nfailures = 4\n");
    let sources = environment(
        written.sources(),
        &[
            ("SELFHEAL__API__LISTEN", "127.0.0.1:2"),
            ("SELFHEAL__PROBES__FAILURES", "5"),
            ("SELFHEAL__SCHEDULE__DOCKER_EVENTS", "false"),
            ("SELFHEAL__POLICY__RUNBOOK__CONTAINER_OOM__MODE", "observe"),
            ("SELFHEAL__TARGET", "[{kind='tcp',name='smtp',url='tcp://127.0.0.1:25'}]"),
            ("SELFHEAL_SOMETHING_ELSE", "1"),
        ],
    )
    .with_flag("api.listen", "127.0.0.1:3", "--listen");
    let loaded = load_from(&sources).unwrap();
    assert_eq!(loaded.settings.api.listen.port(), 3);
    assert_eq!(loaded.settings.probes.failures, 5);
    assert!(!loaded.settings.schedule.docker_events);
    assert_eq!(loaded.settings.policy.runbook["container-oom"].mode, Mode::Observe);
    assert_eq!(loaded.settings.targets[0].name, "smtp");
    let origin = |key: &str| {
        loaded.shown().into_iter().find(|shown| shown.key == key).map(|shown| shown.origin)
    };
    assert_eq!(origin("api.listen").as_deref(), Some("flag --listen"));
    assert_eq!(
        origin("probes.failures").as_deref(),
        Some("environment SELFHEAL__PROBES__FAILURES")
    );
    assert_eq!(origin("probes.limit").as_deref(), Some("default"));
}

#[test]
fn a_variable_that_names_no_setting_or_holds_no_value_is_a_fault() {
    let sources = environment(
        Sources::default(),
        &[
            ("SELFHEAL__API__LISTNE", "127.0.0.1:2"),
            ("SELFHEAL__PROBES__FAILURES", "many"),
            ("SELFHEAL__TARGET", "shop"),
        ],
    );
    let message = load_from(&sources).unwrap_err().to_string();
    assert!(message.starts_with("3 settings are wrong:"), "{message}");
    for part in [
        "did you mean SELFHEAL__API__LISTEN?",
        "SELFHEAL__PROBES__FAILURES: `probes.failures`: this is a text; a whole number",
        "SELFHEAL__TARGET: `target`: this is not a TOML value",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn docker_host_counts_where_nobody_set_the_host() {
    let variables = [("DOCKER_HOST", "unix:///run/user/1000/docker.sock")];
    let host = |text: &str| {
        let written = Written::new(text);
        load_from(&environment(written.sources(), &variables)).unwrap().settings.docker.host
    };
    assert_eq!(host(""), "unix:///run/user/1000/docker.sock");
    assert_eq!(host("[docker]\nhost = \"unix:///a.sock\"\n"), "unix:///a.sock");
}

#[test]
fn secrets_come_from_files_and_are_never_shown() {
    let written = Written::new("");
    let secret = written.folder.path().join("password");
    fs::write(&secret, "c4n4ry\n").unwrap();
    let text = format!(
        "[alerts.webhook]\nurl = \"https://hooks.example.org/c4n4ry\"\nheaders = {{ Authorization = \"Bearer c4n4ry\" }}\n[[target]]\nkind = \"postgres\"\nname = \"orders\"\nurl = \"postgres://monitor@db:5433/orders?sslmode=require\"\npassword_file = \"{}\"\n[[target]]\nkind = \"redis\"\nname = \"cache\"\nurl = \"redis://:c4n4ry@[::1]/2\"\n",
        secret.display()
    );
    fs::write(written.path(), text).unwrap();
    let loaded = load_from(&written.sources()).unwrap();
    let shown = format!("{:?} {:?}", loaded.settings, loaded.shown());
    assert!(!shown.contains("c4n4ry"), "{shown}");

    let targets = loaded.settings.declared_targets();
    let Some(Endpoint::Postgres(orders)) = &targets[0].endpoint else { panic!("{targets:?}") };
    assert_eq!((orders.host.as_str(), orders.port, orders.tls), ("db", 5433, true));
    assert_eq!(orders.password.as_ref().unwrap().expose(), "c4n4ry");
    let Some(Endpoint::Redis(cache)) = &targets[1].endpoint else { panic!("{targets:?}") };
    assert_eq!((cache.host.as_str(), cache.port), ("::1", 6379));
    assert_eq!(cache.database.as_deref(), Some("2"));
    assert_eq!(cache.password.as_ref().unwrap().expose(), "c4n4ry");
}

#[test]
fn a_secret_file_that_cannot_be_used_is_a_fault_at_its_line() {
    refused(
        "[alerts.webhook]\nurl_file = \"/nonexistent/x\"\n",
        "2 alerts.webhook.url_file",
        "No such file",
    );
}

#[test]
fn what_a_secret_file_holds_is_judged_as_if_it_stood_in_the_settings() {
    let folder = tempfile::tempdir().unwrap();
    for (setting, holds, told) in [
        ("[alerts.discord]\nurl_file", "hooks.example.org/x", "begins with https://"),
        ("[alerts.ntfy]\nurl_file", "https://ntfy.sh/", "the topic's address"),
        ("[alerts.slack]\nchannel = \"ops\"\ntoken_file", "xoxb-ä", "beyond ASCII"),
    ] {
        let file = folder.path().join("secret");
        fs::write(&file, holds).unwrap();
        let name = setting.rsplit('\n').next().unwrap();
        let text = format!("{setting} = \"{}\"\n", file.display());
        let place = setting.split(['[', ']']).nth(1).unwrap();
        let line = setting.matches('\n').count() + 1;
        refused(&text, &format!("{line} {place}.{name}"), told);
    }
}

#[test]
fn thresholds_that_cannot_be_meant_are_refused_at_their_lines() {
    let places: Vec<String> = faults(
        "[thresholds]\nhost_cpu = { critical = 190 }\ncrash_loop_deaths = 1\nhost_cpuu = 1\n",
    )
    .into_iter()
    .map(|(place, _)| place)
    .collect();
    assert_eq!(
        places,
        [
            "2 thresholds.host_cpu.critical",
            "3 thresholds.crash_loop_deaths",
            "4 thresholds.host_cpuu"
        ]
    );
    let loaded = read("[thresholds]\nhost_cpu = { critical = 80 }\n").unwrap();
    assert_eq!(loaded.settings.thresholds.host_cpu.critical, Some(80.0));
}

#[test]
fn targets_are_refused_where_they_contradict_themselves() {
    let target = |rest: &str| format!("[[target]]\nname = \"a\"\n{rest}");
    refused(&target("kind = \"http\"\n"), "1 target[0]", "`url` is missing");
    refused(
        &target("kind = \"tcp\"\nurl = \"tcp://host\"\n"),
        "4 target[0].url",
        "tcp://127.0.0.1:25",
    );
    refused(
        &target("kind = \"http\"\nurl = \"127.0.0.1:80\"\n"),
        "4 target[0].url",
        "http://127.0.0.1:8080",
    );
    refused(
        &target("kind = \"redis\"\nurl = \"redis://h\"\nbody_contains = \"x\"\n"),
        "5 target[0].body_contains",
        "a target of kind `redis` has no `body_contains`",
    );
    let twice = target("kind = \"tcp\"\nurl = \"tcp://h:1\"\n").repeat(2);
    refused(&twice, "6 target[1].name", "two targets `tcp:a`");
}

#[test]
fn an_address_in_a_message_shows_no_password() {
    let faults =
        faults("[[target]]\nkind = \"http\"\nname = \"a\"\nurl = \"redis://u:c4n4ry@h/\"\n");
    assert!(!faults[0].1.contains("c4n4ry"), "{}", faults[0].1);
}

#[test]
fn modes_are_found_by_target_then_label_then_globally_and_the_careful_one_wins() {
    let loaded = read(
        "mode = \"observe\"\n[policy.target.\"container:web\"]\nmode = \"auto\"\n[policy.runbook.container-oom]\nmode = \"approve\"\n",
    )
    .unwrap();
    let (web, api) = (TargetId::container("web"), TargetId::container("api"));
    let mode = |target, label, runbook| loaded.settings.mode_for(target, label, runbook);
    assert_eq!(mode(&web, Some(Mode::Observe), None), Mode::Auto);
    assert_eq!(mode(&web, None, Some("container-oom")), Mode::Approve);
    assert_eq!(mode(&api, None, None), Mode::Observe);
    assert_eq!(mode(&api, Some(Mode::Auto), None), Mode::Auto);
    assert_eq!(mode(&api, None, Some("other")), Mode::Observe);
}

#[test]
fn policies_name_targets_and_runbooks() {
    refused("[policy.target.web]\nmode = \"auto\"\n", "1 policy.target.web", "container:web");
    refused("[policy.runbook.Bad_Id]\nmode = \"auto\"\n", "1 policy.runbook.Bad_Id", "lower case");
}

#[test]
fn an_address_open_to_others_is_a_warning() {
    let loaded = read("[api]\nlisten = \"0.0.0.0:8003\"\n").unwrap();
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
}

#[test]
fn a_file_cut_off_anywhere_is_read_or_refused_but_never_a_crash() {
    let text = "mode = \"auto\"\n[healing]\nvalidation_window = \"2m\"\n[[target]]\nkind = \"http\"\nname = \"é\"\nurl = \"http://h/\"\n";
    let written = Written::new("");
    for end in 0..text.len() {
        fs::write(written.path(), &text.as_bytes()[..end]).unwrap();
        if let Ok(loaded) = load_from(&written.sources()) {
            assert_eq!(loaded.settings.mode, Mode::Auto);
        }
    }
}

#[test]
fn what_is_missing_or_wrong_about_e_mail_is_told_before_the_first_alert() {
    let mail = "[alerts.email]\nhost = \"mail.example.org\"\nfrom = \"a@example.org\"\n";
    let faulty = |more: &str| format!("{mail}{more}");
    refused(mail, "1 alerts.email.to", "at least one address");
    refused(&faulty("to = [\"ops\"]\n"), "4 alerts.email.to[0]", "no mail address");
    refused(
        &faulty("to = [\"ops@example.org\"]\nuser = \"me\"\n"),
        "5 alerts.email.user",
        "without `password`",
    );
    refused(
        &mail
            .replace("mail.example", "smtp://mail.example")
            .replace("from", "to = [\"a@b.c\"]\nfrom"),
        "2 alerts.email.host",
        "without scheme",
    );
    refused("[alerts.email]\nto = [\"a@b.c\"]\n", "1 alerts.email.host", "name the mail server");
}

#[test]
fn a_mail_password_in_the_clear_is_warned_of_where_it_leaves_the_machine() {
    let warned = |host: &str| {
        let text = format!(
            "[alerts.email]\nhost = \"{host}\"\ntls = \"none\"\nfrom = \"a@b.c\"\nto = [\"a@b.c\"]\nuser = \"u\"\npassword = \"p\"\n"
        );
        read(&text).unwrap().warnings.len()
    };
    assert_eq!((warned("mail.example.org"), warned("127.0.0.1")), (1, 0));
}

mod commands;

#[test]
fn quiet_hours_in_which_nothing_is_ever_told_are_refused() {
    let block = |cron: &str, lasts: &str| {
        format!("[[alerts.quiet_hours]]\ncron = \"{cron}\"\nduration = \"{lasts}\"\n")
    };
    for never_over in [
        block("0 22 * * *", "24h"),
        block("0 * * * *", "9h"),
        block("0 22 * * *", "12h") + &block("0 10 * * *", "12h"),
    ] {
        let faults = faults(&never_over);
        assert!(faults.iter().any(|(_, what)| what.contains("never end")), "{faults:?}");
    }
    for ends in
        [block("0 22 * * *", "8h"), block("0 22 * * *", "12h") + &block("0 10 * * *", "11h")]
    {
        assert!(read(&ends).is_ok(), "{ends}");
    }
}

#[test]
fn a_nodes_name_is_folded_where_it_is_read_so_that_everybody_sees_the_same() {
    let text = "[store]\nurl = \"postgres://selfheal@db/selfheal\"\n[fleet]\nnode = \"NAS.lan\"\n";
    let loaded = read(text).unwrap();
    let shown = loaded.shown().into_iter().find(|row| row.key == "fleet.node").unwrap();
    assert_eq!(shown.value, "\"nas-lan\"");
    assert!(shown.origin.ends_with(":4"), "{}", shown.origin);
    let history = loaded.settings.history().unwrap().unwrap();
    let within = loaded.settings.store.postgres().unwrap().unwrap().within("selfheal_nas-lan");
    assert_eq!(history.to_string(), within.to_string());
    for none in ["fleet", "FLEET", "..."] {
        refused(&text.replace("NAS.lan", none), "4 fleet.node", "a letter or a digit");
    }
}
