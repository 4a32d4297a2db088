//! Sealing of images: XChaCha20-Poly1305 with a nonce of its own for each, bound to its row.
//!
//! A key is 32 bytes, written as 64 hexadecimal digits. Where several are given (one a line, or separated by blanks or
//! commas), the first seals, and all of them unseal.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use chacha20::{R20, hchacha};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use sha2::{Digest, Sha256};

use super::{JournalError, Options};

/// The environment variable with the key (or keys).
pub const KEY_VARIABLE: &str = "SOCKETQUEUE_JOURNAL_KEY";
/// Most keys at a time.
const KEYS_MAX: usize = 16;
/// A key file that is longer than this is none.
const KEY_FILE_MAX: u64 = 4096;
const KEY_LEN: usize = 32;
pub(super) const NONCE_LEN: usize = 24;
/// The part of a nonce that is random; the rest is counted.
const PREFIX_LEN: usize = 16;
/// Separates key ids from any other use of the hash of a key.
const KEY_ID_DOMAIN: &[u8] = b"socketqueue journal key id\0";

/// One key.
#[derive(Clone)]
pub struct Key {
    bytes: [u8; KEY_LEN],
    id: String,
}

/// The keys of a journal: the first seals.
#[derive(Clone)]
pub struct Keyring {
    keys: Vec<Key>,
    /// Where they came from.
    place: String,
}

/// A sealed image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Which key.
    pub key_id: String,
    /// Its nonce.
    pub nonce: [u8; NONCE_LEN],
    /// Ciphertext and tag.
    pub bytes: Vec<u8>,
}

/// Why something stayed sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsealed {
    /// The key is not in the ring.
    #[error("its key is not there")]
    NoKey,
    /// It was changed, or belongs to another row.
    #[error("it was changed, or belongs to another row")]
    Tampered,
}

impl Key {
    /// A new one, of the operating system's random numbers.
    ///
    /// # Errors
    /// When there are none.
    pub fn generate() -> io::Result<Key> {
        let mut bytes = [0; KEY_LEN];
        getrandom::fill(&mut bytes).map_err(no_chance)?;
        Ok(Key::of(bytes))
    }

    fn of(bytes: [u8; KEY_LEN]) -> Key {
        let digest = Sha256::new().chain_update(KEY_ID_DOMAIN).chain_update(bytes).finalize();
        let id = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        Key { bytes, id }
    }

    fn parse(text: &str) -> Option<Key> {
        let mut bytes = [0; KEY_LEN];
        if text.len() != 2 * KEY_LEN || !text.is_ascii() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Key::of(bytes))
    }

    /// Names the key without telling it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The 64 digits.
    pub fn expose(&self) -> String {
        self.bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({:?} of {})", self.keys, self.place)
    }
}

impl Keyring {
    /// The keys in `text`.
    ///
    /// # Errors
    /// [`JournalError::Key`] names `place` and which of them is no key.
    pub fn parse(text: &str, place: &str) -> Result<Keyring, JournalError> {
        let wrong = |problem: String| JournalError::Key { place: place.to_owned(), problem };
        let mut keys = Vec::new();
        for (at, word) in text.split([' ', ',', '\n', '\r', '\t']).filter(|word| !word.is_empty()).enumerate()
        {
            if at == KEYS_MAX {
                return Err(wrong(format!("more than {KEYS_MAX} keys")));
            }
            let key = Key::parse(word)
                .ok_or_else(|| wrong(format!("key {} is not 64 hexadecimal digits", at + 1)))?;
            keys.push(key);
        }
        match keys.is_empty() {
            true => Err(wrong("no key in it".to_owned())),
            false => Ok(Keyring { keys, place: place.to_owned() }),
        }
    }

