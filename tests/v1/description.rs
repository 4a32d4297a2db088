//! `/openapi.json` and `/docs`.

use std::process::{Command, Stdio};

use crate::api::{echo, scene, serve_one};
use crate::support::skip;

/// The validator's own words about the document of a gateway with these flags.
fn validated(flags: &[&str]) {
    let scene = scene(flags);
    let reply = scene.client().get("/openapi.json");
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("openapi.json");
    std::fs::write(&file, &reply.text).unwrap();
    let output = Command::new("python3")
        .args(["-m", "openapi_spec_validator", "--schema", "3.1"])
        .arg(&file)
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{flags:?}: {said}");
}

fn has_validator() -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", "import openapi_spec_validator"]).stderr(Stdio::null());
    python.status().is_ok_and(|status| status.success())
}

#[test]
fn the_document_validates_for_every_dialect_with_and_without_keys() {
    if !has_validator() {
        return skip("the OpenAPI document", "there is no openapi_spec_validator for python3");
    }
    let key = format!("--apiKeys=shop:{}", "ab".repeat(32));
    validated(&[]);
    validated(&["--hostConfig=openWay"]);
    validated(&[&key]);
}

#[test]
fn every_response_is_one_that_the_document_describes() {
    let scene = scene(&[]);
    let document = scene.client().get("/openapi.json").body;
    let described = |path: &str, method: &str, status: u16, body: &serde_json::Value| {
        let response = &document["paths"][path][method]["responses"][status.to_string()];
        let response = match response["$ref"].as_str() {
            Some(reference) => document.pointer(&reference[1..]).unwrap(),
            None => response,
        };
        let content = response["content"].as_object().unwrap_or_else(|| panic!("{status}: not described"));
        let mut schema = content.values().next().unwrap()["schema"].clone();
        schema["components"] = document["components"].clone();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let errors: Vec<String> = validator.iter_errors(body).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{status} {body}: {errors:?}");
    };
    let mut link = scene.host.link();
    let mut client = scene.client();
    client.begin(&echo(1, 1), &[]);
    serve_one(&mut link, "0800", "000");
    let reply = client.reply();
    assert_eq!(reply.status, 200);
    described("/v1/transactions", "post", 200, &reply.body);
    let looked = scene.get(&reply.id());
    described("/v1/transactions/{id}", "get", 200, &looked.body);
    for body in [serde_json::json!({"0": "0800"}), serde_json::json!({"x": 1})] {
        let reply = client.post(&body);
        described("/v1/transactions", "post", reply.status, &reply.body);
    }
    let reply = scene.get("x");
    described("/v1/transactions/{id}", "get", reply.status, &reply.body);
}

#[test]
fn the_pages_can_be_switched_off() {
    let scene = scene(&["--apiDocs=false"]);
    let mut client = scene.client();
    for path in ["/openapi.json", "/docs", "/docs/page.js"] {
        client.get(path).is_problem(404, "not_found");
    }
}
