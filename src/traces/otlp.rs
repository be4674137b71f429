//! Spans as OTLP writes them in JSON (opentelemetry-proto 1.x, `ExportTraceServiceRequest`). Pure.

use serde_json::{Value, json};

use super::compose::Span;

/// `SpanKind` INTERNAL and `StatusCode` ERROR.
const INTERNAL: u8 = 1;
const ERROR: u8 = 2;

/// One request with all of them.
pub(super) fn request(resource: &[(String, String)], spans: &[Span]) -> String {
    let resource: Vec<Value> = resource
        .iter()
        .map(|(key, value)| json!({"key": key, "value": {"stringValue": value}}))
        .collect();
    let spans: Vec<Value> = spans.iter().map(span).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": resource},
        "scopeSpans": [{
            "scope": {"name": "selfheal", "version": env!("CARGO_PKG_VERSION")},
            "spans": spans,
        }],
    }]})
    .to_string()
}

fn span(span: &Span) -> Value {
    // Ids are hexadecimal, and numbers of 64 bits are texts.
    let nanos = |at: &chrono::DateTime<chrono::Utc>| {
        at.timestamp_nanos_opt().unwrap_or_default().max(0).to_string()
    };
    let attributes: Vec<Value> = span
        .attributes
        .iter()
        .map(|(key, value)| json!({"key": key, "value": attribute(value)}))
        .collect();
    let mut written = json!({
        "traceId": span.trace.simple().to_string(),
        "spanId": format!("{:016x}", span.id),
        "name": span.name,
        "kind": INTERNAL,
        "startTimeUnixNano": nanos(&span.began),
        "endTimeUnixNano": nanos(&span.ended),
        "attributes": attributes,
    });
    if let Some(parent) = span.parent {
        written["parentSpanId"] = json!(format!("{parent:016x}"));
    }
    if let Some(error) = &span.error {
        written["status"] = json!({"code": ERROR, "message": error});
    }
    written
}

fn attribute(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => json!({"doubleValue": number}),
        Value::Number(number) => json!({"intValue": number.to_string()}),
        Value::Bool(truth) => json!({"boolValue": truth}),
        Value::String(text) => json!({"stringValue": text}),
        other => json!({"stringValue": other.to_string()}),
    }
}
