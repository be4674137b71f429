//! Incidents as files: what was seen and logged, and what has to be made of it.
//!
//! The real catalogue, error detector, root cause and fix engineer answer; the policy gate, which
//! may still hold what is said to act here, has its own tests. See `tests/golden/README.md`.

mod scene;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use selfheal_agents::error_detector::Catalogue;
use selfheal_agents::fix_engineer::{Proposals, propose};
use selfheal_agents::learning_engine::History;
use selfheal_agents::model::{Diagnosis, Fix, TargetId};
use serde::Deserialize;

use scene::{Scene, Shown};

/// The default threshold for acting alone, percent.
const THRESHOLD: u8 = 85;
/// As many must act and as many must not, at least.
const LEAST_OF_EACH: usize = 12;

/// One file.
struct Incident {
    title: String,
    scene: Scene,
    expect: Vec<Expected>,
}

/// One answer that has to be given.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    runbook: String,
    blamed: TargetId,
    /// The lowest and the highest confidence of the diagnosis, percent.
    confidence: [u8; 2],
    /// The fix type that is proposed first; without it none may be.
    fix: Option<String>,
    /// Whether that is sure enough to be applied by itself.
    acts: bool,
    /// Everybody else who suffers.
    #[serde(default)]
    symptoms: BTreeSet<TargetId>,
}

/// One answer that was given.
struct Answer {
    diagnosis: Diagnosis,
    proposals: Proposals,
}

impl Answer {
    fn best(&self) -> Option<&Fix> {
        self.proposals.fixes.first()
    }

    fn acts(&self) -> bool {
        self.best().is_some_and(|fix| fix.confidence.percent() >= THRESHOLD)
    }

    /// In what it is not as it should be.
    fn faults(&self, wanted: &Expected) -> Vec<String> {
        let Diagnosis { confidence, affected, ledger, .. } = &self.diagnosis;
        let mut faults = vec![];
        let [low, high] = wanted.confidence;
        if !(low..=high).contains(&confidence.percent()) {
            faults.push(format!("{confidence} is not {low} to {high}: {ledger:#?}"));
        }
        let fix = self.best().map(|fix| &fix.fix_type);
        if fix != wanted.fix.as_ref() {
            let unfit = &self.proposals.unfit;
            faults.push(format!("the fix is {fix:?}, not {:?}; {unfit:?}", wanted.fix));
        }
        if self.acts() != wanted.acts {
            let ledger = self.best().map(|fix| &fix.ledger);
            faults.push(format!("it acts: {}, {ledger:#?}", self.acts()));
        }
        let symptoms: BTreeSet<TargetId> = affected.iter().cloned().collect();
        if symptoms != wanted.symptoms {
            faults.push(format!("the symptoms are {symptoms:?}"));
        }
        faults
    }
}

impl Incident {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        Self::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Not derived: what is left after title and expectation must be known, every word of it.
    fn parse(text: &str) -> Result<Self, toml::de::Error> {
        let mut table: toml::Table = toml::from_str(text)?;
        let mut take = |name: &str| table.remove(name).ok_or(missing(name));
        let title = take("title")?.try_into()?;
        let expect = take("expect")?.try_into()?;
        Ok(Self { title, scene: table.try_into()?, expect })
    }

    fn acts(&self) -> bool {
        self.expect.iter().any(|wanted| wanted.acts)
    }

    /// In what the answers are not as they should be.
    async fn faults(&self, catalogue: &Catalogue) -> Vec<String> {
        let seen = self.scene.seen(catalogue);
        let answers = answers(&self.scene, &seen, catalogue).await;
        let of = |blamed: &TargetId, issue: &str| format!("{issue} of {blamed}");
        let given: BTreeSet<String> =
            answers.iter().map(|a| of(&a.diagnosis.blamed, &a.diagnosis.issue_type)).collect();
        let wanted: BTreeSet<String> =
            self.expect.iter().map(|e| of(&e.blamed, &e.runbook)).collect();
        if given != wanted {
            return vec![format!("it says {given:?}, not {wanted:?}")];
        }
        let told = |id: &TargetId| {
            answers.iter().any(|a| a.diagnosis.blamed == *id || a.diagnosis.affected.contains(id))
        };
        if let Some(id) = seen.troubled().find(|id| !told(id)) {
            return vec![format!("no answer tells of {id}")];
        }
        let meant = |answer: &Answer| {
            let blamed = &answer.diagnosis.blamed;
            self.expect.iter().find(|wanted| wanted.blamed == *blamed).cloned()
        };
        answers.iter().flat_map(|a| meant(a).map_or(vec![], |wanted| a.faults(&wanted))).collect()
    }
}

fn missing(name: &str) -> toml::de::Error {
    serde::de::Error::custom(format!("it has no `{name}`"))
}

/// What the agents make of a scene, from its log and state to the fixes.
async fn answers(scene: &Scene, seen: &Shown<'_>, catalogue: &Catalogue) -> Vec<Answer> {
    let mut answers = vec![];
    for diagnosis in seen.diagnoses() {
        let proposals = match catalogue.get(&diagnosis.issue_type) {
            Some(runbook) => {
                let remembered = scene.remembered_of(&diagnosis.blamed);
                let world = scene.world().world();
                let workshop = seen.workshop(&world, &remembered);
                propose(&diagnosis, runbook, workshop, &History::default()).await
            }
            None => Proposals::default(),
        };
        answers.push(Answer { diagnosis, proposals });
    }
    answers
}

fn incidents() -> Vec<(String, Incident)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
    let named = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    files.map(|path| (named(&path), Incident::read(&path))).collect()
}

#[tokio::test]
async fn every_golden_incident_gets_its_cause_its_fix_and_no_more() {
    let (catalogue, _) = super::load(None, super::Keep::Everything);
    let mut told = vec![];
    for (name, incident) in incidents() {
        let faults = incident.faults(&catalogue).await;
        let title = &incident.title;
        told.extend(faults.iter().map(|fault| format!("{name} ({title}): {fault}")));
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
}

#[test]
fn as_many_golden_incidents_must_be_left_alone_as_must_be_mended() {
    let (acting, holding): (Vec<_>, Vec<_>) =
        incidents().into_iter().partition(|(_, incident)| incident.acts());
    assert!(acting.len() >= LEAST_OF_EACH, "only {} act", acting.len());
    assert!(holding.len() >= acting.len(), "{} hold, {} act", holding.len(), acting.len());
}
