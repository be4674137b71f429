//! Programs that take more and more of the machine.

use super::{Fault, app};
use crate::lab::engine::docker;

/// A search that backtracks for ever takes all of its processor, and nobody else is answered.
pub(crate) const SPINNING: Fault = Fault {
    // Who shares the machine with it is to notice nothing.
    stage: |stack| stack.start(app().asks_itself().with(&["--cpus=0.4"])),
    judge: ("app", "/"),
    inject: |stack| stack.post("app", "/fault/spin"),
    futile: None,
    cure: |stack| docker(&["restart", "--time", "1", &stack.name("app")]).map(drop),
};

/// The program keeps everything it ever had, until the kernel ends it at its limit.
pub(crate) const MEMORY_LEAK: Fault = Fault {
    stage: |stack| stack.start(app().with(&["--memory=96m", "--memory-swap=96m"])),
    judge: ("app", "/"),
    inject: |stack| stack.post("app", "/fault/leak"),
    futile: None,
    cure: |stack| docker(&["start", &stack.name("app")]).map(drop),
};
