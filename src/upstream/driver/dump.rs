//! At `vv`: every message with all its fields, masked, under the id of its transaction.

use bytes::Bytes;
use slog::trace;

use super::super::handle::Who;
use super::Driver;
use crate::dialect::pretty::{self, Remarks};
use crate::iso8583::Message;
use crate::mux::{ClientTag, Transmit, TxId};
use crate::net::Stream;

impl<S: Stream> Driver<S> {
    /// A client's request, with the id under which it was just accepted. What is refused at once has none.
    pub(super) fn dump_request(&mut self, who: Who, message: &Message) {
        self.last_accepted = None;
        self.carry_out();
        self.dump(self.last_accepted, &who.to_string(), message, Remarks::default());
    }

    /// The host's answer, for the client that gets it.
    pub(super) fn dump_reply(&self, client: ClientTag, id: Option<TxId>, reply: &Bytes) {
        let Some(who) = self.sessions.who(client) else { return };
        if let Ok(lenient) = Message::parse_lenient(&self.dialect.schema, reply.clone()) {
            self.dump(id, &format!("ISO host to {who}"), &lenient.message, Remarks::default());
        }
    }

    /// What the host sent and no client gets.
    pub(super) fn dump_incoming(&mut self, message: &Message) {
        let remarks = Remarks { auto_reversal: message.mti().is_reversal(), ..Remarks::default() };
        let about = self.report.take_about();
        self.dump(about, "ISO host", message, remarks);
    }

    /// What the host gets and no client sent.
    pub(super) fn dump_transmit(&mut self, transmit: &Transmit) {
        self.carry_out();
        let is_ours = transmit.id.is_none() || self.report.last_reversal() == transmit.id;
        if is_ours && let Ok(lenient) = Message::parse_lenient(&self.dialect.schema, transmit.bytes.clone()) {
            let remarks = Remarks { auto_reversal: true, ..Remarks::default() };
            self.dump(transmit.id, "SocketQueue to ISO host", &lenient.message, remarks);
        }
    }

    fn dump(&self, id: Option<TxId>, who: &str, message: &Message, remarks: Remarks) {
        let text = pretty::dump(&self.dialect, message, who, self.mask, remarks);
        match id {
            Some(id) => trace!(self.log, "{}", text; "request" => %id),
            None => trace!(self.log, "{}", text),
        }
    }
}
