//! The calls of Docker's API that change something, as a proxy that filters them names them: method
//! and path, without the version, `{id}` for a name or an id.
//!
//! Source: Docker Engine API v1.41, <https://docs.docker.com/reference/api/engine/version/v1.41/>.

pub(super) const START: &str = "POST /containers/{id}/start";
pub(super) const STOP: &str = "POST /containers/{id}/stop";
pub(super) const RESTART: &str = "POST /containers/{id}/restart";
pub(super) const KILL: &str = "POST /containers/{id}/kill";
pub(super) const PAUSE: &str = "POST /containers/{id}/pause";
pub(super) const UNPAUSE: &str = "POST /containers/{id}/unpause";
pub(super) const UPDATE: &str = "POST /containers/{id}/update";
pub(super) const RENAME: &str = "POST /containers/{id}/rename";
pub(super) const CREATE: &str = "POST /containers/create";
pub(super) const REMOVE: &str = "DELETE /containers/{id}";
pub(super) const CONNECT: &str = "POST /networks/{id}/connect";
pub(super) const DISCONNECT: &str = "POST /networks/{id}/disconnect";
pub(super) const PRUNE_BUILDS: &str = "POST /build/prune";
pub(super) const DISK_USAGE: &str = "GET /system/df";
pub(super) const INFO: &str = "GET /info";
