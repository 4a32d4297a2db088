//! Requests and responses by hand.

use serde_json::Value;

use crate::plumbing::{Peer, World};

/// A response, read by its content length.
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Response {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The texts of `errors`.
    pub fn errors(&self) -> Vec<String> {
        self.json()["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|text| text.as_str().unwrap().to_owned())
            .collect()
    }
}

/// `POST path` with a body.
pub fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let mut request =
        format!("POST {path} HTTP/1.1\r\nHost: gateway\r\nContent-Length: {}\r\n\r\n", body.len())
            .into_bytes();
    request.extend_from_slice(body);
    request
}

/// The next response on the connection.
pub async fn response(client: &mut Peer) -> Response {
    let head = String::from_utf8(client.until(b"\r\n\r\n").await.to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned))
        .map_or(0, |length| length.parse().unwrap());
    let body = String::from_utf8(client.bytes(length).await.to_vec()).unwrap();
    Response { status, head, body }
}

/// The response to `POST path` on a connection of its own.
pub async fn ask(world: &World, path: &str, body: &[u8]) -> Response {
    let mut client = world.http_client();
    client.write(&post(path, body)).await;
    response(&mut client).await
}

/// A sale of 10.00, now, as SocketQueue's README has one: numbers and strings.
pub fn sale(world: &World, tid: u32, stan: u32) -> Value {
    let local = world.now().local();
    let text = |digits: &[u8]| String::from_utf8(digits.to_vec()).unwrap();
    serde_json::json!({
        "0": "0200", "3": "0", "4": 1000, "7": text(&local.mmddhhmmss()), "11": stan,
        "12": text(&local.yymmddhhmmss()), "22": "056", "24": "200", "25": "00",
        "35": "4850781234567891=19082012232800000037", "41": tid, "42": 124_642_124_643_u64, "49": "810",
    })
}

/// An echo.
pub fn echo(tid: u32, stan: u32) -> Value {
    serde_json::json!({ "0": "0800", "3": "990000", "7": "1122030405", "11": stan, "24": "831", "41": tid })
}

pub fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
