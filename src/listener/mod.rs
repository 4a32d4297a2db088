//! Where clients come in: [`tcp`] speaks ISO 8583, [`http`] JSON and hex. What they share: the [door] where
//! connections are counted, the open transactions of a connection (`slots`), how far each answer has come
//! (`deliveries`), and failures in words (`refusal`).

mod deliveries;
pub mod door;
mod figures;
pub mod http;
mod refusal;
mod slots;
pub mod tcp;

pub use figures::Figures;
