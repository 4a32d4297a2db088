//! The bytes that a session writes, and the answers among them.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};

use crate::framing::{FrameError, Framing};
use crate::listener::deliveries::{Answer, Deliveries};

/// Above so many bytes not yet written, nothing more is read from that client.
pub(super) const OUT_HIGH_WATER: usize = 64 * 1024;

/// The way out of one session.
#[derive(Default)]
pub(super) struct Output {
    bytes: BytesMut,
    /// Bytes of this connection appended so far.
    appended: u64,
    /// What has come of the answers.
    pub(super) deliveries: Deliveries,
}

impl Output {
    /// Appends a message. `deadline`: when it must have been written (uptime).
    ///
    /// # Errors
    /// The message does not fit the client's framing; nothing was appended.
    #[inline(always)]
    pub(super) fn push(
        &mut self,
        framing: &Framing,
        envelope: &Bytes,
        message: &[u8],
        deadline: Duration,
        answer: Option<Answer>,
    ) -> Result<(), FrameError> {
        let before = self.bytes.len();
        if self.bytes.capacity() == 0 {
            self.bytes = BytesMut::with_capacity(message.len() + framing.overhead());
        }
        if let Err(error) = framing.encode(message, envelope, &mut self.bytes) {
            self.bytes.truncate(before);
            return Err(error);
        }
        self.appended += (self.bytes.len() - before) as u64;
        self.deliveries.push(self.appended, deadline, answer);
        Ok(())
    }

    /// What is to be written.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether everything was written.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The socket has taken `count` bytes from the front.
    pub(super) fn wrote(&mut self, count: usize) {
        self.deliveries.wrote(count);
        if count < self.bytes.len() {
            self.bytes.advance(count);
        } else {
            // An idle connection holds no buffer.
            self.bytes = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mux::TxId;

    #[test]
    fn a_reply_that_does_not_fit_the_framing_leaves_no_trace() {
        let mut output = Output::default();
        let framing = Framing::parse("ascii4").unwrap();
        let long = vec![b'x'; 10_000];
        let answer = Some(Answer { slot: 0, id: TxId(1), reversible: true });
        assert!(output.push(&framing, &Bytes::new(), &long, Duration::from_secs(35), answer).is_err());
        assert!(output.is_empty() && output.deliveries.deadline().is_none());
    }
}
