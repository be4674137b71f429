use selfheal_agents::model::{ImageName, IncidentId, Timestamp};

use super::super::tests::{NAMELESS, described};
use super::*;

const MIB: u64 = 1 << 20;

fn clone() -> RehearsalClone {
    RehearsalClone {
        name: "web.selfheal-rehearsal-0123456789ab".to_owned(),
        incident: IncidentId(uuid::Uuid::nil()),
        expires_at: Timestamp::UNIX_EPOCH,
        memory_bytes: 100 * MIB,
        own_memory_bytes: None,
        cpu_nanos: 1_000_000_000,
        own_cpu_nanos: None,
        files: vec![],
    }
}

fn document(change: impl FnOnce(&mut Value)) -> Document {
    let mut described = described();
    change(&mut described);
    Document::of(&described, None)
}

fn body_of(document: &Document) -> Value {
    let image = ImageName { id: "sha256:good".to_owned(), name: "shop:1".to_owned() };
    let source = Source { image, by_name: false };
    document.clone_body(&source, &Remake::default(), &clone())
}

#[test]
fn a_clone_is_on_no_network_has_no_port_and_is_not_restarted_or_known_to_anybody() {
    let body = body_of(&document(|d| {
        d["HostConfig"]["PortBindings"] = json!({ "80/tcp": [{ "HostPort": "80" }] });
        d["HostConfig"]["PublishAllPorts"] = json!(true);
        d["HostConfig"]["Binds"] = json!(["/srv:/srv"]);
        d["HostConfig"]["LogConfig"] = json!({ "Type": "syslog" });
    }));
    let host = &body["HostConfig"];
    assert_eq!(host["NetworkMode"], "none");
    assert_eq!(host["RestartPolicy"]["Name"], "no");
    assert_eq!(host["LogConfig"]["Type"], "json-file", "nobody else hears it");
    for gone in ["PortBindings", "PublishAllPorts", "Binds", "SomethingNew"] {
        assert_eq!(host[gone], Value::Null, "{gone}");
    }
    assert_eq!(body["NetworkingConfig"], Value::Null);
    assert_eq!(
        body["Labels"],
        json!({
            "selfheal.rehearsal": "1970-01-01T00:00:00+00:00",
            "selfheal.rehearsal.incident": "00000000-0000-0000-0000-000000000000",
        })
    );
    assert_eq!(host["ExtraHosts"], json!(["0123456789ab:127.0.0.1", "web:127.0.0.1"]));
    assert_eq!((&body["Image"], &body["Cmd"]), (&json!("sha256:good"), &json!(["serve", "v2"])));
}

#[test]
fn what_lasts_is_only_read_and_what_nobody_named_is_fresh() {
    let body = body_of(&document(|d| {
        let bind = json!({ "Type": "bind", "Source": "/host", "Destination": "/w", "RW": true });
        d["Mounts"].as_array_mut().unwrap().push(bind);
        let memory = json!({ "Type": "tmpfs", "Target": "/cache" });
        d["HostConfig"]["Mounts"].as_array_mut().unwrap().push(memory);
    }));
    let mounts = list(&body["HostConfig"]["Mounts"]);
    let seen: Vec<(&str, &str)> =
        mounts.iter().map(|m| (text(&m["Type"]), text(&m["Target"]))).collect();
    let expected = [("tmpfs", "/cache"), ("volume", "/declared"), ("bind", "/srv"), ("bind", "/w")];
    assert_eq!(seen, expected);
    let lasting = mounts.iter().filter(|mount| mount["Type"] != json!("tmpfs"));
    assert!(lasting.clone().all(|mount| mount["ReadOnly"] == json!(true)), "{mounts:?}");
    assert!(!body.to_string().contains(NAMELESS), "{body}");
    assert_eq!(body["Volumes"], json!({ "/data": {} }));
}

