//! Plans making a container again: only what is known to have worked comes back.

use super::super::Action;
use super::{ContainerRecreate, Restores};
use crate::fix_engineer::plan::{PlanRequest, Planned, keeps_data, repair};
use crate::fix_engineer::remembered::{GoodMake, Images};
use crate::model::{ContainerFacts, ImageFacts, MountFacts, RestoreWhat, time_ordered_id};
use crate::ports::{World, if_there};

/// Digits of the mark; as many as Docker's own short ids have.
const MARK_DIGITS: usize = 12;

pub(crate) async fn plan(request: &PlanRequest<'_>) -> Planned {
    let facts = request.container()?;
    let remembered = &request.workshop.remembered;
    let make = remembered.make.as_ref().ok_or("it was never seen to work for long")?;
    if make.container_id == facts.id {
        return Err("it was not made anew since it worked".to_owned());
    }
    let world = request.workshop.world;
    let restores = match request.template.parameters.restores {
        Some(RestoreWhat::Image) => image(world, make, facts).await?,
        Some(RestoreWhat::Variables) => variables(world, make, facts).await?,
        None => return Err("the runbook does not say what becomes as it was".to_owned()),
    };
    nobody_lives_in_it(world, facts).await?;
    // What cannot be made again is known before anybody is asked.
    world.runtime.blueprint(&facts.name).await.map_err(|error| error.to_string())?;
    Ok(vec![repair(Action::ContainerRecreate(ContainerRecreate {
        container: facts.name.clone(),
        restores,
        mark: mark(request),
        stop_timeout_secs: request.stop_timeout_secs(facts),
    }))])
}

/// The last digits of such an id are random; the first are the time.
fn mark(request: &PlanRequest<'_>) -> String {
    let mut id = time_ordered_id(request.workshop.evidence.now).simple().to_string();
    id.split_off(id.len() - MARK_DIGITS)
}

async fn image(
    world: &World,
    make: &GoodMake,
    facts: &ContainerFacts,
) -> Result<Restores, String> {
    if make.image.id == facts.image_id {
        return Err("it is made from the image it worked with".to_owned());
    }
    if keeps_data(facts) {
        return Err("it keeps data: an older version may not read what the newer has written; look \
                    at its log, and at its manual for the way back"
            .to_owned());
    }
    let lasts = |mount: &&MountFacts| mount.writable && (mount.bind || !mount.is_nameless());
    if let Some(mount) = facts.mounts.iter().find(lasts) {
        return Err(format!(
            "it writes to `{}`, and what the newer version has changed there an older one may not \
             read: only its manual says whether the way back is open",
            mount.destination
        ));
    }
    match known(world, &make.image.id).await? {
        Some(_) => Ok(Restores::Image(make.image.clone())),
        None => Err(format!(
            "the image it worked with, {}, is not on this host any more",
            make.image.name
        )),
    }
}

async fn variables(
    world: &World,
    make: &GoodMake,
    facts: &ContainerFacts,
) -> Result<Restores, String> {
    let (good, now) =
        (known(world, &make.image.id).await?, known(world, &facts.image_id).await?);
    let images = Images { good: good.as_ref(), now: now.as_ref() };
    let names = make.lost_variables(facts, images);
    if names.is_empty() {
        return Err("it has every variable that it worked with".to_owned());
    }
    let value = |name: &String| Some((name.clone(), make.environment.get(name)?.clone()));
    let values = names.iter().filter_map(value).collect();
    Ok(Restores::Variables { names, values })
}

async fn known(world: &World, id: &str) -> Result<Option<ImageFacts>, String> {
    if_there(world.runtime.image(id).await).map_err(|error| error.to_string())
}

/// Others that live in its network would be left in one that is gone.
async fn nobody_lives_in_it(world: &World, facts: &ContainerFacts) -> Result<(), String> {
    let all = world.runtime.containers().await.map_err(|error| error.to_string())?;
    let in_it = |other: &&ContainerFacts| {
        let of = other.network_mode.strip_prefix("container:");
        of.is_some_and(|of| of == facts.id || of == facts.name)
    };
    match all.iter().find(in_it) {
        Some(other) => Err(format!(
            "`{}` lives in its network and would lose it; make both again together",
            other.name
        )),
        None => Ok(()),
    }
}
