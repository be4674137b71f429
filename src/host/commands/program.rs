//! Says whether a program may be run: nobody but root and Selfheal's own user may be able to change
//! it, or to put another in its place.
//!
//! So every folder on its way is looked at, up to the root, and where a link leads, that way too.

use std::collections::VecDeque;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Who else than the owner may write.
const OTHERS_WRITE: u32 = 0o022;
/// Anybody may run it.
const RUNS: u32 = 0o111;
/// In such a folder only the owner of a file may replace it.
const STICKY: u32 = 0o1000;
/// As many links the system follows itself.
const MOST_LINKS: usize = 40;

/// Why this program may not be run, with what to do.
pub fn check_program(program: &str) -> Result<(), String> {
    let path = Path::new(program);
    if !path.is_absolute() {
        return Err(format!("`{program}` is not absolute; write the whole path of the program"));
    }
    let we = rustix::process::geteuid().as_raw();
    for place in way(path).map_err(|why| format!("`{program}`: {why}"))? {
        place.check(program, we)?;
    }
    Ok(())
}

/// Something on the way to a program, or the program.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    path: PathBuf,
    kind: Kind,
    owner: u32,
    mode: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    Link,
    /// Where the way ends.
    End {
        is_file: bool,
    },
}

impl Place {
    fn of(path: PathBuf, known: &Metadata, is_end: bool) -> Self {
        let kind = match known.file_type() {
            kind if kind.is_symlink() => Kind::Link,
            kind if is_end => Kind::End { is_file: kind.is_file() },
            _ => Kind::Folder,
        };
        Self { path, kind, owner: known.uid(), mode: known.mode() }
    }

    /// Why nothing is run that is reached by this.
    fn check(&self, program: &str, we: u32) -> Result<(), String> {
        let path = self.path.display();
        if self.kind == (Kind::End { is_file: false }) {
            return Err(format!("`{program}` is no program but a folder or a device"));
        }
        if self.owner != 0 && self.owner != we {
            return Err(format!(
                "`{program}` can be {} by another user: {path} is neither root's nor that of the \
                 user Selfheal runs as; type `chown -h root {path}`",
                self.what_others_could_do()
            ));
        }
        if matches!(self.kind, Kind::End { .. }) && self.mode & RUNS == 0 {
            return Err(format!("`{program}` cannot be run; type `chmod +x {path}`"));
        }
        if self.is_open_to_others() {
            return Err(format!(
                "`{program}` can be {} by others than its owner; type `chmod go-w {path}`",
                self.what_others_could_do()
            ));
        }
        Ok(())
    }

    fn what_others_could_do(&self) -> &'static str {
        if matches!(self.kind, Kind::End { .. }) { "changed" } else { "replaced" }
    }

    fn is_open_to_others(&self) -> bool {
        match self.kind {
            Kind::End { .. } => self.mode & OTHERS_WRITE != 0,
            Kind::Folder => self.mode & OTHERS_WRITE != 0 && self.mode & STICKY == 0,
            // Its mode says nothing.
            Kind::Link => false,
        }
    }
}

/// Every folder and link on the way, and at last what is there.
fn way(program: &Path) -> Result<Vec<Place>, String> {
    let mut ahead: VecDeque<PathBuf> = parts(program).collect();
    let (mut here, mut places) = (PathBuf::new(), vec![]);
    let mut links = 0;
    while let Some(part) = ahead.pop_front() {
        if part == Path::new("..") {
            here.pop();
        } else {
            here.push(part);
        }
        let tell = |error: std::io::Error| format!("{}: {error}", here.display());
        let known = here.symlink_metadata().map_err(tell)?;
        let place = Place::of(here.clone(), &known, ahead.is_empty());
        if place.kind == Kind::Link {
            links += 1;
            if links > MOST_LINKS {
                return Err(format!("{}: too many links", here.display()));
            }
            let leads_to = here.read_link().map_err(tell)?;
            here.pop();
            for part in parts(&leads_to).collect::<Vec<_>>().into_iter().rev() {
                ahead.push_front(part);
            }
        }
        places.push(place);
    }
    Ok(places)
}

/// Its parts; the root, which the parts of an absolute path begin with, starts anew.
fn parts(path: &Path) -> impl Iterator<Item = PathBuf> {
    let told = path.components().filter(|part| *part != Component::CurDir);
    told.map(|part| PathBuf::from(part.as_os_str()))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const WE: u32 = 970;

    fn place(kind: Kind, owner: u32, mode: u32) -> Place {
        Place { path: PathBuf::from("/opt/tools"), kind, owner, mode }
    }

    #[test]
    fn what_neither_root_nor_selfheal_owns_is_no_way_to_a_program() {
        for kind in [Kind::Folder, Kind::Link, Kind::End { is_file: true }] {
            assert_eq!(place(kind, 0, 0o755).check("/opt/tools/mend", WE), Ok(()));
            assert_eq!(place(kind, WE, 0o755).check("/opt/tools/mend", WE), Ok(()));
            let said = place(kind, 1000, 0o755).check("/opt/tools/mend", WE).unwrap_err();
            assert!(said.contains("by another user: /opt/tools is neither root's"), "{said}");
        }
    }

    #[test]
    fn a_folder_of_a_group_is_open_and_one_where_each_keeps_his_own_is_not() {
        let said = place(Kind::Folder, 0, 0o775).check("/opt/tools/mend", WE).unwrap_err();
        assert!(said.contains("can be replaced") && said.contains("chmod go-w /opt/tools"));
        assert_eq!(place(Kind::Folder, 0, 0o1777).check("/opt/tools/mend", WE), Ok(()));
    }

    /// `kept/deep/program` in a folder of its own.
    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("kept/deep");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(deep.join("program"), "#!/bin/sh\n").unwrap();
        for inside in ["kept", "kept/deep", "kept/deep/program"] {
            let path = folder.path().join(inside);
            std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    fn open(path: &Path) {
        std::fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    }

    #[test]
    fn every_folder_above_a_program_counts() {
        let tree = tree();
        let program = tree.path().join("kept/deep/program").display().to_string();
        assert_eq!(check_program(&program), Ok(()));
        open(&tree.path().join("kept"));
        let said = check_program(&program).unwrap_err();
        assert!(said.contains("can be replaced by others") && said.ends_with("kept`"), "{said}");
    }

    #[test]
    fn the_folder_of_a_link_counts_and_so_does_where_it_leads() {
        let tree = tree();
        let links = tree.path().join("links");
        std::fs::create_dir(&links).unwrap();
        std::fs::set_permissions(&links, Permissions::from_mode(0o755)).unwrap();
        symlink("../kept/./deep", links.join("relative")).unwrap();
        symlink(tree.path().join("kept/deep/program"), links.join("absolute")).unwrap();
        let by = |link: &str| check_program(&links.join(link).display().to_string());
        assert_eq!((by("relative/program"), by("absolute")), (Ok(()), Ok(())));
        open(&tree.path().join("kept"));
        for link in ["relative/program", "absolute"] {
            assert!(by(link).unwrap_err().ends_with("kept`"), "{link}");
        }
        std::fs::set_permissions(tree.path().join("kept"), Permissions::from_mode(0o755)).unwrap();
        open(&links);
        for link in ["relative/program", "absolute"] {
            assert!(by(link).unwrap_err().ends_with("links`"), "{link}");
        }
    }

    #[test]
    fn links_in_a_circle_lead_nowhere() {
        let tree = tree();
        symlink("round", tree.path().join("round")).unwrap();
        let said = check_program(&tree.path().join("round").display().to_string()).unwrap_err();
        assert!(said.contains("too many links"), "{said}");
    }
}