    /// The keys that `options` name: the variable's if it is set, else the file's. A key file is made for a new journal.
    ///
    /// # Errors
    /// [`JournalError::NoKey`], [`JournalError::Key`].
    pub fn load(options: &Options, new_journal: bool) -> Result<Keyring, JournalError> {
        if let Some(text) = &options.key_variable {
            return Keyring::parse(text.expose(), KEY_VARIABLE);
        }
        let path = options.key_path();
        let place = path.display().to_string();
        let failed =
            |error: io::Error| JournalError::Key { place: place.clone(), problem: error.to_string() };
        match fs::metadata(&path) {
            Ok(file) if file.len() > KEY_FILE_MAX => {
                Err(JournalError::Key { place, problem: format!("longer than {KEY_FILE_MAX} bytes") })
            }
            Ok(_) => Keyring::parse(&fs::read_to_string(&path).map_err(failed)?, &place),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            Err(_) if new_journal => {
                let key = Key::generate().map_err(failed)?;
                write_key_file(&path, &format!("{}\n", key.expose())).map_err(failed)?;
                Ok(Keyring { keys: vec![key], place })
            }
            Err(_) => Err(JournalError::NoKey { path: options.file.clone(), keys: place }),
        }
    }

    /// The same keys with `key` before them.
    pub fn with_first(&self, key: Key) -> Keyring {
        let mut keys = vec![key];
        keys.extend(self.keys.iter().cloned());
        Keyring { keys, place: self.place.clone() }
    }

    /// The ids of all of them, the first first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(Key::id)
    }

    /// Where they came from.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// All of them, one a line, as a key file has them.
    pub fn expose(&self) -> String {
        self.keys.iter().map(|key| key.expose() + "\n").collect()
    }

    /// The key that seals.
    pub fn first(&self) -> Option<&Key> {
        self.keys.first()
    }

    /// Seals `image`, bound to `row`.
    ///
    /// # Errors
    /// When there are no random numbers.
    pub fn seal(&self, image: &[u8], row: &[u8]) -> io::Result<Sealed> {
        let mut sealer = Sealer::new(self)?;
        let mut bytes = Vec::new();
        let nonce = sealer.seal(image, row, &mut bytes)?;
        Ok(Sealed { key_id: sealer.key_id, nonce, bytes })
    }

    /// What was sealed for `row`.
    ///
    /// # Errors
    /// [`Unsealed`].
    pub fn unseal(&self, key_id: &str, nonce: &[u8], bytes: &[u8], row: &[u8]) -> Result<Vec<u8>, Unsealed> {
        let key = self.keys.iter().find(|key| key.id == key_id).ok_or(Unsealed::NoKey)?;
        let nonce: [u8; NONCE_LEN] = nonce.try_into().map_err(|_| Unsealed::Tampered)?;
        XChaCha20Poly1305::new(&key.bytes.into())
            .decrypt(&XNonce::from(nonce), Payload { msg: bytes, aad: row })
            .map_err(|_| Unsealed::Tampered)
    }
}

/// Random bytes for a secret.
pub(super) fn fresh_secret() -> io::Result<[u8; 32]> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(no_chance)?;
    Ok(secret)
}

/// Seals one image after the other with the first key of a ring.
///
/// No nonce is used twice: each is sixteen random bytes, the same for all of a sealer, and a count. XChaCha20-Poly1305 makes
/// a key of its own of the first sixteen bytes, and is ChaCha20-Poly1305 with that and the other eight
/// (draft-irtf-cfrg-xchacha-03, section 2.3): so that key is made once. The rest is ring's, which needs a third of the time
/// for messages as short as ours.
pub(super) struct Sealer {
    key_id: String,
    cipher: LessSafeKey,
    prefix: [u8; PREFIX_LEN],
    count: u64,
}

