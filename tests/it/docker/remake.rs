//! A container is made again, and put back, as it was: volumes, networks, names, policies.

use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, RestartPolicy,
    RestartPolicyNameEnum,
};
use selfheal_agents::fix_engineer::actions::{Act as _, ContainerRecreate, Restores};
use selfheal_agents::model::{
    Captured, ImageName, REMADE_LABEL, Remake, SecretText, aside_name, is_set_aside,
};
use selfheal_agents::ports::{ContainerRuntime as _, Remakes as _, World, WorldError};

use super::bench::{Bench, on_a_bench, on_network, removed_at_its_end};

const MARK: &str = "0123456789ab";

/// Restarted by Docker up to three times, with a volume nobody named, on two networks.
pub(super) async fn service(bench: &Bench) -> String {
    let (front, back) = (bench.network("front").await, bench.network("back").await);
    let script = "test -e /data/mark || echo $HOSTNAME > /data/mark; sleep 1000";
    let body = on_network(bench.script(script), &front, "api");
    let host = body.host_config.clone().unwrap_or_default();
    let policy = RestartPolicy {
        name: Some(RestartPolicyNameEnum::ON_FAILURE),
        maximum_retry_count: Some(3),
    };
    let body = ContainerCreateBody {
        volumes: Some(vec!["/data".to_owned()]),
        host_config: Some(HostConfig { restart_policy: Some(policy), ..host }),
        ..body
    };
    let name = bench.run("web", body).await;
    let attachment = selfheal_agents::model::NetworkAttachment {
        network: back,
        aliases: vec!["inside".to_owned()],
        ip: None,
        fixed_ip: None,
    };
    bench.docker.connect_network(&name, &attachment).await.unwrap();
    bench.clears_away(&aside_name(&name, MARK));
    bench.clears_away_volumes_of(&name).await;
    name
}

pub(super) fn with_variable(name: &str) -> ContainerRecreate {
    let variable = ("TOKEN".to_owned(), SecretText::new("x=y"));
    ContainerRecreate {
        container: name.to_owned(),
        restores: Restores::Variables {
            names: vec![variable.0.clone()],
            values: [variable].into(),
        },
        mark: MARK.to_owned(),
        stop_timeout_secs: 1,
    }
}

/// The world with this engine, of which nothing else is asked.
fn world(bench: &Bench) -> World {
    let runtime = std::sync::Arc::new(bench.docker.clone());
    World { runtime, ..selfheal_agents::fakes::FakeWorld::default().world() }
}

#[tokio::test]
async fn a_container_is_made_again_on_its_volumes_and_networks_and_the_old_one_goes() {
    on_a_bench(|bench| async {
        let name = service(bench).await;
        let (world, fix) = (world(bench), with_variable(&name));
        let old = bench.docker.container(&name).await.unwrap();
        let before = fix.capture(&world).await.unwrap();
        for _ in 0..2 {
            fix.apply(&world, &before).await.unwrap();
            assert!(fix.is_applied(&world, &before).await.unwrap());
        }
        let now = bench.docker.container(&name).await.unwrap();
        assert_ne!(now.id, old.id);
        assert_eq!(now.environment["TOKEN"].expose(), "x=y");
        assert_eq!(now.mounts, old.mounts, "the same volume without a name");
        assert_eq!((&now.image, &now.image_id), (&old.image, &old.image_id));
        assert_eq!(now.restart_policy, old.restart_policy);
        let names = |facts: &selfheal_agents::model::ContainerFacts| -> Vec<_> {
            facts.networks.iter().map(|n| (n.network.clone(), n.aliases.clone())).collect()
        };
        assert_eq!(names(&now), names(&old));
        let aside = bench.docker.container(&aside_name(&name, MARK)).await.unwrap();
        assert_eq!((aside.id.as_str(), aside.is_up()), (old.id.as_str(), false));
        assert_eq!(aside.restart_policy, selfheal_agents::model::RestartPolicy::No);

        for _ in 0..2 {
            fix.settle(&world, &before).await.unwrap();
        }
        let all = bench.docker.containers().await.unwrap();
        assert!(!all.iter().any(|c| is_set_aside(&c.name) && c.name.starts_with(&name)));
        // Its data outlive it.
        bench.docker.restart(&name, None, 0).await.unwrap();
        assert!(bench.docker.container(&name).await.unwrap().is_up());
        assert_eq!(bench.docker.container(&name).await.unwrap().mounts, old.mounts);
    })
    .await;
}

#[tokio::test]
async fn an_undo_brings_the_very_same_container_back_from_wherever_it_was_cut_off() {
    on_a_bench(|bench| async {
        let name = service(bench).await;
        let (world, fix) = (world(bench), with_variable(&name));
        let old = bench.docker.container(&name).await.unwrap();
        let before = fix.capture(&world).await.unwrap();
        let Captured::Made { blueprint, remake } = &before else { panic!("{before:?}") };
        let aside = aside_name(&name, MARK);
        // How far applying came before the undo.
        for stage in 0..5 {
            if stage > 0 {
                bench.docker.stop(&name, 0).await.unwrap();
            }
            if stage > 1 {
                bench.docker.set_aside(&name, &blueprint.id, &aside, 0).await.unwrap();
            }
            if stage > 2 {
                bench.docker.make(&name, blueprint, remake).await.unwrap();
            }
            if stage > 3 {
                bench.docker.start(&name).await.unwrap();
            }
            for _ in 0..2 {
                fix.undo(&world, &before).await.unwrap();
            }
            let now = bench.docker.container(&name).await.unwrap();
            assert_eq!((&now.id, now.is_up()), (&old.id, true), "after stage {stage}");
            assert_eq!(now.restart_policy, old.restart_policy);
            assert_eq!(now.networks.len(), 2);
            let gone = bench.docker.container(&aside).await;
            assert!(matches!(gone, Err(WorldError::NotFound { .. })), "{gone:?}");
        }
        let again = bench.docker.blueprint(&name).await.unwrap();
        assert_eq!(again.document, blueprint.document, "to the last option");
    })
    .await;
}

