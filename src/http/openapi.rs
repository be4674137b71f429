//! `/openapi.json`: the document of the API (OpenAPI 3.1).
//!
//! Paths come from the handlers; schemas come from the very types that are serialised,
//! through the same derive that writes the settings' schema. A body used in a path but
//! missing from the list below fails a test.

use axum::extract::State;
use axum::http::{Method, header};
use axum::response::IntoResponse;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};
use std::borrow::Cow;
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::automation;
use super::body::{
    AlertWebhook, AlertsTaken, ApproveRequest, AuditPage, BackupList, CheckRequest, Checked,
    DismissRequest, Done, FleetView, FreezeRequest, FreezeState, Health, IncidentDetail,
    IncidentList, OwnHealth, ProblemBody, Status, Success, TargetDetail, TargetList,
};
use super::needs::{Known, cost, needed};
use super::state::Api;
use crate::access::Cost;
use selfheal_agents::learning_engine::{ShadowReport, Statistics};

/// The one list: makes a type known to the handlers' annotations and writes its schema.
macro_rules! bodies {
    ($($body:ty),+ $(,)?) => {
        $(
            impl PartialSchema for $body {
                // Only a name's place; `document` puts the schema there.
                fn schema() -> RefOr<Schema> {
                    RefOr::T(Schema::default())
                }
            }
            impl ToSchema for $body {
                fn name() -> Cow<'static, str> {
                    <$body as JsonSchema>::schema_name()
                }
            }
        )+

        fn schemas() -> serde_json::Map<String, Value> {
            let settings = SchemaSettings::draft2020_12()
                .with(|settings| settings.definitions_path = "/components/schemas".into());
            let mut generator: SchemaGenerator = settings.into_generator();
            $( let _ = generator.subschema_for::<$body>(); )+
            generator.take_definitions(true)
        }
    };
}

bodies!(
    OwnHealth,
    AuditPage,
    Success<Health>,
    Success<Status>,
    Success<Checked>,
    Success<BackupList>,
    Success<Statistics>,
    Success<ShadowReport>,
    CheckRequest,
    Done,
    IncidentList,
    IncidentDetail,
    TargetList,
    TargetDetail,
    FleetView,
    ApproveRequest,
    DismissRequest,
    FreezeRequest,
    FreezeState,
    AlertWebhook,
    Success<AlertsTaken>,
    ProblemBody,
);

/// What the document begins with.
pub(super) fn opening() -> OpenApi {
    let description = "Keeps a Docker host and the services on it healthy. Times are RFC 3339 in \
         UTC; a confidence is 0 to 100 percent, a rate is 0 to 1. Every error is a problem \
         document (RFC 9457). Where a token is asked for, it is shown as `Authorization: Bearer \
         TOKEN`; its name is recorded as who decides, and without one the header \
         `X-Selfheal-User`.";
    let info = InfoBuilder::new()
        .title("Selfheal")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(description));
    OpenApiBuilder::new().info(info.build()).build()
}

/// The whole document: the handlers' paths with the schemas of the bodies.
pub(super) fn document(paths: &OpenApi) -> Value {
    let mut document = serde_json::to_value(paths).expect("a document is plain JSON");
    let schemas = schemas();
    document["components"] = json!({ "schemas": schemas, "securitySchemes": schemes() });
    // Either, or nobody: who asks from this machine mostly needs no token.
    document["security"] = json!([{ "token": [] }, {}]);
    // One handler, two addresses.
    let mut health = document["paths"]["/health"]["get"].clone();
    health["operationId"] = json!("automation_health");
    document["paths"]["/api/automation/health"]["get"] = health;
    for (method, path) in automation::CALLS {
        document["paths"][path][method] = json!({
            "tags": ["automation"],
            "summary": "Not built yet",
            "responses": { "501": problem("Repair of source projects is not built yet") },
        });
    }
    for (path, calls) in document["paths"].as_object_mut().into_iter().flatten() {
        for (method, call) in calls.as_object_mut().into_iter().flatten() {
            // Who is not let in, or sends too much, at any of them.
            call["responses"]["default"] = problem("It was not done; why, and what to do");
            if is_limited(method, path) {
                call["responses"]["429"] = too_fast();
            }
        }
    }
    document
}

fn is_limited(method: &str, path: &str) -> bool {
    let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes());
    let known = method.map(|method| needed(&method, path));
    matches!(known, Ok(Known::Needs(need)) if cost(need, path) != Cost::Free)
}

/// What whoever asks too fast is told.
fn too_fast() -> Value {
    let mut answer = problem("More of this was asked for in a minute than the settings allow");
    answer["headers"] = json!({
        "Retry-After": {
            "description": "Seconds to wait",
            "schema": { "type": "integer", "minimum": 1 },
        },
    });
    answer
}

/// How a token is shown.
fn schemes() -> Value {
    json!({
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "Made by `selfheal token create NAME --scope viewer|operator|admin`",
        },
    })
}

fn problem(description: &str) -> Value {
    let schema = json!({ "$ref": "#/components/schemas/ProblemBody" });
    json!({
        "description": description,
        "content": { "application/problem+json": { "schema": schema } },
    })
}

/// Serves it.
pub(super) async fn openapi(State(api): State<Api>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], api.document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Value {
        document(&super::super::routes().split_for_parts().1)
    }

    #[test]
    fn the_document_is_as_promised() {
        insta::assert_json_snapshot!(whole(), { ".info.version" => "VERSION" });
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(map) => {
                    if let Some(Value::String(to)) = map.get("$ref") {
                        found.push(to.clone());
                    }
                    map.values().for_each(|v| references(v, found));
                }
                Value::Array(list) => list.iter().for_each(|v| references(v, found)),
                _ => {}
            }
        }
        let document = whole();
        let mut found = vec![];
        references(&document, &mut found);
        assert!(found.len() > 20, "{found:?}");
        for reference in found {
            let pointer = reference.trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
    }
}