impl Sealer {
    /// A new one.
    ///
    /// # Errors
    /// When there is no key, or there are no random numbers.
    pub(super) fn new(ring: &Keyring) -> io::Result<Sealer> {
        let key = ring.first().ok_or_else(|| io::Error::other("no key"))?;
        let mut prefix = [0; PREFIX_LEN];
        getrandom::fill(&mut prefix).map_err(no_chance)?;
        let inner = hchacha::<R20>(&key.bytes.into(), &prefix.into());
        let cipher =
            UnboundKey::new(&CHACHA20_POLY1305, &inner).map_err(|_| io::Error::other("no cipher"))?;
        let cipher = LessSafeKey::new(cipher);
        Ok(Sealer { key_id: key.id.clone(), cipher, prefix, count: 0 })
    }

    /// The id of the key that seals.
    pub(super) fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Seals `image`, bound to `row`, into `sealed`, whatever that had. The nonce.
    ///
    /// # Errors
    /// When the image is too long for the cipher.
    pub(super) fn seal(
        &mut self,
        image: &[u8],
        row: &[u8],
        sealed: &mut Vec<u8>,
    ) -> io::Result<[u8; NONCE_LEN]> {
        let mut nonce = [0; NONCE_LEN];
        nonce[..PREFIX_LEN].copy_from_slice(&self.prefix);
        nonce[PREFIX_LEN..].copy_from_slice(&self.count.to_be_bytes());
        self.count += 1;
        let mut short = [0; NONCE_LEN - PREFIX_LEN + 4];
        short[4..].copy_from_slice(&nonce[PREFIX_LEN..]);
        sealed.clear();
        sealed.extend_from_slice(image);
        let tag = self
            .cipher
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(short), Aad::from(row), sealed)
            .map_err(|_| io::Error::other("sealing failed"))?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(nonce)
    }
}

fn no_chance(error: getrandom::Error) -> io::Error {
    io::Error::other(format!("no random numbers: {error}"))
}

/// What an image is bound to: the journal, and what of its row never changes.
pub(super) fn row_identity(journal: &str, row: i64, upstream: i64, mti: &str, received_ms: i64) -> Vec<u8> {
    let mut identity = Vec::new();
    write_row_identity(&mut identity, journal, row, upstream, mti, received_ms);
    identity
}

/// The same into `out`, whatever that had. Once for each transaction: the numbers are written by hand.
pub(super) fn write_row_identity(
    out: &mut Vec<u8>,
    journal: &str,
    row: i64,
    upstream: i64,
    mti: &str,
    received_ms: i64,
) {
    out.clear();
    out.extend_from_slice(journal.as_bytes());
    out.push(b'|');
    push_decimal(out, row);
    out.push(b'|');
    push_decimal(out, upstream);
    out.push(b'|');
    out.extend_from_slice(mti.as_bytes());
    out.push(b'|');
    push_decimal(out, received_ms);
}

