//! An image out of this program itself: the executable and the libraries it has loaded.
//!
//! So the demo needs no registry and no compiler. The libraries lie in the image where they
//! lie on this machine, and their folders are named in `LD_LIBRARY_PATH`, since the image has
//! no cache of the loader. Linux only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the program lies in the image.
pub(super) const PROGRAM: &str = "/selfheal";
const ITSELF: &str = "/proc/self/exe";

/// A tar archive with everything the program needs, and the folders of its libraries.
#[derive(Debug)]
pub(super) struct Archive {
    /// The archive.
    pub(super) bytes: Vec<u8>,
    /// Where the loader has to look.
    pub(super) library_path: String,
}

/// Packs this program. Reads some hundred megabytes at most; not for an async thread.
pub(super) fn of_this_program() -> io::Result<Archive> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let program = fs::read(ITSELF)?;
    let mut files: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    let mut folders = BTreeSet::new();
    for library in libraries(&maps) {
        for name in names(&library)? {
            files.insert(name, library.clone());
        }
        folders.extend(library.parent().map(Path::to_owned));
    }
    if let Some(loader) = interpreter(&program) {
        files.insert(loader.clone(), loader);
    }
    let mut archive = tar::Builder::new(vec![]);
    append(&mut archive, Path::new(PROGRAM), &program)?;
    for (name, file) in &files {
        append(&mut archive, name, &fs::read(file)?)?;
    }
    let folders: Vec<String> = folders.iter().map(|f| f.to_string_lossy().into_owned()).collect();
    Ok(Archive { bytes: archive.into_inner()?, library_path: folders.join(":") })
}

fn append(archive: &mut tar::Builder<Vec<u8>>, name: &Path, content: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o755);
    let inside = name.strip_prefix("/").unwrap_or(name);
    archive.append_data(&mut header, inside, content)
}

/// The shared libraries among the mapped files.
fn libraries(maps: &str) -> BTreeSet<PathBuf> {
    let files = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..]));
    let is_library = |path: &&str| {
        path.rsplit('/').next().is_some_and(|name| name.contains(".so") && !name.contains(' '))
    };
    files.filter(is_library).map(PathBuf::from).collect()
}

/// The names of a library in its folder: the file, and the links to it that programs ask for.
fn names(library: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut names = BTreeSet::from([library.to_owned()]);
    let Some(folder) = library.parent() else { return Ok(names) };
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let leads_here = || {
            let to = fs::read_link(entry.path()).ok()?;
            (folder.join(to) == library).then_some(())
        };
        if entry.file_type()?.is_symlink() && leads_here().is_some() {
            names.insert(entry.path());
        }
    }
    Ok(names)
}

/// The loader that a 64-bit little-endian ELF program names (program header `PT_INTERP`);
/// `None` for a program that needs none.
fn interpreter(elf: &[u8]) -> Option<PathBuf> {
    const PT_INTERP: u64 = 3;
    let number = |at: usize, bytes: usize| {
        let field = elf.get(at..at.checked_add(bytes)?)?;
        Some(field.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))
    };
    let index = |at: usize, bytes: usize| usize::try_from(number(at, bytes)?).ok();
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, size, count) = (index(32, 8)?, index(54, 2)?, index(56, 2)?);
    for entry in 0..count {
        let header = table.checked_add(entry * size)?;
        if number(header, 4)? == PT_INTERP {
            let (at, length) = (index(header + 8, 8)?, index(header + 32, 8)?);
            let path = elf.get(at..at.checked_add(length)?)?.split(|byte| *byte == 0).next()?;
            return Some(PathBuf::from(std::str::from_utf8(path).ok()?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_libraries_are_taken_from_the_map() {
        let maps = "55e0-55e1 r-xp 0000 08:01 1 /usr/bin/selfheal\n\
                    7f00-7f01 r--p 0000 08:01 2 /usr/lib/libc.so.6\n\
                    7f01-7f02 r-xp 0000 08:01 2 /usr/lib/libc.so.6\n\
                    7f03-7f04 r--p 0000 08:01 3 /usr/lib/libgone.so.1 (deleted)\n\
                    7ffd-7ffe rw-p 0000 00:00 0 [stack]\n\
                    7fff-8000 r--p 0000 00:00 0\n";
        assert_eq!(libraries(maps), BTreeSet::from([PathBuf::from("/usr/lib/libc.so.6")]));
    }

    #[test]
    fn a_library_is_also_packed_under_the_name_that_programs_ask_for() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("libx-2.31.so");
        fs::write(&library, b"x").unwrap();
        let link = folder.path().join("libx.so.6");
        std::os::unix::fs::symlink("libx-2.31.so", &link).unwrap();
        std::os::unix::fs::symlink("other.so", folder.path().join("liby.so.1")).unwrap();
        assert_eq!(names(&library).unwrap(), BTreeSet::from([library, link]));
    }

    #[test]
    fn nonsense_has_no_loader_and_breaks_nothing() {
        assert_eq!(interpreter(b"#!/bin/sh"), None);
        assert_eq!(interpreter(b"\x7fELF\x02\x01"), None);
        let mut wild = vec![0xff; 200];
        wild[..6].copy_from_slice(b"\x7fELF\x02\x01");
        assert_eq!(interpreter(&wild), None);
    }

    #[test]
    fn the_archive_holds_this_program_and_its_loader() {
        let archive = of_this_program().unwrap();
        let program = fs::read(ITSELF).unwrap();
        let mut reader = tar::Archive::new(archive.bytes.as_slice());
        let sizes: BTreeMap<PathBuf, u64> = reader
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (Path::new("/").join(entry.path().unwrap()), entry.size()))
            .collect();
        assert_eq!(sizes.get(Path::new(PROGRAM)), Some(&(program.len() as u64)));
        if let Some(loader) = interpreter(&program) {
            assert!(sizes.contains_key(&loader), "{loader:?} of {sizes:?}");
        }
    }
}
