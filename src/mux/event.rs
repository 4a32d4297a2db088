//! What goes into the mux.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::records::Record;
use super::recovery::{Order, Recovered, Remembered};
use crate::rules::{Answer, Request};

/// Names one transaction or SAF entry of one mux, for ever: a serial number and its place in the slab.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TxId(pub(crate) u64);

/// Who waits for the reply: opaque to the core, chosen by the driver.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ClientTag(pub u64);

/// What happens to a mux. Each comes with its [`Now`].
#[derive(Debug)]
pub enum Event {
    /// A client's request.
    Submit {
        /// Who waits.
        client: ClientTag,
        /// The request.
        request: Arc<Request>,
        /// Whether and how it is remembered for those who ask later.
        record: Option<Record>,
    },
    /// A client asks again for what it has submitted with a [`Record`] before: as [`Event::Submit`] with that record, but
    /// what is not known is refused ([`Failure::Expired`](super::Failure::Expired)) and counted nowhere.
    Recall {
        /// Who waits.
        client: ClientTag,
        /// Under which key, and for what.
        record: Record,
    },
    /// The client of this transaction is gone (connection failed before a reply was handed to it).
    ClientGone {
        /// The transaction.
        id: TxId,
    },
    /// Every byte of the reply was taken by the client's socket (and acknowledged, where the design wants that).
    Delivered {
        /// The transaction.
        id: TxId,
    },
    /// The reply could not be written.
    DeliveryFailed {
        /// The transaction.
        id: TxId,
    },
    /// After `Delivered`, within `deliveryTimeout`: the connection failed and the reply's last bytes were not acknowledged.
    DeliveryLost {
        /// The transaction.
        id: TxId,
    },
    /// The client's TCP has acknowledged the reply: it can no longer turn out undelivered.
    Acknowledged {
        /// The transaction.
        id: TxId,
    },
    /// A link can be written to.
    LinkUp,
    /// The link is gone; what was pulled for it is in doubt.
    LinkDown,
    /// A host's message.
    Received(Box<Answer>),
    /// A host's own request which the shell answers by itself (`reply`: bytes for the link, bounded).
    HostRequest {
        /// What the shell answers, if it does.
        reply: Option<Bytes>,
    },
    /// The intent of this transaction is durable.
    Durable {
        /// The transaction.
        id: TxId,
    },
    /// The intent could not be journaled. `unknown`: it may be there or not.
    JournalFailed {
        /// The transaction.
        id: TxId,
        /// It may be there or not.
        unknown: bool,
    },
    /// The journal takes intents again.
    JournalUp,
    /// A row that the journal had open at start. Before any [`Event::LinkUp`] and [`Event::Submit`].
    Recover(Box<Recovered>),
    /// One that has ended, remembered by the journal for those who ask. Before any [`Event::Submit`].
    Remember(Box<Remembered>),
    /// A person decides about a parked or listed transaction.
    Operator(Order),
    /// No new requests; come to rest by `deadline` (uptime).
    Drain {
        /// By when (uptime).
        deadline: Duration,
    },
}

impl TxId {
    /// The id as a number, for where it is written down.
    pub const fn bits(self) -> u64 {
        self.0
    }
    /// The id that was written down as this number.
    pub const fn from_bits(bits: u64) -> TxId {
        TxId(bits)
    }
    /// Whether it is the first of its mux.
    pub(super) const fn is_first(self) -> bool {
        self.0 >> super::arena::INDEX_BITS == 1
    }
}

impl fmt::Display for TxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}
impl fmt::Debug for TxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TxId({self})")
    }
}
