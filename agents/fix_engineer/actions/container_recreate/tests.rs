use super::*;
use crate::fakes::{Failure, FakeWorld, container, environment, labels, network};
use crate::model::RestartPolicy;

const MARK: &str = "0123456789ab";

fn recreate(restores: Restores) -> ContainerRecreate {
    ContainerRecreate {
        container: "web".to_owned(),
        restores,
        mark: MARK.to_owned(),
        stop_timeout_secs: 1,
    }
}

fn with_old_image() -> ContainerRecreate {
    let (id, name) = ("sha256:good".to_owned(), "web:1".to_owned());
    recreate(Restores::Image(ImageName { id, name }))
}

fn with_variable() -> ContainerRecreate {
    let values = environment(&[("DATABASE_URL", "secret")]);
    recreate(Restores::Variables { names: vec!["DATABASE_URL".to_owned()], values })
}

/// A container on two networks that Docker restarts, and an image it was made from before.
fn world() -> FakeWorld {
    let fake = FakeWorld::default();
    let mut web = container("web");
    web.networks.push(network("front", "web"));
    web.restart_policy = RestartPolicy::Always;
    fake.add(web).image("sha256:good", &[]);
    fake
}

fn picture(fake: &FakeWorld) -> (Vec<String>, ContainerFacts) {
    let facts = fake.facts("web");
    // A stop and a start in between are seen by its times, and by nothing else.
    let untimed = ContainerFacts { started_at: None, finished_at: None, ..facts };
    (fake.names(), untimed)
}

#[tokio::test]
async fn it_is_made_again_with_what_it_had_and_the_old_one_kept_until_that_is_proven() {
    let fake = world();
    let (world, fix) = (fake.world(), with_old_image());
    let before = fix.capture(&world).await.unwrap();
    assert!(!fix.is_applied(&world, &before).await.unwrap());
    fix.apply(&world, &before).await.unwrap();
    assert!(fix.is_applied(&world, &before).await.unwrap());
    let now = fake.facts("web");
    assert!(now.is_up());
    assert_eq!((now.image_id.as_str(), now.image.as_str()), ("sha256:good", "web:1"));
    assert_eq!(now.restart_policy, RestartPolicy::Always);
    assert_eq!(now.networks.len(), 2);
    let aside = aside_name("web", MARK);
    let kept = fake.facts(&aside);
    assert!(!kept.is_up());
    assert_eq!(kept.restart_policy, RestartPolicy::No, "a reboot must not start both");

    for _ in 0..2 {
        fix.settle(&world, &before).await.unwrap();
        assert_eq!(fake.names(), ["web"]);
    }
    assert_eq!(fake.facts("web").id, now.id);
}

#[tokio::test]
async fn a_lost_variable_is_given_back_and_stands_in_no_record_but_the_backup() {
    let fake = world();
    let (world, fix) = (fake.world(), with_variable());
    let before = fix.capture(&world).await.unwrap();
    let written = serde_json::to_string(&fix).unwrap() + &format!("{fix:?} {before:?}");
    assert!(written.contains("DATABASE_URL") && !written.contains("secret"), "{written}");
    let kept = serde_json::to_value(&before).unwrap();
    assert_eq!(serde_json::from_value::<Captured>(kept).unwrap(), before);

    fix.apply(&world, &before).await.unwrap();
    assert_eq!(fake.facts("web").environment["DATABASE_URL"].expose(), "secret");

    // What is read from a record has no values: they are recalled, or nothing is begun.
    let mut read: ContainerRecreate =
        serde_json::from_value(serde_json::to_value(&fix).unwrap()).unwrap();
    let lacks = read.capture(&world).await.unwrap_err();
    assert_eq!(lacks.to_string(), "the value of DATABASE_URL does not exist");
    let make = crate::fix_engineer::remembered::GoodMake::of(&fake.facts("web"), crate::fakes::start_time());
    read.recall(&Remembered { make, ..Remembered::default() });
    assert_eq!(read, fix);
}

/// The calls that change something, in the order of applying and then of undoing.
const CALLS: [&str; 7] = ["set_aside", "make", "start", "stop", "remove", "put_back", "container"];