#[test]
fn a_clone_gets_the_lower_of_its_own_limits_and_what_there_is() {
    let limits = |change: fn(&mut Value)| {
        let body = body_of(&document(|d| change(&mut d["HostConfig"])));
        let host = &body["HostConfig"];
        assert_eq!(host["Memory"], host["MemorySwap"]);
        (host["Memory"].as_u64().unwrap(), host["NanoCpus"].as_u64().unwrap())
    };
    assert_eq!(limits(|host| host["Memory"] = json!(0)), (100 * MIB, 1_000_000_000));
    assert_eq!(limits(|host| host["Memory"] = json!(7 * MIB)).0, 7 * MIB);
    assert_eq!(limits(|host| host["Memory"] = json!(900 * MIB)).0, 100 * MIB);
    assert_eq!(limits(|host| host["NanoCpus"] = json!(5)).1, 5);
    assert_eq!(limits(|host| host["CpuQuota"] = json!(50_000)).1, 500_000_000);
    assert_eq!(limits(|host| host["CpuQuota"] = json!(-1)).1, 1_000_000_000);
}

#[test]
fn a_clone_has_the_limits_that_the_fix_gives_it() {
    let document = document(|d| {
        d["HostConfig"]["Memory"] = json!(7 * MIB);
        d["HostConfig"]["NanoCpus"] = json!(5);
    });
    let image = ImageName { id: "sha256:good".to_owned(), name: "shop:1".to_owned() };
    let source = Source { image, by_name: false };
    for (own, expected) in [(50, 50), (2_000_000_000, 1_000_000_000)] {
        let fixed =
            RehearsalClone { own_memory_bytes: Some(9 * MIB), own_cpu_nanos: Some(own), ..clone() };
        let host = &document.clone_body(&source, &Remake::default(), &fixed)["HostConfig"];
        assert_eq!((&host["Memory"], &host["NanoCpus"]), (&json!(9 * MIB), &json!(expected)));
    }
}

#[test]
fn a_clone_has_a_limit_of_processes_also_where_its_container_has_none() {
    for (own, expected) in [
        (Value::Null, MOST_PROCESSES),
        (json!(0), MOST_PROCESSES),
        (json!(-1), MOST_PROCESSES),
        (json!(70), 70),
    ] {
        let body = body_of(&document(|d| d["HostConfig"]["PidsLimit"] = own.clone()));
        assert_eq!(body["HostConfig"]["PidsLimit"], json!(expected), "{own}");
    }
}

#[test]
fn what_would_not_be_alone_is_not_cloned() {
    for (field, value) in [
        ("Privileged", json!(true)),
        ("Devices", json!([{ "PathOnHost": "/dev/sda" }])),
        ("DeviceRequests", json!([{ "Driver": "nvidia" }])),
        ("VolumesFrom", json!(["db"])),
        ("PidMode", json!("host")),
        ("IpcMode", json!("container:db")),
        ("UTSMode", json!("host")),
        ("Runtime", json!("nvidia")),
        ("CapAdd", json!(["CAP_SYS_ADMIN"])),
        ("CapAdd", json!(["NET_RAW", "ALL"])),
    ] {
        let refused = document(|d| d["HostConfig"][field] = value.clone()).check_clone();
        assert!(refused.is_err(), "{field} {value}");
    }
    let odd = json!({ "Type": "npipe", "Destination": "/x" });
    let refused = document(|d| d["Mounts"].as_array_mut().unwrap().push(odd)).check_clone();
    assert!(refused.is_err());
    let fine = document(|d| {
        d["HostConfig"]["CapAdd"] = json!(["CAP_NET_ADMIN", "sys_nice"]);
        d["HostConfig"]["IpcMode"] = json!("private");
        d["HostConfig"]["Runtime"] = json!("runc");
        d["HostConfig"]["NetworkMode"] = json!("host");
    });
    assert_eq!(fine.check_clone(), Ok(()));
}
