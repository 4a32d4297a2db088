//! Policy of a mux.

use std::sync::Arc;
use std::time::Duration;

use super::recovery::{OnRestart, OnUndelivered};
use crate::dialect::ReversalProfile;
use crate::iso8583::{FieldNumber, field};
use crate::rules::{AdviceReply, KeyFields};

/// Policy of one mux, as values.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `queueMessageKeyFields`.
    pub key_fields: KeyFields,
    /// Elements that a response echoes.
    pub echoed: Vec<FieldNumber>,
    /// How reversals are made; `None`: never.
    pub reversal: Option<Arc<ReversalProfile>>,
    /// `maxQueue`: transactions held, waiting and in flight.
    pub queue_max: usize,
    /// `queueLockTerminal`.
    pub lock_terminal: bool,
    /// `queueTimeout`: arrival to deadline.
    pub queue_timeout: Duration,
    /// `minResponseTime`: less than this left → not sent.
    pub min_response_time: Duration,
    /// `noAutoReversal`.
    pub no_auto_reversal: bool,
    /// `reversalOnDisconnect: immediate`.
    pub reverse_on_disconnect: bool,
    /// `reversalHold`.
    pub reversal_hold: Duration,
    /// `reversalSchedule`: delays before the 2nd, 3rd … sending.
    pub reversal_schedule: Vec<Duration>,
    /// `reversalTimeout`: each sending's time for an answer.
    pub reversal_timeout: Duration,
    /// `notFoundSettle`.
    pub not_found_settle: Duration,
    /// `lateWindow`.
    pub late_window: Duration,
    /// `deliveryTimeout`.
    pub delivery_timeout: Duration,
    /// Whether intents go through a journal (`Journal` actions, `Durable` awaited).
    pub journaled: bool,
    /// Most tombstones.
    pub tombstones_max: usize,
    /// Most transactions remembered for those who ask.
    pub records_max: usize,
    /// `idempotencyTtl`: how long an ended one is remembered.
    pub idempotency_ttl: Duration,
    /// Most reversals and advices that are not done: open, parked or listed. At it new requests that would have to be
    /// made good are refused.
    pub saf_max: usize,
    /// A deliberate defect, for the proof.
    #[cfg(feature = "mutants")]
    pub mutant: Option<super::Mutant>,
    /// `onRestart`: what becomes of an approval of which nobody knows whether the client had it.
    pub on_restart: OnRestart,
    /// `onUndelivered`: what becomes of an approval whose client turns out not to have it after it was delivered.
    pub on_undelivered: OnUndelivered,
    /// `reversalMaxAge`: older ones found at start are listed, not sent.
    pub reversal_max_age: Duration,
    /// `adviceResponse: atOnce`: a client's advice is answered so as soon as it is durable; `None`: by the host alone.
    pub advice_reply: Option<Arc<AdviceReply>>,
}

impl Default for Settings {
    fn default() -> Settings {
        let seconds = Duration::from_secs;
        Settings {
            key_fields: KeyFields(vec![field::STAN, field::TID]),
            echoed: Vec::new(),
            reversal: None,
            queue_max: 100,
            lock_terminal: true,
            queue_timeout: seconds(35),
            min_response_time: seconds(7),
            no_auto_reversal: false,
            reverse_on_disconnect: false,
            reversal_hold: seconds(60),
            reversal_schedule: [0, 2, 10, 10, 10, 10, 10, 10, 300, 300].map(seconds).to_vec(),
            reversal_timeout: seconds(5),
            not_found_settle: seconds(60),
            late_window: seconds(600),
            delivery_timeout: seconds(10),
            journaled: false,
            tombstones_max: 1 << 18,
            records_max: 100_000,
            idempotency_ttl: seconds(86_400),
            saf_max: 100_000,
            #[cfg(feature = "mutants")]
            mutant: None,
            on_restart: OnRestart::Reverse,
            on_undelivered: OnUndelivered::Reverse,
            reversal_max_age: seconds(86_400),
            advice_reply: None,
        }
    }
}
