//! The tokens on the page of settings: for whoever is logged in as an administrator, and nobody
//! else, not even where the API is open: who made one would stay when it is closed.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect};
use axum::routing::post;
use chrono::{TimeDelta, Utc};
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::settings::page;
use super::view::{MadeToken, Shown, Tokens};
use super::{Page, html};
use crate::access::{Access, Holder, Scope, Token, TokenError};
use crate::http::extract::Fields;
use crate::http::problem::Problem;
use crate::http::state::Api;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/settings/tokens", post(create))
        .route("/settings/tokens/{name}/revoke", post(revoke))
}

/// Who looks at the page.
pub(super) struct SeenBy {
    access: Arc<Access>,
    holder: Option<Holder>,
}

impl<S: Send + Sync> FromRequestParts<S> for SeenBy {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let access = parts.extensions.get::<Arc<Access>>().cloned();
        let access = access.ok_or_else(|| Problem::internal(&"no access is known"))?;
        Ok(Self { access, holder: parts.extensions.get::<Holder>().cloned() })
    }
}

impl SeenBy {
    fn is_admin(&self) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.scope == Scope::Admin)
    }

    /// The tokens, as far as they are for these eyes.
    pub(super) fn tokens(&self) -> Result<Tokens, Problem> {
        if !self.is_admin() {
            return Ok(Tokens::Hidden { is_open: !self.access.demands() });
        }
        Ok(Tokens::Listed(self.access.book().tokens().map_err(problem)?))
    }

    fn must_be_admin(&self) -> Result<(), Problem> {
        if self.is_admin() {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "log in with a token of scope admin first; where Selfheal runs, `selfheal token create \
             NAME --scope admin` makes one",
        ))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CreateFields {
    name: String,
    scope: String,
    /// Days it lasts; for ever without any.
    days: String,
}

async fn create(
    State(api): State<Api>,
    seen_by: SeenBy,
    fields: Result<Fields<CreateFields>, Problem>,
) -> Page {
    seen_by.must_be_admin()?;
    let Fields(fields) = fields?;
    let scope: Scope = serde_json::from_value(fields.scope.clone().into())
        .map_err(|_| Problem::bad_request("a scope is viewer, operator or admin"))?;
    let now = Utc::now();
    let expires = match fields.days.trim() {
        "" => None,
        days => {
            let days = days.parse().ok().and_then(TimeDelta::try_days);
            let expires = days.and_then(|days| now.checked_add_signed(days));
            Some(expires.ok_or_else(|| Problem::bad_request("it lasts for a number of days"))?)
        }
    };
    let made = seen_by.access.book().create(fields.name.trim(), scope, expires, now);
    let (Token { name, .. }, secret) = made.map_err(problem)?;
    let made = Some(MadeToken { name, secret: secret.expose_secret().to_owned() });
    let shown = Shown { made, ..Shown::default() };
    Ok(html(&page(&api.configured, &seen_by, shown).await?))
}

async fn revoke(seen_by: SeenBy, Path(name): Path<String>) -> Page {
    seen_by.must_be_admin()?;
    seen_by.access.book().revoke(&name).map_err(problem)?;
    Ok(Redirect::to("/settings#tokens").into_response())
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where an error is mapped")]
fn problem(error: TokenError) -> Problem {
    match error {
        TokenError::File { .. } => crate::http::admit::unreadable(&error.to_string()),
        TokenError::Missing(_) => Problem::not_found(error.to_string()),
        TokenError::Taken(_) => Problem::new(StatusCode::CONFLICT, error.to_string()),
        TokenError::Name(_) | TokenError::Past(_) => Problem::bad_request(error.to_string()),
    }
}
