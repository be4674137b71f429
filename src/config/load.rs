//! Finds, reads and lays over one another all sources of settings.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fault::{ConfigError, Fault, Place};
use super::overlay;
use super::settings::Settings;
use super::shape::Shape;
use super::tree::{Node, Places};
use super::{credentials, meaning, secrets};

/// Where a settings file is looked for when none is named.
const SEARCHED: [&str; 2] = ["./config/selfheal.toml", "/etc/selfheal/selfheal.toml"];

/// A settings file larger than this is none.
const LARGEST_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Everything settings can come from. Held on to, so that they can be read again.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file named on the command line.
    pub explicit: Option<PathBuf>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// Flags that stand for settings: the setting, the value, the flag as written.
    pub flags: Vec<(String, String, String)>,
    /// Files that are read if they are there; the first one found counts.
    pub searched: Vec<PathBuf>,
}

impl Sources {
    /// This process's environment and the usual places.
    pub fn of_system(explicit: Option<&Path>) -> Self {
        let environment = std::env::vars_os()
            .map(|(name, text)| {
                (name.to_string_lossy().into_owned(), text.to_string_lossy().into_owned())
            })
            .collect();
        let searched = SEARCHED.iter().map(PathBuf::from).collect();
        Self { explicit: explicit.map(Path::to_owned), environment, flags: vec![], searched }
    }

    /// The same with a flag that stands for a setting, such as `api.listen`.
    #[must_use]
    pub fn with_flag(mut self, setting: &str, value: &str, flag: &str) -> Self {
        self.flags.push((setting.to_owned(), value.to_owned(), flag.to_owned()));
        self
    }

    /// The file that counts: a named one whether or not it is there, else the first found.
    pub fn file(&self) -> Option<PathBuf> {
        let named = self.explicit.clone().or_else(|| {
            let named = self.environment.get("SELFHEAL_CONFIG").filter(|name| !name.is_empty());
            named.map(PathBuf::from)
        });
        named.or_else(|| self.searched.iter().find(|path| fs::metadata(path).is_ok()).cloned())
    }
}

/// Settings, and where each came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// The file they were read from, if any.
    pub file: Option<PathBuf>,
    /// What is allowed but dangerous, in sentences for the log.
    pub warnings: Vec<String>,
    pub(super) places: Places,
}

/// Reads the settings of this process.
pub fn load(explicit: Option<&Path>) -> Result<Loaded, ConfigError> {
    load_from(&Sources::of_system(explicit))
}

/// Reads the settings from these sources: defaults, file, environment, flags, each going
/// before the ones named earlier.
pub fn load_from(sources: &Sources) -> Result<Loaded, ConfigError> {
    let file = sources.file();
    let mut tree = match &file {
        Some(path) => read_file(path)?,
        None => Node::empty(Place::Default),
    };
    let shape = Shape::of_settings();
    let mut faults = vec![];
    overlay::environment(&mut tree, &sources.environment, &shape, &mut faults);
    for (setting, value, flag) in &sources.flags {
        let path: Vec<String> = setting.split('.').map(str::to_owned).collect();
        overlay::put(&mut tree, &path, value, Place::Flag(flag.clone()), &shape, &mut faults);
    }
    credentials::put_in(&mut tree, &sources.environment);
    let tree = shape
        .fit(tree, shape.root(), "", &mut faults)
        .unwrap_or_else(|| Node::empty(Place::Default));
    let places = tree.places();
    let settings = typed(&tree, &mut faults);
    let (settings, warnings) = finish(settings, &places, &mut faults);
    if faults.is_empty() {
        return Ok(Loaded { settings, file, warnings, places });
    }
    faults.sort_by(|a, b| position(a).cmp(&position(b)));
    Err(ConfigError::Faults(faults))
}

pub(super) fn typed(tree: &Node, faults: &mut Vec<Fault>) -> Settings {
    serde_json::from_value(tree.plain()).unwrap_or_else(|error| {
        if faults.is_empty() {
            faults.push(Fault::new(tree.place.clone(), "", error.to_string()));
        }
        Settings::default()
    })
}

fn finish(
    mut settings: Settings,
    places: &Places,
    faults: &mut Vec<Fault>,
) -> (Settings, Vec<String>) {
    faults.extend(meaning::faults(&settings, places));
    let mut warnings = meaning::warnings(&settings);
    secrets::read_all(&mut settings, places, faults, &mut warnings);
    faults.extend(meaning::faults_in_files(&settings, places));
    (settings, warnings)
}

/// Faults are told in the order of the file, then environment and flags.
fn position(fault: &Fault) -> (u8, usize, &str) {
    match &fault.place {
        Place::Default => (0, 0, &fault.key),
        Place::File { line, .. } => (1, *line, &fault.key),
        Place::Environment(name) => (2, 0, name),
        Place::Flag(name) => (3, 0, name),
    }
}

fn read_file(path: &Path) -> Result<Node, ConfigError> {
    let unreadable = |why: String| ConfigError::Unreadable { path: path.to_owned(), why };
    let bytes = read_bounded(path, LARGEST_FILE_BYTES).map_err(|error| {
        unreadable(match error.kind() {
            io::ErrorKind::NotFound => "there is no such file".to_owned(),
            io::ErrorKind::PermissionDenied => {
                "permission denied; let the user Selfheal runs as read it".to_owned()
            }
            _ => error.to_string(),
        })
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        unreadable(format!("byte {} is not UTF-8", error.utf8_error().valid_up_to()))
    })?;
    let name: Arc<Path> = path.into();
    Node::parse(&text, &name).map_err(|why| ConfigError::NotToml {
        path: path.to_owned(),
        why: why.trim_end().to_owned(),
    })
}

/// A whole file, or an error if it is longer than `most` bytes.
pub(super) fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    fs::File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it is longer than {most} bytes")));
    }
    Ok(bytes)
}
