//! What the actions have in common that change one setting of a running server.

use super::wrong_capture;
use crate::model::{Captured, Endpoint, ServerSetting, SettingNow, TargetId};
use crate::ports::{World, WorldError, WorldResult};

/// One setting and the value it gets.
pub(super) struct Change<'a> {
    pub(super) target: &'a TargetId,
    pub(super) endpoint: &'a Endpoint,
    pub(super) setting: ServerSetting,
    pub(super) to: String,
}

impl Change<'_> {
    async fn now(&self, world: &World) -> WorldResult<SettingNow> {
        world.servers.setting(self.endpoint, self.setting).await
    }

    pub(super) async fn capture(&self, world: &World) -> WorldResult<Captured> {
        Ok(Captured::Setting { setting: self.setting, value: self.now(world).await?.value })
    }

    pub(super) async fn is_applied(&self, world: &World) -> WorldResult<bool> {
        let now = self.now(world).await?;
        Ok(now.in_force && now.value.as_ref() == Some(&self.to))
    }

    /// What is written down counts from the server's next start, if it does not yet.
    pub(super) async fn is_begun(&self, world: &World) -> WorldResult<bool> {
        Ok(self.now(world).await?.value.as_ref() == Some(&self.to))
    }

    /// Refuses to go over a value that somebody else set since the backup.
    pub(super) async fn apply(
        &self,
        world: &World,
        before: &Captured,
    ) -> WorldResult<Option<String>> {
        if let Some(what) = self.overtaken(world, before).await? {
            return Err(WorldError::Conflict { what });
        }
        world.servers.set_setting(self.endpoint, self.setting, Some(&self.to)).await.map(|()| None)
    }

    pub(super) async fn undo(&self, world: &World, before: &Captured) -> WorldResult<()> {
        let value = self.before(before)?;
        world.servers.set_setting(self.endpoint, self.setting, value).await
    }

    pub(super) async fn overtaken(
        &self,
        world: &World,
        before: &Captured,
    ) -> WorldResult<Option<String>> {
        let (was, now) = (self.before(before)?, self.now(world).await?.value);
        let known = now.as_deref() == was || now.as_deref() == Some(&self.to);
        let name = self.setting.name();
        Ok((!known).then(|| format!("`{name}` of `{}`", self.target)))
    }

    pub(super) fn undo_by_hand(&self, before: &Captured) -> Option<String> {
        self.before(before).ok().map(|value| self.setting.command(value))
    }

    fn before<'a>(&self, before: &'a Captured) -> WorldResult<Option<&'a str>> {
        match before {
            Captured::Setting { setting, value } if *setting == self.setting => {
                Ok(value.as_deref())
            }
            _ => Err(wrong_capture("this setting")),
        }
    }
}

/// Writes the [`super::Act`] of an action that changes one setting. The type has the methods
/// `change` (what is changed to what) and `what` (in words), and the fields `target` and `endpoint`.
macro_rules! changes_a_setting {
    ($action:ty) => {
        #[async_trait]
        impl Act for $action {
            fn target(&self) -> TargetId {
                self.target.clone()
            }

            fn describe(&self) -> String {
                self.what()
            }

            fn reversal(&self) -> Reversal {
                Reversal::Undo
            }

            fn by_hand(&self) -> String {
                let change = self.change();
                change.setting.command(Some(&change.to))
            }

            fn undo_by_hand(&self, before: &Captured) -> Option<String> {
                self.change().undo_by_hand(before)
            }

            fn interruption_secs(&self) -> u64 {
                0
            }

            async fn capture(&self, world: &World) -> WorldResult<Captured> {
                self.change().capture(world).await
            }

            async fn is_applied(&self, world: &World, _before: &Captured) -> WorldResult<bool> {
                self.change().is_applied(world).await
            }

            async fn apply(&self, world: &World, before: &Captured) -> WorldResult<Option<String>> {
                self.change().apply(world, before).await
            }

            async fn undo(&self, world: &World, before: &Captured) -> WorldResult<()> {
                self.change().undo(world, before).await
            }

            async fn is_begun(&self, world: &World, _before: &Captured) -> WorldResult<bool> {
                self.change().is_begun(world).await
            }

            async fn overtaken(
                &self,
                world: &World,
                before: &Captured,
            ) -> WorldResult<Option<String>> {
                let what = self.change().overtaken(world, before).await?;
                Ok(what.map(|what| format!("{what} was changed since")))
            }

            fn endpoint_mut(&mut self) -> Option<&mut Endpoint> {
                Some(&mut self.endpoint)
            }
        }
    };
}
pub(super) use changes_a_setting;
