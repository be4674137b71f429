//! Makes and removes clones that fixes are tried on.
//!
//! Its invariant: it removes nothing but what is a clone by its name and its label, with the
//! volumes that Docker made for it alone.

use async_trait::async_trait;
use bollard::query_parameters::RemoveContainerOptionsBuilder;
use selfheal_agents::model::{
    Blueprint, CloneFile, REHEARSAL_LABEL, RehearsalClone, Remake, clean, rehearsed_container,
};
use selfheal_agents::ports::{Rehearsals, WorldError, WorldResult};

use super::super::Docker;
use super::super::changes::segment;
use super::read;

/// The largest folder that is copied for a clone, in bytes.
const LARGEST_FOLDER: usize = 8 << 20;

impl Docker {
    /// Copies what is mounted there in the container of this id into the clone, but for the files
    /// that are other in the clone.
    async fn copy(&self, from: &str, clone: &RehearsalClone, mount: &str) -> WorldResult<()> {
        let what = format!("the copying of `{mount}` for clone `{}`", clone.name);
        let path = format!("/containers/{}/archive?path={}", segment(from), segment(mount));
        let read = self.wire.get_bytes(&path, LARGEST_FOLDER);
        let folder = self.within(&what, self.limits.read, read).await?;
        let refused = |error: std::io::Error| WorldError::Refused {
            what: what.clone(),
            why: clean(&error.to_string(), 300),
        };
        let changed = exchanged(&folder, mount, &clone.files).map_err(refused)?;
        let into = mount.rsplit_once('/').map_or("", |(folder, _)| folder);
        let path =
            format!("/containers/{}/archive?path={}", clone.name, segment(&format!("{into}/")));
        self.within(&what, self.limits.change, self.wire.put_tar(&path, changed)).await
    }
}

/// The archive with the content of these files in the place of its own; an error where it lacks
/// one of them.
fn exchanged(archive: &[u8], mount: &str, files: &[CloneFile]) -> std::io::Result<Vec<u8>> {
    let into = mount.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut wanted: Vec<&CloneFile> = files.iter().filter(|file| file.mount == mount).collect();
    let mut made = tar::Builder::new(vec![]);
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let (mut header, path) = (entry.header().clone(), entry.path()?.into_owned());
        let at = format!("{into}/{}", path.display());
        if let Some(target) = entry.link_name()?.map(std::borrow::Cow::into_owned) {
            made.append_link(&mut header, &path, target)?;
        } else if let Some(place) = wanted.iter().position(|file| file.path == at) {
            let bytes = wanted.remove(place).bytes.as_slice();
            header.set_size(bytes.len() as u64);
            made.append_data(&mut header, &path, bytes)?;
        } else {
            made.append_data(&mut header, &path, &mut entry)?;
        }
    }
    match wanted.first() {
        Some(file) => Err(std::io::Error::other(format!("there is no file {}", file.path))),
        None => made.into_inner(),
    }
}

#[async_trait]
impl Rehearsals for Docker {
    async fn stage(
        &self,
        clone: &RehearsalClone,
        from: &Blueprint,
        with: &Remake,
    ) -> WorldResult<()> {
        let what = format!("the making of clone `{}`", clone.name);
        let refused = |why: String| WorldError::Refused { what: what.clone(), why };
        if rehearsed_container(&clone.name).is_none() {
            return Err(refused("that is no name of a clone".to_owned()));
        }
        let document = read(&clone.name, from)?;
        document.check_clone().map_err(refused)?;
        let wanted = with.image.clone().unwrap_or_else(|| document.image());
        let source = self.image_to_use(&wanted).await?;
        let body = document.clone_body(&source, with, clone);
        let path = format!("/containers/create?name={}", segment(&clone.name));
        self.within(&what, self.limits.change, self.wire.post_json(&path, &body)).await?;
        let mut mounts: Vec<&str> = clone.files.iter().map(|file| file.mount.as_str()).collect();
        mounts.dedup();
        for mount in mounts {
            self.copy(&from.id, clone, mount).await?;
        }
        Ok(())
    }

    async fn unstage(&self, name: &str) -> WorldResult<()> {
        let Some(found) = self.find(name).await? else { return Ok(()) };
        let what = format!("the removal of clone `{name}`");
        let ours = found.config.labels.contains_key(REHEARSAL_LABEL);
        if !ours || rehearsed_container(name).is_none() {
            return Err(WorldError::Refused { what, why: "it is no clone".to_owned() });
        }
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let removing = self.client.remove_container(&found.id, Some(options));
        match self.within(&what, self.limits.change, removing).await {
            Err(WorldError::NotFound { .. }) => Ok(()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Docker gives the folder `/etc/app` with a file, a link and a folder in it.
    fn folder() -> Vec<u8> {
        let mut made = tar::Builder::new(vec![]);
        let mut add = |path: &str, kind, mode, bytes: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_uid(7);
            header.set_size(bytes.len() as u64);
            made.append_data(&mut header, path, bytes).unwrap();
        };
        add("app/", tar::EntryType::Directory, 0o755, b"");
        add("app/a.json", tar::EntryType::Regular, 0o640, b"{\"pool\": 4}");
        add("app/b.json", tar::EntryType::Regular, 0o600, b"other");
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_size(0);
        link.set_mode(0o777);
        link.set_uid(7);
        made.append_link(&mut link, "app/link", "a.json").unwrap();
        made.into_inner().unwrap()
    }

    fn changed(path: &str) -> CloneFile {
        let bytes = b"{\"pool\": 12}".to_vec();
        CloneFile { mount: "/etc/app".to_owned(), path: path.to_owned(), bytes }
    }

    #[test]
    fn one_file_is_other_in_the_copy_and_all_the_rest_as_it_was() {
        let copied = exchanged(&folder(), "/etc/app", &[changed("/etc/app/a.json")]).unwrap();
        let mut seen = vec![];
        for entry in tar::Archive::new(copied.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
            let link = entry.link_name().unwrap().map(|to| to.display().to_string());
            let path = entry.path().unwrap().display().to_string();
            let (mode, uid) = (entry.header().mode().unwrap(), entry.header().uid().unwrap());
            seen.push((path, mode, uid, link.unwrap_or(text)));
        }
        assert_eq!(seen[1], ("app/a.json".to_owned(), 0o640, 7, "{\"pool\": 12}".to_owned()));
        assert_eq!(seen[2], ("app/b.json".to_owned(), 0o600, 7, "other".to_owned()));
        assert_eq!((&*seen[3].0, &*seen[3].3), ("app/link", "a.json"));
        assert_eq!(seen.len(), 4);
        exchanged(&folder(), "/etc/app", &[changed("/etc/app/c.json")]).unwrap_err();
    }
}
