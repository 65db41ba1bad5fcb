//! The description of the HTTP interface in `OpenAPI` 3.1: schemas from the types, paths from one table. Other crates
//! describe their own routes, and their descriptions are merged in.

use http_api::ProblemBody;
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::deliveries::{DeliveriesView, DeliveryView, SecretView};
use super::meetings::PageView;
use super::view::{InvitationView, MeetingView, OwnWayView};
use crate::meeting::{Attendee, Change, NewAttendee, State, Wanted};

/// Accepted values, as far as patterns can express them; some patterns are narrower, so that every value they describe
/// is accepted.
const TITLE: &str = r"^[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028-\u202f\u205f\u2066-\u2069\u3000][^\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]{0,199}$";
const NAME: &str = r"^[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028-\u202f\u205f\u2066-\u2069\u3000][^\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]{0,63}$";
const EMAIL: &str =
    r"^[A-Za-z0-9_%+-]{1,30}(\.[A-Za-z0-9_%+-]{1,30})?@([A-Za-z0-9]{1,30}\.){1,2}[A-Za-z]{2,30}$";
const TIME: &str = r"^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,3})?(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])$";
const RULE: &str = r"^FREQ=(DAILY|WEEKLY|MONTHLY)(;INTERVAL=[1-9])?;(COUNT=[1-9][0-9]{0,2}|UNTIL=20[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|1[0-9]|2[0-8]))$";
const HOOK: &str = r"^https://[a-z][a-z0-9-]{0,30}\.(com|net|org|example)(/[A-Za-z0-9._~-]{0,30}){0,3}$";
/// The base64 of 24 to 64 bytes: groups of four, and what remains, whose unused bits are zero.
const SECRET: &str = r"^whsec_([A-Za-z0-9+/]{4}){8,20}([A-Za-z0-9+/]{4}([A-Za-z0-9+/][AQgw]==)?|[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$";

/// The format of properties by schema.
const PATTERNS: &[(&str, &str, &str)] = &[
    ("NewMeeting", "title", TITLE),
    ("NewMeeting", "startsAt", TIME),
    ("NewMeeting", "recurrence", RULE),
    ("NewMeeting", "webhookUrl", HOOK),
    ("MeetingChange", "title", TITLE),
    ("MeetingChange", "startsAt", TIME),
    ("MeetingChange", "recurrence", RULE),
    ("MeetingChange", "webhookUrl", HOOK),
    ("NewMeeting", "webhookSecret", SECRET),
    ("NewAttendee", "name", NAME),
    ("NewAttendee", "email", EMAIL),
];

/// Creates the value at run time, since constants cannot hold one.
type Make = fn() -> Value;

/// Default values.
const DEFAULTS: &[(&str, &str, Make)] = &[
    ("NewMeeting", "lobby", || json!(false)),
    ("NewMeeting", "waitForHost", || json!(false)),
    ("NewMeeting", "attendees", || json!([])),
    ("NewMeeting", "emptyTimeoutSeconds", || json!(600)),
];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Visavis",
        description = "Book meetings and learn what becomes of them, look into rooms, fetch recordings."
    ),
    components(schemas(
        Attendee,
        Change,
        DeliveriesView,
        DeliveryView,
        InvitationView,
        MeetingView,
        NewAttendee,
        OwnWayView,
        PageView,
        ProblemBody,
        SecretView,
        State,
        Wanted,
    ))
)]
struct Schemas;

/// One operation: its name in generated clients, method, path, summary, the schema of its body, its success, and the
/// statuses of its refusals.
struct Operation {
    id: &'static str,
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    body: Option<&'static str>,
    success: (u16, Option<(&'static str, &'static str)>),
    refusals: &'static [u16],
    is_public: bool,
}

const JSON: &str = "application/json";

const fn operation(
    id: &'static str,
    method: &'static str,
    path: &'static str,
    summary: &'static str,
) -> Operation {
    Operation {
        id,
        method,
        path,
        summary,
        body: None,
        success: (204, None),
        refusals: READ,
        is_public: false,
    }
}

const READ: &[u16] = &[400, 401, 403, 404, 429, 500, 503];
/// 304 is not an error and has no body.
const CONDITIONAL: &[u16] = &[304, 400, 401, 403, 404, 429, 500, 503];
const WRITE: &[u16] = &[400, 401, 403, 404, 409, 412, 413, 415, 422, 428, 429, 500, 503];

