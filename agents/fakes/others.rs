//! What others do on the fake host.

use super::FakeWorld;

impl FakeWorld {
    /// The command lines that run in a container from now on.
    pub fn runs(&self, name: &str, commands: &[&str]) -> &Self {
        self.with(name, |container| {
            container.processes = commands.iter().map(|&command| command.to_owned()).collect();
        })
    }

    /// Somebody has just pulled an image.
    pub fn pulled(&self, image: &str) -> &Self {
        let now = self.now();
        self.state().pulls.push((now, image.to_owned()));
        self
    }
}
