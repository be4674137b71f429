use selfheal_agents::model::SecretText;

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
pub(super) const NAMELESS: &str =
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// What Docker 20.10 says of a container made by Compose.
pub(super) fn described() -> Value {
    json!({
        "Id": ID,
        "Image": "sha256:bad",
        "Config": {
            "Hostname": "0123456789ab",
            "User": "app",
            "Env": ["PATH=/bin", "VERSION=2", "URL=db"],
            "Cmd": ["serve", "v2"],
            "Entrypoint": null,
            "Image": "shop:latest",
            "Volumes": { "/data": {} },
            "WorkingDir": "/srv/mine",
            "Labels": { "com.docker.compose.service": "web", "version": "2" },
            "ExposedPorts": { "80/tcp": {}, "81/tcp": {} },
            "Healthcheck": { "Test": ["CMD", "v2"], "Interval": 5 },
            "StopSignal": "SIGINT",
        },
        "HostConfig": {
            "NetworkMode": "front",
            "Binds": ["/srv:/srv:ro"],
            "Mounts": [{ "Type": "volume", "Target": "/declared" }],
            "RestartPolicy": { "Name": "on-failure", "MaximumRetryCount": 3 },
            "Memory": 1024,
            "SomethingNew": { "Kept": true },
        },
        "NetworkSettings": { "Networks": {
            "back": {
                "Aliases": ["web", "0123456789ab"],
                "IPAMConfig": { "IPv4Address": "10.0.0.9" },
                "IPAddress": "10.0.0.9",
                "MacAddress": "02:42:0a:00:00:09",
            },
            "front": { "Aliases": null, "IPAMConfig": null, "IPAddress": "10.1.0.4" },
        } },
        "Mounts": [
            { "Type": "bind", "Source": "/srv", "Destination": "/srv", "RW": false },
            { "Type": "volume", "Name": NAMELESS, "Destination": "/data", "RW": true },
            { "Type": "volume", "Name": "declared-one", "Destination": "/declared", "RW": true },
        ],
    })
}

/// What the image that it is made from brings along.
fn image() -> Value {
    json!({
        "User": "app",
        "Env": ["PATH=/bin", "VERSION=2"],
        "Cmd": ["serve", "v2"],
        "Entrypoint": null,
        "WorkingDir": "/srv",
        "Labels": { "version": "2" },
        "ExposedPorts": { "80/tcp": {} },
        "Volumes": { "/data": {} },
        "Healthcheck": { "Test": ["CMD", "v2"] },
        "StopSignal": "SIGINT",
    })
}

fn named(id: &str, name: &str) -> ImageName {
    ImageName { id: id.to_owned(), name: name.to_owned() }
}

fn from_good_image(by_name: bool) -> Value {
    let good = named("sha256:good", "shop:1");
    let remake = Remake { image: Some(good.clone()), mark: "m".to_owned(), ..Remake::default() };
    let document = Document::of(&described(), Some(&image()));
    document.body(&Source { image: good, by_name }, &remake)
}

fn as_it_was(variables: &[(&str, &str)]) -> Value {
    let document = Document::of(&described(), Some(&image()));
    let variables = variables.iter().map(|(n, v)| ((*n).to_owned(), SecretText::new(*v)));
    let remake =
        Remake { variables: variables.collect(), mark: "m".to_owned(), ..Remake::default() };
    document.body(&Source { image: document.image(), by_name: true }, &remake)
}

#[test]
fn with_another_image_only_what_was_asked_for_is_taken_along() {
    let body = from_good_image(true);
    assert_eq!(body["Image"], "shop:1");
    assert_eq!(body["Env"], json!(["URL=db"]));
    assert_eq!(body["Cmd"], Value::Null);
    assert_eq!(body["User"], Value::Null);
    assert_eq!(body["WorkingDir"], "/srv/mine");
    assert_eq!(body["ExposedPorts"], json!({ "81/tcp": {} }));
    assert_eq!(body["Healthcheck"], json!({ "Interval": 5 }));
    let labels = json!({ "com.docker.compose.service": "web", "selfheal.recreate": "m" });
    assert_eq!(body["Labels"], labels);
}