#[tokio::test]
async fn the_image_it_worked_with_is_used_although_its_name_means_another() {
    on_a_bench(|bench| async {
        let good = bench.docker.container(&bench.run("old", bench.script("sleep 1")).await).await;
        let good = good.unwrap();
        // Made from another image, with arguments and a variable that this one brought along.
        let newer = bench.image("newer", &["ENV VERSION=2", "CMD [\"sleep\", \"7\"]"]).await;
        let body = ContainerCreateBody {
            image: Some(newer),
            env: Some(vec!["PATH=/bin".to_owned(), "MINE=1".to_owned()]),
            ..ContainerCreateBody::default()
        };
        let name = bench.run("web", body).await;
        let renamed = ImageName { id: good.image_id.clone(), name: "no-such-name:1".to_owned() };
        let fix = ContainerRecreate { restores: Restores::Image(renamed), ..with_variable(&name) };
        let world = world(bench);
        let before = fix.capture(&world).await.unwrap();
        let Captured::Made { blueprint, remake } = &before else { panic!("{before:?}") };
        bench.docker.set_aside(&name, &blueprint.id, &aside_name(&name, MARK), 0).await.unwrap();
        bench.docker.make(&name, blueprint, remake).await.unwrap_err();
        // The image has no program of its own to run: only what was asked for was taken along.
        fix.undo(&world, &before).await.unwrap();

        let asked = ContainerCreateBody {
            cmd: Some(vec!["sleep".to_owned(), "9".to_owned()]),
            ..bench.script("")
        };
        let asked = ContainerCreateBody { image: Some(bench.name("newer:1")), ..asked };
        let name = bench.run("api", asked).await;
        let fix = ContainerRecreate { container: name.clone(), ..fix };
        let before = fix.capture(&world).await.unwrap();
        fix.apply(&world, &before).await.unwrap();
        let now = bench.docker.container(&name).await.unwrap();
        assert_eq!((now.image_id, now.image.as_str()), (good.image_id, "no-such-name:1"));
        assert_eq!(now.command.expose(), "sleep\n9");
        assert!(!now.environment.contains_key("VERSION"));
        fix.settle(&world, &before).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_chosen_address_is_asked_for_again_and_a_given_one_is_not() {
    on_a_bench(|bench| async {
        let net = format!("10.213.{}", std::process::id() % 250);
        let address = format!("{net}.9");
        let network = bench.network_of("fixed", Some(format!("{net}.0/24"))).await;
        let mut body = on_network(bench.script("sleep 1000"), &network, "api");
        let chosen = EndpointSettings {
            ipam_config: Some(EndpointIpamConfig {
                ipv4_address: Some(address.clone()),
                ..EndpointIpamConfig::default()
            }),
            ..EndpointSettings::default()
        };
        let networking = body.networking_config.get_or_insert_default();
        networking.endpoints_config = Some([(network.clone(), chosen)].into());
        let name = bench.run("web", body).await;
        let (world, fix) = (world(bench), with_variable(&name));
        let before = fix.capture(&world).await.unwrap();
        fix.apply(&world, &before).await.unwrap();
        let now = bench.docker.container(&name).await.unwrap();
        assert_eq!(now.networks[0].fixed_ip.as_deref(), Some(address.as_str()));
        assert_eq!(now.ip(), Some(address.as_str()));
        fix.undo(&world, &before).await.unwrap();
        assert_eq!(bench.docker.container(&name).await.unwrap().ip(), Some(address.as_str()));
    })
    .await;
}

#[tokio::test]
async fn what_is_not_the_one_that_was_meant_is_neither_moved_nor_replaced_nor_removed() {
    on_a_bench(|bench| async {
        let name = bench.run("web", bench.script("sleep 1000")).await;
        let other = bench.run("other", bench.script("sleep 1000")).await;
        let blueprint = bench.docker.blueprint(&name).await.unwrap();
        let aside = aside_name(&other, MARK);
        let refused = bench.docker.set_aside(&other, &blueprint.id, &aside, 0).await;
        assert!(matches!(refused, Err(WorldError::Conflict { .. })), "{refused:?}");
        let remake = Remake { mark: MARK.to_owned(), ..Remake::default() };
        let refused = bench.docker.make(&other, &blueprint, &remake).await;
        assert!(matches!(refused, Err(WorldError::Conflict { .. })), "{refused:?}");
        bench.docker.remove(&other, &blueprint.id).await.unwrap();
        let now = bench.docker.container(&other).await.unwrap();
        assert!(now.is_up() && !now.labels.contains_key(REMADE_LABEL));

        let fleeting = bench.run("fleeting", removed_at_its_end(bench.script("sleep 1000"))).await;
        let refused = bench.docker.blueprint(&fleeting).await.unwrap_err();
        assert!(refused.to_string().contains("--rm"), "{refused}");
        let gone = bench.docker.image("sha256:0000000000000000").await;
        assert!(matches!(gone, Err(WorldError::NotFound { .. })), "{gone:?}");
    })
    .await;
}
