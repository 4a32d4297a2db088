//! Deliberate defects, each one line where it does its harm. They prove that the simulation sees what it is there to see:
//! it must catch every one of them. Without the feature `mutants` none of them can be switched on, and the compiler
//! removes them.

use super::core::Mux;

macro_rules! mutants {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A deliberate defect. (D2 to D9: those of SocketQueue that the core could have.)
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Mutant { $($(#[$doc])* $name,)* }

        impl Mutant {
            /// All of them.
            #[cfg(feature = "mutants")]
            pub const ALL: &'static [Mutant] = &[$(Mutant::$name,)*];
        }
    };
}

mutants! {
    /// D2: a sale without an answer by its deadline is not made good.
    DeadlineForgets,
    /// D3: an approval that comes after the reversal is dropped.
    LateApprovalForgotten,
    /// An approval that comes after a decline is dropped.
    ApprovalAfterDeclineForgotten,
    /// D4: a reversal without an answer is not repeated.
    SilenceEndsReversal,
    /// D5: the first transaction of the process is never reversed.
    FirstNeverReversed,
    /// D6: the answer to every other transaction is dropped, as for a connection that closed.
    AnswerDropped,
    /// D7: a request whose time is over is sent all the same.
    SentTooLate,
    /// D8: what the journal has open is not made good after a restart.
    RestartForgets,
    /// D9: any answer to a reversal counts as acceptance.
    AnyAnswerAccepts,
    /// A waiting request goes before its terminal's reversal.
    RequestOvertakes,
    /// The terminal is free as soon as a request is sent.
    TerminalNotLocked,
    /// The terminal's newest request goes first.
    NewestFirst,
    /// What was pulled stays where it can be pulled again.
    DoubleSend,
    /// The end is counted and journaled when the answer is there, not when it is delivered.
    EndBeforeDelivery,
    /// What was pulled for a lost connection is sent on the next.
    BufferSurvivesReconnect,
    /// A request is sent before its intent is durable.
    CommitNotAwaited,
    /// An intent of unknown outcome is taken for durable.
    UnknownIsDurable,
    /// 'Original not found' is believed at once.
    NotFoundIsFinal,
    /// A key with an open reversal is not reserved.
    ReservedKeyIgnored,
    /// An approval that comes again is taken for a late one, and reversed.
    DuplicateIsLate,
    /// Of several equal candidates the last gets the answer.
    TieIsScored,
    /// An advice is reversed.
    AdviceReversed,
    /// No terminal waits for its reversal.
    HoldIgnored,
    /// A late decline cancels a reversal that was sent already.
    LateDeclineCancelsSent,
    /// A decline that was not delivered is reversed.
    DeclineReversed,
    /// An approval that was not delivered is not made good.
    UndeliveredForgotten,
    /// A sale that was in flight when the link went is not made good.
    LinkLossForgets,
    /// A connection that fails before its acknowledgement changes nothing.
    FailedAcknowledgementIgnored,
    /// Elements that have to be echoed are not compared.
    EchoIgnored,
    /// The idempotency key is not looked up.
    IdempotencyIgnored,
    /// A reversal is repeated without end.
    NeverParked,
    /// A reversal that is parked leaves no trace in the journal.
    ParkedNotJournaled,
    /// The end of one that was cancelled is not counted.
    CancelledNotCounted,
    /// A full table of reversals refuses nobody.
    TableUnbounded,
    /// What had ended in the process before is not remembered.
    TombstonesForgotten,
    /// The journal is not told that an end is undone.
    ReopenNotJournaled,
    /// An advice whose client left while it waited is forgotten.
    AdviceForgotten,
    /// An advice whose client left while it waited lets its terminal go on before it is sent.
    AdviceLosesPlace,
    /// An intent that is not in the journal is taken for durable.
    FailedIsDurable,
    /// Draining is over before what is owed had its try.
    DrainedTooEarly,
    /// A repeat of a client's is sent though its original is on its way.
    RepeatIsStranger,
}

impl Mux {
    /// Whether this defect is switched on.
    #[cfg(feature = "mutants")]
    pub(super) fn mutant(&self, which: Mutant) -> bool {
        self.settings.mutant == Some(which)
    }

    /// Never.
    #[cfg(not(feature = "mutants"))]
    #[inline(always)]
    pub(super) const fn mutant(&self, _which: Mutant) -> bool {
        false
    }
}