#[test]
fn with_the_same_image_all_is_as_docker_says_and_variables_are_added() {
    let body = as_it_was(&[("TOKEN", "x=y"), ("URL", "other")]);
    assert_eq!(body["Image"], "shop:latest");
    assert_eq!(body["Env"], json!(["PATH=/bin", "VERSION=2", "TOKEN=x=y", "URL=other"]));
    assert_eq!(body["Cmd"], json!(["serve", "v2"]));
    assert_eq!(body["Healthcheck"], described()["Config"]["Healthcheck"]);
}

#[test]
fn an_image_whose_name_means_another_by_now_is_used_by_its_id_and_says_its_name() {
    let body = from_good_image(false);
    assert_eq!(body["Image"], "sha256:good");
    assert_eq!(body["Labels"][IMAGE_LABEL], "shop:1");
    // And made again from that, it still knows it.
    let mut made = described();
    made["Config"] = body;
    made["Image"] = json!("sha256:good");
    assert_eq!(Document::of(&made, None).image(), named("sha256:good", "shop:1"));
}

#[test]
fn volumes_without_a_name_are_mounted_again_and_named_ones_once() {
    let host = &as_it_was(&[])["HostConfig"];
    assert_eq!(host["Binds"], json!(["/srv:/srv:ro", format!("{NAMELESS}:/data")]));
    let declared = json!([{ "Type": "volume", "Target": "/declared", "Source": "declared-one" }]);
    assert_eq!(host["Mounts"], declared);
    assert_eq!(host["SomethingNew"], json!({ "Kept": true }), "what nobody here knows is kept");
}

#[test]
fn networks_are_as_asked_for_and_not_as_given() {
    let document = Document::of(&described(), None);
    let front = json!({ "IPAMConfig": null, "Links": null, "Aliases": [], "DriverOpts": null });
    let back = json!({
        "IPAMConfig": { "IPv4Address": "10.0.0.9" },
        "Links": null,
        "Aliases": ["web"],
        "DriverOpts": null,
    });
    let both = [("back".to_owned(), back), ("front".to_owned(), front.clone())];
    assert_eq!(document.endpoints(), both);
    let body = as_it_was(&[]);
    assert_eq!(body["NetworkingConfig"], json!({ "EndpointsConfig": { "front": front } }));
    assert_eq!(body["Hostname"], "", "the old short id is no name for the new one");
}

#[test]
fn what_cannot_be_made_again_just_like_that_says_why() {
    let checked = |change: fn(&mut Value)| {
        let mut described = described();
        change(&mut described);
        Document::of(&described, None).check()
    };
    assert_eq!(checked(|_| {}), Ok(()));
    for (change, word) in [
        ((|c| c["HostConfig"]["AutoRemove"] = json!(true)) as fn(&mut Value), "--rm"),
        (|c| c["HostConfig"]["NetworkMode"] = json!("container:x"), "network of another"),
        (|c| c["HostConfig"]["Links"] = json!(["/db:/web/db"]), "--link"),
        (|c| c["Config"]["Labels"]["com.docker.swarm.service.id"] = json!("x"), "Swarm"),
        (|c| c["Image"] = Value::Null, "does not say"),
    ] {
        let why = checked(change).unwrap_err();
        assert!(why.contains(word), "{why}");
    }
}

#[test]
fn it_is_read_as_it_was_written() {
    let document = Document::of(&described(), Some(&image()));
    let read = Document::read(&document.to_text()).unwrap();
    assert_eq!((read.0.clone(), read.id()), (document.0, ID.to_owned()));
    assert_eq!(read.restart_policy()["MaximumRetryCount"], 3);
}
