//! Where clients come in.

pub mod tcp;
