//! What the admin server serves over TCP, as OpenAPI 3.1. (The commands of the Unix socket stand in the documentation.)

use serde_json::{Value, json};

pub(super) fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "socketqueue admin",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What monitoring and people see of a running gateway. Read-only."
        },
        "paths": {
            "/metrics": { "get": {
                "summary": "Metrics, as Prometheus text or, when asked for, as OpenMetrics",
                "operationId": "metrics",
                "responses": { "200": { "description": "The page", "content": {
                    "text/plain": { "schema": { "type": "string" } },
                    "application/openmetrics-text": { "schema": { "type": "string" } }
                } } }
            } },
            "/healthz": { "get": {
                "summary": "Whether the process is alive",
                "operationId": "healthz",
                "responses": health("healthy")
            } },
            "/readyz": { "get": {
                "summary": "Whether requests should be sent here: a link is up, the journal takes intents, and it is not stopping",
                "operationId": "readyz",
                "responses": health("ready")
            } },
            "/stats": { "get": {
                "summary": "The statistics, as the statistics server tells them",
                "operationId": "stats",
                "responses": {
                    "200": { "description": "The statistics", "content": json_of("Statistics") },
                    "503": { "description": "An upstream does not answer", "content": json_of("Error") }
                }
            } },
            "/v1/state": { "get": {
                "summary": "Links, queues, what is in flight and what is owed; masked",
                "operationId": "state",
                "responses": { "200": { "description": "The state", "content": json_of("State") } }
            } },
            "/openapi.json": { "get": {
                "summary": "This document",
                "operationId": "openapi",
                "responses": { "200": { "description": "OpenAPI 3.1", "content": {
                    "application/json": { "schema": { "type": "object" } }
                } } }
            } }
        },
        "components": { "schemas": {
            "Error": object(json!({ "error": { "type": "string" } })),
            "Statistics": object(json!({
                "securedAmount": { "type": "number" },
                "processedAmount": { "type": "number" },
                "refundAmount": { "type": "number" },
                "reversalAmount": { "type": "number" },
                "faultStat": { "type": "object", "additionalProperties": count() },
                "packetCount": { "type": "object", "additionalProperties": count(), "required": ["total"] }
            })),
            "State": object(json!({
                "version": { "type": "string" },
                "uptime_ms": count(),
                "log_level": { "enum": ["warn", "info", "verbose"] },
                "upstreams": { "type": "array", "items": { "$ref": "#/components/schemas/Upstream" } },
                "listeners": { "type": "array", "items": object(json!({
                    "name": { "type": "string" }, "connections": count(), "limit": count(), "requests": count()
                })) }
            })),
            "Upstream": {
                "type": "object",
                "required": ["name", "answers"],
                "additionalProperties": false,
                "properties": {
                    "name": { "type": "string" },
                    "answers": { "type": "boolean", "description": "false: it is no more, or stuck; the rest is missing then" },
                    "draining": { "type": "boolean" },
                    "link": object(json!({
                        "up": { "type": "boolean" }, "connects": count(), "losses": count(), "failures": count()
                    })),
                    "queue": object(json!({ "waiting": count(), "limit": count(), "oldest_ms": age() })),
                    "in_flight": count(),
                    "being_delivered": count(),
                    "terminals_busy": count(),
                    "reversals": object(json!({
                        "waiting": count(), "sent": count(), "parked": count(), "listed": count(), "oldest_ms": age()
                    })),
                    "journal": { "anyOf": [object(json!({
                        "up": { "type": "boolean", "description": "false: it takes no new financial transactions" },
                        "open_rows": count(),
                        "waiting": count(),
                        "end_lag_ms": count(),
                        "commit_failures": count(),
                        "wal_bytes": count()
                    })), { "type": "null" }] },
                    "transactions": {
                        "type": "array",
                        "maxItems": super::state::TRANSACTIONS_MAX,
                        "items": object(json!({
                            "request": { "type": "string", "description": "the id, as in the logs" },
                            "mti": { "type": "string", "pattern": "^[0-9]{4}$" },
                            "key": { "type": "object", "additionalProperties": { "type": "string" } },
                            "state": { "type": "string" },
                            "age_ms": count(),
                            "attempts": count()
                        }))
                    },
                    "transactions_left_out": count()
                }
            }
        } }
    })
}

fn health(member: &str) -> Value {
    let yes = object(json!({ (member): { "const": true } }));
    let no = object(json!({ (member): { "const": false }, "reason": { "type": "string" } }));
    json!({
        "200": { "description": "It is", "content": { "application/json": { "schema": yes } } },
        "503": { "description": "It is not, and why", "content": { "application/json": { "schema": no } } }
    })
}

fn json_of(schema: &str) -> Value {
    json!({ "application/json": { "schema": { "$ref": format!("#/components/schemas/{schema}") } } })
}

/// An object with just these members.
fn object(properties: Value) -> Value {
    let required: Vec<_> =
        properties.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    json!({ "type": "object", "required": required, "additionalProperties": false, "properties": properties })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn age() -> Value {
    json!({ "type": ["integer", "null"], "minimum": 0 })
}