const OPERATIONS: &[Operation] = &[
    Operation {
        body: Some("NewMeeting"),
        success: (201, Some((JSON, "Meeting"))),
        refusals: WRITE,
        ..operation("bookMeeting", "post", "/api/v1/meetings", "Book a meeting")
    },
    Operation {
        success: (200, Some((JSON, "MeetingPage"))),
        ..operation("listMeetings", "get", "/api/v1/meetings", "A page of meetings")
    },
    Operation {
        success: (200, Some((JSON, "Meeting"))),
        refusals: CONDITIONAL,
        ..operation("getMeeting", "get", "/api/v1/meetings/{id}", "One meeting")
    },
    Operation {
        body: Some("MeetingChange"),
        success: (200, Some((JSON, "Meeting"))),
        refusals: WRITE,
        ..operation("changeMeeting", "patch", "/api/v1/meetings/{id}", "Change a meeting")
    },
    Operation {
        refusals: WRITE,
        ..operation("deleteMeeting", "delete", "/api/v1/meetings/{id}", "Call a meeting off, or erase it")
    },
    Operation {
        success: (200, Some((JSON, "Meeting"))),
        refusals: WRITE,
        ..operation(
            "endMeeting",
            "post",
            "/api/v1/meetings/{id}/end",
            "End a meeting, or the present occurrence of a series",
        )
    },
    Operation {
        success: (200, Some(("text/calendar", "Text"))),
        is_public: true,
        ..operation("getCalendarFile", "get", "/api/v1/meetings/{id}/calendar.ics", "The calendar file")
    },
    Operation {
        success: (200, Some((JSON, "Deliveries"))),
        ..operation("listDeliveries", "get", "/api/v1/meetings/{id}/deliveries", "What webhooks were told")
    },
    Operation {
        success: (202, None),
        refusals: WRITE,
        ..operation(
            "replayDelivery",
            "post",
            "/api/v1/meetings/{id}/deliveries/{delivery}/replay",
            "Tell it once more",
        )
    },
    Operation {
        success: (200, Some((JSON, "WebhookSecret"))),
        refusals: WRITE,
        ..operation(
            "renewWebhookSecret",
            "post",
            "/api/v1/meetings/{id}/webhook-secret",
            "A new secret for webhooks",
        )
    },
    Operation {
        success: (200, Some((JSON, "Invitation"))),
        is_public: true,
        ..operation(
            "getInvitation",
            "get",
            "/api/v1/invitations/{id}",
            "What everybody may know who has the id",
        )
    },
    Operation {
        success: (200, Some(("image/svg+xml", "Text"))),
        is_public: true,
        ..operation("getInvitationQrCode", "get", "/api/v1/invitations/{id}/qr.svg", "The link as a QR code")
    },
];

impl Operation {
    fn parameters(&self) -> Vec<Value> {
        let parameter = |name: &str, place: &str, required: bool, schema: Value| json!({"name": name, "in": place, "required": required, "schema": schema});
        let id = || json!({"type": "string", "pattern": "^[0-9a-hjkmnp-tv-z]{16}$"});
        let mut all = Vec::new();
        if self.path.contains("{id}") {
            all.push(parameter("id", "path", true, id()));
        }
        if self.path.contains("{delivery}") {
            all.push(parameter(
                "delivery",
                "path",
                true,
                json!({"type": "string", "pattern": "^msg_[0-9a-f]{24}$"}),
            ));
        }
        match (self.method, self.path) {
            ("get", "/api/v1/meetings") => {
                all.push(parameter("after", "query", false, id()));
                let limit = json!({"type": "integer", "minimum": 1, "maximum": 100, "default": 20});
                all.push(parameter("limit", "query", false, limit));
                let states = ["scheduled", "open", "ended", "cancelled", "expired"];
                all.push(parameter("state", "query", false, json!({"type": "string", "enum": states})));
                for name in ["from", "to"] {
                    let instant = json!({"type": "string", "format": "date-time", "pattern": TIME});
                    let what = match name {
                        "from" => "Meetings whose present occurrence begins then or later.",
                        _ => "Meetings whose present occurrence begins earlier.",
                    };
                    all.push(described(parameter(name, "query", false, instant), what));
                }
            }
            ("get", "/api/v1/meetings/{id}") => {
                all.push(parameter("If-None-Match", "header", false, json!({"type": "string"})));
            }
            ("delete", "/api/v1/meetings/{id}") => {
                let flag = json!({"type": "boolean", "default": false});
                let erase = parameter("erase", "query", false, flag);
                all.push(described(erase, "Whether nothing is to be kept of it."));
            }
            ("post", "/api/v1/meetings") => {
                let key = json!({"type": "string", "pattern": "^[!-~]([ -~]{0,253}[!-~])?$"});
                all.push(parameter("Idempotency-Key", "header", false, key));
            }
            ("patch", _) => {
                let tag = json!({"type": "string", "pattern": "^(\\*|(W/)?\"[0-9]{1,9}\")$"});
                all.push(parameter("If-Match", "header", true, tag));
            }
            _ => {}
        }
        all
    }