fn push_decimal(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    let (mut digits, mut rest) = ([b'0'; 20], number.unsigned_abs());
    let mut at = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
        at -= 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// Writes a key file whole or not at all, readable by its owner only.
///
/// # Errors
/// Those of the system.
pub fn write_key_file(path: &Path, text: &str) -> io::Result<()> {
    let draft = super::place::beside(path, ".new");
    let _ = fs::remove_file(&draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const TWO: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    /// draft-irtf-cfrg-xchacha-03, appendix A.3.1.
    #[test]
    fn sealing_is_xchacha20_poly1305_of_the_draft() {
        let ring = Keyring::parse("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", "test")
            .unwrap();
        let key_id = ring.first().unwrap().id().to_owned();
        let nonce: Vec<u8> = (0x40..0x58).collect();
        let aad = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
        let hex = "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb\
            731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452\
            2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9\
            21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780a\
            cf49";
        let sealed: Vec<u8> =
            (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
        let plain = ring.unseal(&key_id, &nonce, &sealed, &aad).unwrap();
        assert_eq!(
            plain,
            b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
              sunscreen would be it."
        );
    }

    #[test]
    fn a_sealed_image_opens_with_its_key_for_its_row_and_unchanged_only() {
        let ring = Keyring::parse(ONE, "test").unwrap();
        let sealed = ring.seal(b"image", b"row 1").unwrap();
        let open =
            |ring: &Keyring, bytes: &[u8], row: &[u8]| ring.unseal(&sealed.key_id, &sealed.nonce, bytes, row);
        assert_eq!(open(&ring, &sealed.bytes, b"row 1").unwrap(), b"image");
        assert_eq!(open(&ring, &sealed.bytes, b"row 2"), Err(Unsealed::Tampered));
        let mut changed = sealed.bytes.clone();
        changed[0] ^= 1;
        assert_eq!(open(&ring, &changed, b"row 1"), Err(Unsealed::Tampered));
        assert_eq!(open(&ring, b"", b"row 1"), Err(Unsealed::Tampered));
        let other = Keyring::parse(TWO, "test").unwrap();
        assert_eq!(open(&other, &sealed.bytes, b"row 1"), Err(Unsealed::NoKey));
        let both = Keyring::parse(&format!("{TWO}\n{ONE}\n"), "test").unwrap();
        assert_eq!(open(&both, &sealed.bytes, b"row 1").unwrap(), b"image");
        assert_ne!(both.seal(b"image", b"row 1").unwrap().key_id, sealed.key_id);
    }

    #[test]
    fn no_nonce_is_used_twice() {
        let ring = Keyring::parse(ONE, "test").unwrap();
        let (a, b) = (ring.seal(b"image", b"1").unwrap(), ring.seal(b"image", b"1").unwrap());
        assert!(a.nonce != b.nonce && a.bytes != b.bytes);
        // Neither within a run nor in the next one.
        let (mut one, mut two) = (Sealer::new(&ring).unwrap(), Sealer::new(&ring).unwrap());
        let next = |sealer: &mut Sealer| sealer.seal(b"image", b"1", &mut Vec::new()).unwrap();
        let nonces: std::collections::BTreeSet<_> =
            (0..1000).flat_map(|_| [next(&mut one), next(&mut two)]).collect();
        assert_eq!(nonces.len(), 2000);
    }

    #[test]
    fn whatever_a_sealer_seals_is_what_the_extended_cipher_of_the_draft_seals() {
        let ring = Keyring::parse(ONE, "test").unwrap();
        let (mut sealer, mut sealed) = (Sealer::new(&ring).unwrap(), Vec::new());
        let text = [7; 300];
        for len in [0, 1, 15, 16, 63, 64, 65, 300] {
            let nonce = sealer.seal(&text[..len], b"row", &mut sealed).unwrap();
            let key = ring.first().unwrap().bytes.into();
            let whole = XChaCha20Poly1305::new(&key)
                .encrypt(&XNonce::from(nonce), Payload { msg: &text[..len], aad: b"row" })
                .unwrap();
            assert_eq!(sealed, whole, "{len} bytes");
        }
    }

    #[test]
    fn a_row_is_named_by_what_never_changes_of_it() {
        let identity = |row, ms| String::from_utf8(row_identity("journal", row, 2, "0200", ms)).unwrap();
        assert_eq!(identity(17, 1_795_316_645_000), "journal|17|2|0200|1795316645000");
        assert_eq!(identity(i64::MAX, i64::MIN), format!("journal|{}|2|0200|{}", i64::MAX, i64::MIN));
        assert_eq!(identity(0, -1), "journal|0|2|0200|-1");
    }

    #[test]
    fn what_is_no_key_is_refused_by_its_place_and_not_shown() {
        let short = &ONE[..62];
        for text in ["", " \n", short, &format!("{ONE}0"), &ONE.replace('f', "g"), &"é".repeat(32)] {
            let error = Keyring::parse(text, "KEYS").unwrap_err().to_string();
            assert!(error.starts_with("KEYS: "), "{error}");
            assert!(!error.contains("0001020304"), "{error}");
        }
        assert!(!format!("{:?}", Keyring::parse(ONE, "test").unwrap()).contains("0001020304"));
    }
}