#[tokio::test]
async fn cut_off_at_any_call_it_is_finished_by_applying_again() {
    for failure in [Failure::Unreachable, Failure::TimedOutAfterwards] {
        for call in CALLS {
            let fake = world();
            let (world, fix) = (fake.world(), with_old_image());
            let before = fix.capture(&world).await.unwrap();
            fake.fail_next(call, &failure, 1);
            let _ = fix.apply(&world, &before).await;
            fix.apply(&world, &before).await.unwrap();
            assert!(fix.is_applied(&world, &before).await.unwrap(), "{call} {failure:?}");
            assert_eq!(fake.names().len(), 2, "{call} {failure:?}");
        }
    }
}

#[tokio::test]
async fn cut_off_at_any_call_it_is_undone_to_exactly_what_was() {
    for failure in [Failure::Unreachable, Failure::TimedOutAfterwards] {
        for (applying, undoing) in CALLS.iter().flat_map(|a| CALLS.iter().map(move |u| (a, u))) {
            let fake = world();
            let (world, fix) = (fake.world(), with_variable());
            let before = fix.capture(&world).await.unwrap();
            let was = picture(&fake);
            fake.fail_next(applying, &failure, 1);
            let _ = fix.apply(&world, &before).await;
            assert!(fix.is_begun(&world, &before).await.is_ok());
            fake.fail_next(undoing, &failure, 1);
            // What was not reached while applying may still be in store.
            for _ in 0..2 {
                let _ = fix.undo(&world, &before).await;
            }
            fix.undo(&world, &before).await.unwrap();
            assert_eq!(picture(&fake), was, "{applying} {undoing} {failure:?}");
            assert!(!fix.is_applied(&world, &before).await.unwrap());
        }
    }
}

#[tokio::test]
async fn one_that_lay_still_is_left_lying_by_an_undo() {
    let fake = world();
    fake.crash("web", 1);
    let (world, fix) = (fake.world(), with_old_image());
    let before = fix.capture(&world).await.unwrap();
    fix.apply(&world, &before).await.unwrap();
    fix.undo(&world, &before).await.unwrap();
    assert!(!fake.facts("web").is_up());
    assert_eq!(fake.facts("web").id, "id-of-web");
}

#[tokio::test]
async fn long_after_it_was_kept_an_undo_makes_the_old_one_again() {
    let fake = world();
    fake.image("sha256:web", &[]);
    let (world, fix) = (fake.world(), with_old_image());
    let before = fix.capture(&world).await.unwrap();
    fix.apply(&world, &before).await.unwrap();
    fix.settle(&world, &before).await.unwrap();
    for _ in 0..2 {
        fix.undo(&world, &before).await.unwrap();
        let now = fake.facts("web");
        assert_eq!((now.image_id.as_str(), now.is_up()), ("sha256:web", true));
        assert_eq!(fix.overtaken(&world, &before).await.unwrap(), None);
    }
    assert_eq!(fake.names(), ["web"]);
}

#[tokio::test]
async fn what_works_is_not_taken_away_where_the_old_one_cannot_be_made_any_more() {
    let fake = world();
    let (world, fix) = (fake.world(), with_old_image());
    let before = fix.capture(&world).await.unwrap();
    fix.apply(&world, &before).await.unwrap();
    fix.settle(&world, &before).await.unwrap();
    let works = picture(&fake);
    assert!(fix.undo(&world, &before).await.is_err());
    assert_eq!(picture(&fake), works);
}

#[tokio::test]
async fn what_somebody_made_meanwhile_is_not_touched() {
    let fake = world();
    let (world, fix) = (fake.world(), with_old_image());
    let before = fix.capture(&world).await.unwrap();
    fake.deploys("web", |facts| facts.image_id = "sha256:newer".to_owned());
    let refused = fix.apply(&world, &before).await;
    assert!(matches!(refused, Err(WorldError::Conflict { .. })), "{refused:?}");
    assert!(!fix.is_begun(&world, &before).await.unwrap(), "there is nothing to undo");
    assert!(fake.facts("web").is_up());

    // A mark of another fix is a stranger's as well.
    fake.change("web", |facts| facts.labels = labels(&[(REMADE_LABEL, "another")]));
    let words = fix.overtaken(&world, &before).await.unwrap().unwrap();
    assert!(words.starts_with("container `web` was made anew since"), "{words}");
    fake.remove("web");
    let words = fix.overtaken(&world, &before).await.unwrap().unwrap();
    assert_eq!(words, "container `web` was removed since");
}