    fn responses(&self) -> Value {
        let reference = |schema: &str| match schema {
            "Text" => json!({"type": "string"}),
            schema => json!({"$ref": format!("#/components/schemas/{schema}")}),
        };
        let mut all = Map::new();
        let (status, content) = self.success;
        let mut success = json!({"description": "Done"});
        if let Some((kind, schema)) = content {
            success = json!({"description": "Done", "content": {kind: {"schema": reference(schema)}}});
        }
        all.insert(status.to_string(), success);
        for status in self.refusals {
            let refused = match status {
                304 => json!({"description": "The client has this version"}),
                _ => json!({"$ref": "#/components/responses/Refused"}),
            };
            all.insert(status.to_string(), refused);
        }
        all.into()
    }

    fn described(&self) -> Value {
        let mut described = json!({
            "summary": self.summary,
            "operationId": self.id,
            "parameters": self.parameters(),
            "responses": self.responses(),
            "security": match (self.is_public, self.body) {
                (true, _) => json!([]),
                // On most servers meetings can also be created without a key.
                (false, Some("NewMeeting")) => json!([{}, {"bearer": []}]),
                (false, _) => json!([{"bearer": []}]),
            },
        });
        if let Some(schema) = self.body {
            let schema = json!({"$ref": format!("#/components/schemas/{schema}")});
            let body = json!({"required": true, "content": {JSON: {"schema": schema}}});
            if let Some(described) = described.as_object_mut() {
                described.insert("requestBody".to_owned(), body);
            }
        }
        described
    }
}

/// The whole document: that of the meetings, merged with the descriptions of other routes (`paths` and
/// `components.schemas`).
pub(super) fn document(others: &[Value]) -> Value {
    let mut document = serde_json::to_value(Schemas::openapi()).unwrap_or_default();
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(operation.method.to_owned(), operation.described());
        }
    }
    let mut schemas = Map::new();
    for other in others {
        for (all, pointer) in [(&mut paths, "/paths"), (&mut schemas, "/components/schemas")] {
            let theirs = other.pointer(pointer).and_then(Value::as_object);
            all.extend(theirs.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
        }
    }
    if let Some(own) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) {
        own.extend(schemas);
    }
    let bearer = json!({
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, or the host token of a meeting or room",
    });
    let problem = json!({"$ref": "#/components/schemas/Problem"});
    let refused =
        json!({"description": "Refused", "content": {"application/problem+json": {"schema": problem}}});
    if let Some(document) = document.as_object_mut() {
        document.insert("openapi".to_owned(), "3.1.0".into());
        document.insert("paths".to_owned(), paths.into());
    }
    for (schema, property, pattern) in PATTERNS {
        let pointer = format!("/components/schemas/{schema}/properties/{property}");
        if let Some(property) = document.pointer_mut(&pointer).and_then(Value::as_object_mut) {
            property.insert("pattern".to_owned(), (*pattern).into());
        }
    }
    for (schema, property, value) in DEFAULTS {
        let pointer = format!("/components/schemas/{schema}/properties/{property}");
        if let Some(property) = document.pointer_mut(&pointer).and_then(Value::as_object_mut) {
            property.insert("default".to_owned(), value());
        }
    }
    // An `enum` of six hundred names makes generated clients unusable.
    let names: Vec<String> =
        jiff::tz::db().available().map(|zone| zone.as_str().replace('+', r"\+")).collect();
    let pattern = format!("^({})$", names.join("|"));
    for (schema, kind) in [("NewMeeting", json!("string")), ("MeetingChange", json!(["string", "null"]))] {
        let pointer = format!("/components/schemas/{schema}/properties/timeZone");
        if let Some(zone) = document.pointer_mut(&pointer) {
            let description = "A name of the IANA time zone database.";
            *zone = json!({"type": kind, "pattern": pattern, "description": description, "examples": ["Europe/Berlin"]});
        }
    }
    if let Some(components) = document.get_mut("components").and_then(Value::as_object_mut) {
        components.insert("securitySchemes".to_owned(), json!({"bearer": bearer}));
        components.insert("responses".to_owned(), json!({"Refused": refused}));
    }
    document
}

/// An object of the document with a description.
fn described(mut object: Value, description: &str) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.insert("description".to_owned(), description.into());
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, all: &mut Vec<String>) {
            match value {
                Value::Object(fields) => {
                    for (name, value) in fields {
                        if name == "$ref" {
                            all.push(value.as_str().unwrap().to_owned());
                        }
                        references(value, all);
                    }
                }
                Value::Array(values) => values.iter().for_each(|value| references(value, all)),
                _ => {}
            }
        }
        let others = [json!({
            "paths": {"/api/v1/rooms": {"get": {"responses": {"400": {"$ref": "#/components/responses/Refused"}}}}},
            "components": {"schemas": {"Room": {"type": "object"}}},
        })];
        let document = document(&others);
        let mut all = Vec::new();
        references(&document, &mut all);
        assert!(all.len() > 20);
        for reference in all {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        assert_eq!(document["openapi"], "3.1.0");
        assert!(document.pointer("/paths/~1api~1v1~1rooms/get").is_some());
        assert!(document.pointer("/components/schemas/Room").is_some());
    }
}
