//! A settings file, as whatever text (see `crate::fuzzed`).

use std::path::Path;
use std::sync::Arc;

use super::load::typed;
use super::meaning;
use super::shape::Shape;
use super::tree::Node;

/// Read as `load_from` does, but for the files that it names: all faults, or settings.
pub(crate) fn read(text: &str) {
    let name: Arc<Path> = Path::new("selfheal.toml").into();
    let Ok(tree) = Node::parse(text, &name) else { return };
    let shape = Shape::of_settings();
    let mut faults = vec![];
    let Some(tree) = shape.fit(tree, shape.root(), "", &mut faults) else {
        assert!(!faults.is_empty(), "it is refused without a reason");
        return;
    };
    let settings = typed(&tree, &mut faults);
    faults.extend(meaning::faults(&settings, &tree.places()));
    if faults.is_empty() {
        let _ = meaning::warnings(&settings);
    }
}
