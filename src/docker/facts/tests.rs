use super::*;

/// Answers of Docker 20.10 on cgroup v1, without parts that are not read.
const UNHEALTHY: &str = include_str!("tests/unhealthy.json");
const EXITED: &str = include_str!("tests/exited.json");
const START_FAILED: &str = include_str!("tests/start_failed.json");

fn facts(json: &str) -> ContainerFacts {
    of_inspect(&serde_json::from_str(json).unwrap())
}

/// The recorded answer with one part replaced.
fn changed(json: &str, pointer: &str, to: serde_json::Value) -> ContainerFacts {
    let mut answer: serde_json::Value = serde_json::from_str(json).unwrap();
    *answer.pointer_mut(pointer).unwrap() = to;
    of_inspect(&serde_json::from_value(answer).unwrap())
}

#[test]
fn an_unhealthy_container_is_read_in_full() {
    let facts = facts(UNHEALTHY);
    assert_eq!((facts.name.as_str(), facts.image.as_str()), ("web", "shop:1"));
    assert_eq!((facts.id.len(), facts.image_id.starts_with("sha256:")), (64, true));
    assert_eq!(
        (facts.status, facts.health),
        (ContainerStatus::Running, Some(HealthStatus::Unhealthy))
    );
    assert!(facts.is_up() && facts.exit_code.is_none() && facts.finished_at.is_none());
    assert!(facts.started_at > facts.created_at);
    assert_eq!((facts.restart_policy, facts.restart_count), (RestartPolicy::OnFailure, 0));
    assert_eq!(facts.labels["selfheal.mode"], "observe");
    assert_eq!((facts.stop_timeout_secs, facts.stop_signal.as_deref()), (Some(4), Some("SIGINT")));
    assert_eq!(facts.exposed_ports, [8080, 9090], "TCP only, sorted");
    let mib = 1024 * 1024;
    let limits = MemoryLimits { memory_bytes: Some(64 * mib), memory_swap_bytes: Some(128 * mib) };
    assert_eq!(facts.limits, limits);
    assert_eq!(facts.mounts.len(), 1);
    let mount = &facts.mounts[0];
    assert!(mount.bind && !mount.writable && mount.destination == "/data");
}

#[test]
fn the_health_check_is_told_with_dockers_defaults() {
    let facts = facts(UNHEALTHY);
    let check = facts.health_check.unwrap();
    assert_eq!(check.test, ["CMD-SHELL", "echo probe says no; exit 1"]);
    assert_eq!(
        (check.interval, check.start_period),
        (Duration::from_secs(1), Duration::from_secs(2))
    );
    assert_eq!((check.timeout, check.retries), (DEFAULT_HEALTH_TIME, 1));
    let last = facts.health_log.last().unwrap();
    assert_eq!((last.exit_code, last.output.as_str()), (1, "probe says no"));
    assert!(last.at.is_some());
}

#[test]
fn a_disabled_health_check_is_none() {
    let facts = changed(UNHEALTHY, "/Config/Healthcheck/Test", serde_json::json!(["NONE"]));
    assert_eq!(facts.health_check, None);
}

#[test]
fn networks_keep_the_aliases_people_gave() {
    let facts = facts(UNHEALTHY);
    assert_eq!(facts.networks.len(), 1);
    assert_eq!(
        (facts.networks[0].network.as_str(), facts.network_mode.as_str()),
        ("front", "front")
    );
    assert_eq!(facts.networks[0].aliases, ["api"], "Docker's own short id is no alias");
    assert_eq!(facts.ip(), Some("172.18.0.2"));
}

#[test]
fn environment_values_are_secrets_split_at_the_first_sign() {
    let facts = facts(UNHEALTHY);
    assert_eq!(facts.environment["URL"].expose(), "a=b");
    assert_eq!(facts.environment["EMPTY"].expose(), "");
    assert!(!format!("{facts:?}").contains("hunter2"));
}

#[test]
fn an_exited_container_has_an_exit_code_and_an_end() {
    let facts = facts(EXITED);
    assert_eq!((facts.status, facts.exit_code), (ContainerStatus::Exited, Some(3)));
    assert!(facts.finished_at >= facts.started_at);
    assert_eq!((facts.health, facts.limits), (None, MemoryLimits::default()));
    assert_eq!(facts.ip(), None);
}

#[test]
fn a_failed_start_tells_why_and_that_it_never_ran() {
    let facts = facts(START_FAILED);
    assert_eq!((facts.status, facts.exit_code), (ContainerStatus::Created, Some(127)));
    assert!(facts.start_error.contains("/nothing"), "{}", facts.start_error);
    assert_eq!((facts.started_at, facts.finished_at), (None, None));
}

#[test]
fn unlimited_is_none_whichever_way_docker_writes_it() {
    for unlimited in [0, -1] {
        let facts = changed(UNHEALTHY, "/HostConfig/MemorySwap", unlimited.into());
        assert_eq!(facts.limits.memory_swap_bytes, None);
    }
}

#[test]
fn words_of_other_engines_do_not_fail_the_answer() {
    let stopped = changed(EXITED, "/State/Status", "stopped".into());
    assert_eq!(stopped.status, ContainerStatus::Exited);
    let strange = changed(EXITED, "/State/Status", "hibernating".into());
    assert_eq!(strange.status, ContainerStatus::Unknown);
    let policy = changed(EXITED, "/HostConfig/RestartPolicy/Name", "sometimes".into());
    assert_eq!(policy.restart_policy, RestartPolicy::No);
}

#[test]
fn an_almost_empty_answer_is_a_container_of_which_little_is_known() {
    let facts = facts(r#"{"Id":"ab","Name":"/x","Config":null,"Mounts":null,"State":{}}"#);
    assert_eq!((facts.name.as_str(), facts.status), ("x", ContainerStatus::Unknown));
}

#[test]
fn probe_outputs_are_bounded_and_without_secrets() {
    let output = format!("password=hunter2 {}", "x".repeat(5000));
    let facts = changed(UNHEALTHY, "/State/Health/Log/0/Output", output.into());
    let output = &facts.health_log[0].output;
    assert!(output.chars().count() <= LONGEST_OUTPUT && !output.contains("hunter2"), "{output}");
}

#[test]
fn the_list_alone_gives_the_containers_own_name() {
    let listed: Listed = serde_json::from_str(
        r#"{"Id":"c1","Names":["/other/db","/db"],"Image":"pg","State":"hibernating","Labels":null}"#,
    )
    .unwrap();
    let facts = of_list(&listed);
    assert_eq!((facts.name.as_str(), facts.status), ("db", ContainerStatus::Unknown));
}

#[test]
fn a_port_is_reached_from_outside_where_every_address_of_the_host_has_it() {
    let bindings = serde_json::json!({
        "80/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "8080" }, { "HostIp": "::", "HostPort": "81" }],
        "5432/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "5432" }],
        "53/udp": [{ "HostIp": "", "HostPort": "53" }],
        "6379/tcp": [{ "HostIp": "", "HostPort": "16379" }],
        "9000/tcp": [{ "HostIp": "", "HostPort": "" }],
    });
    let facts = changed(UNHEALTHY, "/HostConfig/PortBindings", bindings);
    assert_eq!(facts.outside.ports, BTreeMap::from([(80, 81), (6379, 16379)]));
    assert_eq!(facts.published_ports, [81, 5432, 8080, 16379]);
}
