//! How messages are put on a connection: with a framing, or as JSON in HTTP requests.

use bytes::{Buf, Bytes, BytesMut};
use serde::Deserialize;

use super::requests::TemplateError;
use super::tally::Cause;
use crate::dialect::Dialect;
use crate::framing::{FRAME_LEN_CAP, Framing};
use crate::iso8583::Message;
use crate::rules::json::{self, Fields, Values};

/// The longest head, and the longest body, of an HTTP response that is taken.
const HTTP_PART_MAX: usize = 64 * 1024;

/// What a target speaks.
#[derive(Clone, Debug)]
pub enum Speech {
    /// Messages as they are, in frames.
    Frames(Box<Framing>),
    /// `POST /` with the fields as JSON, kept alive: SocketQueue's HTTP service.
    Http,
}

/// What came from the target.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A message.
    Message(Bytes),
    /// Not a message, but what the oldest request gets. The connection goes on.
    Instead(Cause),
}

/// The stream cannot be read on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// What is looked at of the body of an HTTP response.
#[derive(Deserialize)]
struct Body {
    result: Fields,
}

impl Speech {
    /// Appends a message to `out`.
    pub(super) fn write(
        &self,
        dialect: &Dialect,
        message: &BytesMut,
        out: &mut BytesMut,
    ) -> Result<(), TemplateError> {
        let Speech::Frames(framing) = self else { return write_http(dialect, message, out) };
        framing.encode(message, &[], out)?;
        Ok(())
    }

    /// Takes what stands at the front of `buf`, when it is there as a whole.
    pub(super) fn next(&self, dialect: &Dialect, buf: &mut BytesMut) -> Result<Option<Heard>, Broken> {
        let Speech::Frames(framing) = self else { return next_response(dialect, buf) };
        let frame = framing.next_frame(&dialect.schema, FRAME_LEN_CAP, buf).map_err(|_| Broken)?;
        Ok(frame.map(|frame| Heard::Message(frame.payload)))
    }
}

impl std::fmt::Display for Speech {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Speech::Frames(framing) => write!(f, "framing {framing}"),
            Speech::Http => f.write_str("JSON over HTTP"),
        }
    }
}

fn write_http(dialect: &Dialect, message: &BytesMut, out: &mut BytesMut) -> Result<(), TemplateError> {
    let message = Message::parse(&dialect.schema, Bytes::copy_from_slice(message))?;
    let body = json::to_json(dialect, &message, Values::Exact).to_string();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body.as_bytes());
    Ok(())
}

/// One response with a length; what has none cannot be read on.
fn next_response(dialect: &Dialect, buf: &mut BytesMut) -> Result<Option<Heard>, Broken> {
    let Some(head_len) = buf.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if buf.len() > HTTP_PART_MAX { Err(Broken) } else { Ok(None) };
    };
    let head = std::str::from_utf8(buf.get(..head_len).unwrap_or_default()).map_err(|_| Broken)?;
    let mut lines = head.split("\r\n");
    let is_ok = lines.next().and_then(|status| status.split(' ').nth(1)) == Some("200");
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length =
        length.and_then(|(_, value)| value.trim().parse::<usize>().ok()).filter(|len| *len <= HTTP_PART_MAX);
    let length = length.ok_or(Broken)?;
    if buf.len() < head_len + 4 + length {
        return Ok(None);
    }
    buf.advance(head_len + 4);
    let body = buf.split_to(length);
    let message = || {
        let body: Body = serde_json::from_slice(&body).ok()?;
        json::from_json(dialect, &body.result).ok()?.to_bytes().ok()
    };
    Ok(Some(match is_ok {
        false => Heard::Instead(Cause::Refused),
        true => message().map_or(Heard::Instead(Cause::Unreadable), Heard::Message),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nContent-Length: 61\r\n\r\n\
                        {\"result\":{\"0\":\"0810\",\"11\":\"000001\",\"39\":0,\"41\":\"00000001\"}} ";

    fn heard(bytes: &[u8]) -> (Result<Option<Heard>, Broken>, usize) {
        let mut buf = BytesMut::from(bytes);
        let heard = Speech::Http.next(&Dialect::builtin("smartVista").unwrap(), &mut buf);
        (heard, buf.len())
    }

    #[test]
    fn a_response_is_taken_when_it_is_whole_and_what_follows_stays() {
        for end in 0..OK.len() {
            assert_eq!(heard(&OK[..end]), (Ok(None), end));
        }
        let (Ok(Some(Heard::Message(bytes))), 3) = heard(&[OK, b"HTT"].concat()) else { panic!("a message") };
        // 0810 with DE 11, 39 and 41: bits 11, 39 and 41 of the primary bitmap.
        assert_eq!(&bytes[..], b"0810\x00\x20\x00\x00\x02\x80\x00\x0000000100000000001");
    }

    #[test]
    fn what_is_no_answer_is_told() {
        let refused = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(heard(refused), (Ok(Some(Heard::Instead(Cause::Refused))), 0));
        let nonsense = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(heard(nonsense), (Ok(Some(Heard::Instead(Cause::Unreadable))), 0));
        assert_eq!(heard(b"HTTP/1.1 200 OK\r\n\r\n{}").0, Err(Broken), "no length");
        assert_eq!(heard(b"HTTP/1.1 200 OK\r\ncontent-length: 65537\r\n\r\n").0, Err(Broken), "too long");
        assert_eq!(heard(&[b'x'; HTTP_PART_MAX + 1]).0, Err(Broken), "an endless head");
    }
}
