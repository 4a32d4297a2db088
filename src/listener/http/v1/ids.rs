//! The names by which clients ask for their transactions.
//!
//! A transaction's number is a serial one: whoever has one could guess the next. So the name that a client gets carries
//! a seal made with a secret and the API key: with another key, or guessed, it names nothing. The secret is the journal's,
//! so that a name outlives the process, or without a journal one of this process. Logs have the number, which stands in
//! the name.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::mux::TxId;

/// What every name looks like.
pub(in super::super) const PATTERN: &str = "^tx_[0-9a-f]{12,16}_[0-9a-f]{16}$";

/// Bytes of a seal: a guess is right once in 2^64.
const SEAL_LEN: usize = 8;

/// Makes names, and reads them.
pub(super) struct Names {
    secret: [u8; 32],
}

impl Names {
    pub(super) fn new(secret: [u8; 32]) -> Names {
        Names { secret }
    }

    /// The name of `id` for the bearer of the API key `owner`.
    pub(super) fn name(&self, id: TxId, owner: &str) -> String {
        self.seal(id, owner).iter().fold(format!("tx_{id}_"), |name, byte| format!("{name}{byte:02x}"))
    }

    /// The transaction that `name` means, if it was given to `owner`.
    pub(super) fn id(&self, name: &str, owner: &str) -> Option<TxId> {
        let (number, _) = name.strip_prefix("tx_")?.split_once('_')?;
        if number.len() > 16 {
            return None;
        }
        let id = TxId(u64::from_str_radix(number, 16).ok()?);
        // The whole text: there is one spelling of each name.
        bool::from(self.name(id, owner).as_bytes().ct_eq(name.as_bytes())).then_some(id)
    }

    /// Everything that goes in has a fixed length, and most of what comes out is dropped: a plain keyed hash will do.
    fn seal(&self, id: TxId, owner: &str) -> [u8; SEAL_LEN] {
        let mut hash = Sha256::new();
        hash.update(self.secret);
        hash.update(Sha256::digest(owner));
        hash.update(id.0.to_be_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        std::array::from_fn(|at| digest[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_its_transaction_to_its_owner_only() {
        let names = Names::new([7; 32]);
        let name = names.name(TxId(0x1234_5678), "shop");
        assert!(name.starts_with("tx_000012345678_") && name.len() == 32, "{name}");
        assert_eq!(names.id(&name, "shop"), Some(TxId(0x1234_5678)));
        assert_eq!(names.id(&name, "other"), None);
        assert_eq!(Names::new([8; 32]).id(&name, "shop"), None);
        let long = names.name(TxId(u64::MAX), "");
        assert_eq!(names.id(&long, ""), Some(TxId(u64::MAX)));
    }

    #[test]
    fn what_is_no_name_names_nothing() {
        let names = Names::new([7; 32]);
        let name = names.name(TxId(1), "");
        for wrong in ["", "tx_", "tx__", "tx_1_", "000000000001", "tx_zzzzzzzzzzzz_0000000000000000", "é"] {
            assert_eq!(names.id(wrong, ""), None, "{wrong}");
        }
        for at in 0..name.len() {
            let mut other = name.clone().into_bytes();
            other[at] = if other[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(names.id(std::str::from_utf8(&other).unwrap(), ""), None, "{at}");
            assert_eq!(names.id(&name[..at], ""), None);
        }
        assert_eq!(names.id(&name.to_uppercase(), ""), None);
        assert_eq!(names.id(&format!("{name}0"), ""), None);
    }
}
