//! Runbooks against what real programs wrote: the lines of a provoked trouble, which its
//! runbook must know, and those of programs that are well, which none may.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use selfheal_agents::error_detector::Catalogue;
use selfheal_agents::error_detector::review::Problem;
use selfheal_agents::model::{Provenance, Runbook, Severity, clean};
use serde::Serialize;

use super::{entries, stem};

/// The longest line looked at, in bytes; the rest of it is a line of its own.
const MAX_LINE_BYTES: u64 = 64 * 1024;
/// Length of a quoted line, in characters.
const QUOTED: usize = 160;

/// How runbooks fared with captured logs.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Captured {
    /// Captures of which the runbook knows a line.
    pub known: usize,
    /// Technologies with captures.
    pub technologies: Vec<String>,
    /// Reproduced runbooks of these technologies without a capture: no fault, some are
    /// provoked by other means.
    pub without_capture: Vec<String>,
    /// Reproduced runbooks of all other technologies.
    pub elsewhere: usize,
    /// Captures that no runbook or not the right one knows.
    #[serde(skip)]
    pub problems: Vec<Problem>,
}

/// Tries each `folder/TECHNOLOGY/ID.log` on the runbook with that id.
pub fn captured(catalogue: &Catalogue, folder: &Path) -> io::Result<Captured> {
    let mut answer = Captured::default();
    let mut ids = BTreeSet::new();
    for technology in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        for file in entries(&technology)?.into_iter().filter(|path| is_log(path)) {
            match capture_problem(catalogue, &technology, &file)? {
                Some(problem) => answer.problems.push(problem),
                None => answer.known += 1,
            }
            ids.insert(stem(&file.to_string_lossy()));
        }
        answer.technologies.push(name(&technology));
    }
    for runbook in catalogue.iter().filter(|r| r.status == Provenance::Reproduced) {
        if ids.contains(&runbook.id) {
            continue;
        }
        if answer.technologies.contains(&runbook.technology) {
            answer.without_capture.push(runbook.id.clone());
        } else {
            answer.elsewhere += 1;
        }
    }
    Ok(answer)
}

fn capture_problem(
    catalogue: &Catalogue,
    technology: &Path,
    file: &Path,
) -> io::Result<Option<Problem>> {
    let (technology, id) = (name(technology), stem(&file.to_string_lossy()));
    let shown = file.to_string_lossy().into_owned();
    let Some(runbook) = catalogue.get(&id) else {
        return Ok(Some(Problem {
            file: shown,
            what: format!("there is no sound runbook `{id}`"),
            remedy: "name the capture after its runbook, or mend that".to_owned(),
        }));
    };
    if runbook.technology != technology {
        return Ok(Some(Problem {
            file: shown,
            what: format!("`{id}` is a runbook of `{}`", runbook.technology),
            remedy: format!("provoke it in the script of `{}`", runbook.technology),
        }));
    }
    let mut lines = 0;
    let mut is_known = false;
    each_line(file, |line| {
        lines += 1;
        is_known = is_known || catalogue.matching(line).any(|known| known == id);
    })?;
    Ok((!is_known).then(|| {
        let what = format!("it knows none of the {lines} lines of {shown}");
        Problem::of(runbook, what, "correct its pattern, or what provokes it")
    }))
}

/// Lines of programs that are well which a runbook of severity warning or above claims to
/// know; one problem for each runbook and file. `path` is a file, or a folder of `*.log`.
pub fn healthy(catalogue: &Catalogue, path: &Path) -> io::Result<Vec<Problem>> {
    let files: Vec<PathBuf> = if path.is_dir() {
        entries(path)?.into_iter().filter(|path| is_log(path)).collect()
    } else {
        vec![path.to_owned()]
    };
    let mut problems = Vec::new();
    for file in files {
        let mut claims = Claims::default();
        each_line(&file, |line| claims.look(catalogue, line))?;
        problems.extend(claims.problems(&file.display().to_string()));
    }
    Ok(problems)
}

/// As [`healthy`], of the logs that are built into the program.
pub fn built_in_healthy(catalogue: &Catalogue) -> Vec<Problem> {
    let of = |(name, text): (String, String)| {
        let mut claims = Claims::default();
        text.lines().for_each(|line| claims.look(catalogue, line));
        claims.problems(&name)
    };
    super::healthy_logs().flat_map(of).collect()
}

/// Who claims to know lines of one healthy log: how many, and the first.
#[derive(Default)]
struct Claims<'a>(BTreeMap<&'a str, (&'a Runbook, usize, String)>);

impl<'a> Claims<'a> {
    fn look(&mut self, catalogue: &'a Catalogue, line: &str) {
        for found in catalogue.matches(line).filter(|m| m.runbook.severity > Severity::Info) {
            let new = || (found.runbook, 0, clean(line, QUOTED));
            self.0.entry(&found.runbook.id).or_insert_with(new).1 += 1;
        }
    }

    fn problems(self, log: &str) -> Vec<Problem> {
        let problem = |(runbook, lines, first): (&Runbook, usize, String)| {
            let what = format!("it knows {lines} lines of the healthy log {log}: `{first}`");
            Problem::of(runbook, what, "make the pattern precise, or the severity `info`")
        };
        self.0.into_values().map(problem).collect()
    }
}

/// Hands over each line of a file without its end; what is not UTF-8 is replaced.
fn each_line(file: &Path, mut line: impl FnMut(&str)) -> io::Result<()> {
    let mut reader = BufReader::new(File::open(file)?);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let read = reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            return Ok(());
        }
        line(String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']));
    }
}

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "log")
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    const KNOWN: &str = "preparing\nnode: 1: FATAL ERROR: JavaScript heap out of memory\n";

    #[test]
    fn a_runbook_must_know_a_line_of_its_capture() {
        let (catalogue, _) = super::super::load(None, super::super::Keep::Everything);
        let captures = folder(&[
            ("node/node-heap-full.log", KNOWN),
            ("node/node-exception.log", "all is well\n"),
            ("node/no-such-trouble.log", "x\n"),
            ("go/node-heap-full.log", KNOWN),
        ]);
        let answer = captured(&catalogue, captures.path()).unwrap();
        assert_eq!((answer.known, answer.problems.len()), (1, 3));
        let told = |part: &str| answer.problems.iter().any(|problem| problem.what.contains(part));
        assert!(told("it knows none of the 1 lines"), "{:?}", answer.problems);
        assert!(told("no sound runbook `no-such-trouble`"), "{:?}", answer.problems);
        assert!(told("is a runbook of `node`"), "{:?}", answer.problems);
        assert_eq!(answer.technologies, ["go", "node"]);
        assert!(answer.without_capture.contains(&"node-config-unreadable".to_owned()));
        assert!(answer.elsewhere > 0);
        assert!(captured(&catalogue, Path::new("missing")).is_err());
    }

    #[test]
    fn a_healthy_log_in_which_trouble_is_seen_is_a_problem_once() {
        let (catalogue, _) = super::super::load(None, super::super::Keep::Everything);
        let logs = folder(&[
            ("well.log", "listening\r\nserved 200 in 3 ms\n"),
            ("sick.log", &KNOWN.repeat(3)),
            ("sick.txt", KNOWN),
        ]);
        let problems = healthy(&catalogue, logs.path()).unwrap();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].what.contains("it knows 3 lines of the healthy log"), "{problems:?}");
        assert_eq!(healthy(&catalogue, &logs.path().join("well.log")).unwrap(), []);
    }
}
