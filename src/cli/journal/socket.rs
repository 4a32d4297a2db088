//! The operator's socket of a running gateway, from the other side.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// How long the gateway may take to connect, and to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer.
const ANSWER_LEN_MAX: u64 = 64 * 1024;

/// What the gateway answered.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// `null` where it is no JSON.
    pub(super) body: Value,
}

/// Posts one command.
///
/// # Errors
/// Nobody listens there, or what comes is no answer.
pub(super) fn post(socket: &Path, path: &str, body: &Value) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: socketqueue\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_LEN_MAX).read_to_end(&mut answer)?;
    read(&answer)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "what came is no answer of a gateway"))
}

/// The status, and the body behind the head. The gateway answers a request that asks to close with a length, not in
/// chunks.
fn read(answer: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut words = head.lines().next()?.split(' ');
    let status = words.next().filter(|version| version.starts_with("HTTP/1.")).and(words.next())?;
    Some(Answer { status: status.parse().ok()?, body: serde_json::from_str(body).unwrap_or(Value::Null) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_a_status_and_perhaps_json() {
        let some = |status, body| Some(Answer { status, body });
        for (bytes, expected) in [
            (&b"HTTP/1.1 200 OK\r\nx: y\r\n\r\n{\"done\":true}"[..], some(200, json!({ "done": true }))),
            (b"HTTP/1.1 502 Bad\r\n\r\n<html>", some(502, Value::Null)),
            (b"HTTP/1.1 200\r\n", None),
            (b"SSH-2.0\r\n\r\n", None),
            (b"HTTP/1.1 xx OK\r\n\r\n", None),
            (b"", None),
            (b"\xff", None),
        ] {
            assert_eq!(read(bytes), expected, "{bytes:?}");
        }
    }
}
