//! Where new passwords and tokens come from: they are derived from a key, not stored.
//!
//! `HMAC-SHA256(key, context)` gives the same secret for the same context each time. A step that is
//! repeated, on this machine or another, arrives at the password it had; nothing has to be written
//! before a password is used; and who holds the key file can have the list at any time.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The characters of a password.
pub const PASSWORD_LENGTH: usize = 12;

/// The four classes, without the look-alikes O, 0, I, l and 1.
const CLASSES: [&[u8]; 4] =
    [b"abcdefghijkmnopqrstuvwxyz", b"ABCDEFGHJKLMNPQRSTUVWXYZ", b"23456789", b"!@#$%^&*-_"];

/// The characters of all classes together.
const CHARACTERS: usize = 25 + 24 + 8 + 10;

/// The largest key file that is read: a key has 64 digits and a line end.
const FILE_MAX: u64 = 128;

/// A text that is not shown by accident, and whose memory is cleared when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps this text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(...)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        // Otherwise the compiler may leave out writes that nobody reads.
        std::hint::black_box(&bytes);
    }
}

/// A one-time token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What its owner gets: 32 bytes in base64url, 43 characters.
    pub text: Secret,
    /// What the database keeps: the SHA-256 of the text in hexadecimal. 256 bits of chance need no
    /// slow hash.
    pub digest: String,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file could not be read or written.
    #[error("the key file {} could not be used", path.display())]
    File {
        /// Where it was looked for.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("the key file {} does not hold 64 hexadecimal digits", path.display())]
    NotAKey {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There was no chance to be had.
    #[error("the operating system gave no random bytes for a key")]
    NoRandom,
}

/// The key from which all secrets of a run are derived.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey([u8; 32]);

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretKey(...)")
    }
}

impl SecretKey {
    /// A new key from the operating system's chance.
    ///
    /// # Errors
    /// [`KeyError::NoRandom`].
    pub fn random() -> Result<Self, KeyError> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).map_err(|_| KeyError::NoRandom)?;
        Ok(Self(bytes))
    }

    /// Reads a key file: 64 hexadecimal digits and perhaps space around them.
    ///
    /// # Errors
    /// [`KeyError::File`] if it cannot be read, [`KeyError::NotAKey`] if it holds anything else.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let mut text = Secret::new(String::new());
        File::open(path)
            .and_then(|file| file.take(FILE_MAX).read_to_string(&mut text.0))
            .map_err(|source| file_error(path, source))?;
        parse(text.reveal().trim()).map(Self).ok_or(KeyError::NotAKey { path: path.into() })
    }

    /// Reads the key file, or writes a new one that only its owner can read. The file appears
    /// whole and synced or not at all, and one that is there is never replaced, so of several
    /// programs that start at once all get the same key.
    ///
    /// # Errors
    /// As [`SecretKey::load`] and [`SecretKey::random`]; [`KeyError::File`] if it cannot be
    /// written.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        match Self::load(path) {
            Err(KeyError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            loaded => return loaded,
        }
        let key = Self::random()?;
        match key.create(path) {
            Ok(()) => Ok(key),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load(path),
            Err(source) => Err(file_error(path, source)),
        }
    }

    /// Writes the key next to its place under another name, with mode 0600, and moves it there
    /// unless the place is taken.
    fn create(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new().prefix(".key-").tempfile_in(folder)?;
        file.write_all(format!("{}\n", hexadecimal(&self.0)).as_bytes())?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path)?;
        // Windows has no way to sync a folder.
        if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
    }

    /// The password for this context: [`PASSWORD_LENGTH`] characters with at least one of each
    /// class, every such text equally likely (72 bits).
    #[must_use]
    pub fn password(&self, context: &[&str]) -> Secret {
        let characters = CLASSES.concat();
        let mut text = Vec::with_capacity(PASSWORD_LENGTH);
        // Whole texts are thrown away until one has all classes, because to put one of each in
        // place would make some texts likelier. Two of three have them, so the end is near.
        for byte in self.stream(context) {
            // 201 of the 256 bytes stand for a character, three bytes for each.
            if usize::from(byte) >= 3 * CHARACTERS {
                continue;
            }
            text.push(characters[usize::from(byte) % CHARACTERS]);
            if text.len() < PASSWORD_LENGTH {
                continue;
            }
            if CLASSES.iter().all(|class| text.iter().any(|one| class.contains(one))) {
                break;
            }
            text.clear();
        }
        Secret::new(text.into_iter().map(char::from).collect())
    }

    /// The one-time token for this context.
    #[must_use]
    pub fn token(&self, context: &[&str]) -> Token {
        let text = URL_SAFE_NO_PAD.encode(self.block("token", context, 0));
        let digest = hexadecimal(digest(&SHA256, text.as_bytes()).as_ref());
        Token { text: Secret::new(text), digest }
    }

    /// 16 hexadecimal digits that tell this key from others and tell nothing else about it, so
    /// that a run can refuse another key.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hexadecimal(&digest(&SHA256, &self.0).as_ref()[..8])
    }

    /// As many bytes as anybody wants for the passwords of this context.
    fn stream(&self, context: &[&str]) -> impl Iterator<Item = u8> {
        (0..=u32::MAX).flat_map(|number| self.block("password", context, number))
    }

    /// HMAC-SHA256 over the block's number, the purpose and the parts. Each part follows its
    /// length, so that `["a", "bc"]` and `["ab", "c"]` are different contexts.
    fn block(&self, purpose: &str, context: &[&str], number: u32) -> [u8; 32] {
        let mut signing = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        signing.update(&number.to_be_bytes());
        for part in std::iter::once(&purpose).chain(context) {
            signing.update(&(part.len() as u64).to_be_bytes());
            signing.update(part.as_bytes());
        }
        let mut block = [0; 32];
        block.copy_from_slice(signing.sign().as_ref());
        block
    }
}

fn file_error(path: &Path, source: io::Error) -> KeyError {
    KeyError::File { path: path.into(), source }
}

fn parse(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{KeyError, PASSWORD_LENGTH, Secret, SecretKey, parse};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// The bytes 0 to 31.
    fn key() -> SecretKey {
        SecretKey(std::array::from_fn(|at| at as u8))
    }

    #[test]
    fn the_same_context_gives_the_same_secret_for_ever() {
        // These three must never change: another version of this program has to arrive at the
        // passwords that an earlier one set.
        assert_eq!(key().password(&["users", "ada"]).reveal(), "qqQeB9M$JjFM");
        let token = key().token(&["users", "ada"]);
        assert_eq!(token.text.reveal(), "1ZzP7_7nmlYo0B_-NlpngV2MgH04WQAedtiQBeMjzlU");
        assert_eq!(
            token.digest,
            "af1ee1591e97998242c2fb7cc7d37872b466d5a3103b9533933a7d9b6b6b2f79"
        );
        assert_eq!(key().fingerprint(), "630dcd2966c43366");
    }

    #[test]
    fn parts_are_kept_apart() {
        let contexts: [&[&str]; 7] =
            [&[], &[""], &["", ""], &["abc"], &["ab", "c"], &["a", "bc"], &["a", "b", "c"]];
        let passwords: BTreeSet<String> =
            contexts.iter().map(|context| key().password(context).reveal().into()).collect();
        let tokens: BTreeSet<String> =
            contexts.iter().map(|context| key().token(context).digest).collect();
        assert_eq!((passwords.len(), tokens.len()), (7, 7));
    }

    proptest! {
        #[test]
        fn a_password_has_all_four_classes_and_no_look_alike(
            bytes in any::<[u8; 32]>(),
            context in prop::collection::vec(".{0,20}", 0..4),
        ) {
            let context: Vec<&str> = context.iter().map(String::as_str).collect();
            let password = SecretKey(bytes).password(&context);
            let has = |class: fn(char) -> bool| password.reveal().chars().any(class);
            prop_assert_eq!(password.reveal().len(), PASSWORD_LENGTH);
            prop_assert!(has(|one| one.is_ascii_lowercase()));
            prop_assert!(has(|one| one.is_ascii_uppercase()));
            prop_assert!(has(|one| one.is_ascii_digit()) && has(|one| "!@#$%^&*-_".contains(one)));
            prop_assert!(!has(|one| "O0Il1".contains(one)));
            prop_assert_eq!(password, SecretKey(bytes).password(&context));
        }
    }

    #[test]
    fn every_character_is_as_likely_as_it_should_be() {
        let mut counts: BTreeMap<char, u32> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for n in 0..6000 {
            let password = key().password(&[&n.to_string()]);
            for one in password.reveal().chars() {
                *counts.entry(one).or_default() += 1;
            }
            seen.insert(password.reveal().to_owned());
        }
        assert_eq!((seen.len(), counts.len()), (6000, 67));
        // Texts without a digit or a symbol are left out, which makes these more likely than 1/67
        // and letters less likely. The bounds are six standard deviations of a fair draw wide.
        let share = |class: fn(&char) -> bool| {
            let of_class: Vec<u32> =
                counts.iter().filter(|(one, _)| class(one)).map(|(_, count)| *count).collect();
            let (least, most) = (of_class.iter().min(), of_class.iter().max());
            (least.copied().unwrap_or(0), most.copied().unwrap_or(0))
        };
        let (least, most) = share(char::is_ascii_alphabetic);
        assert!(least > 820 && most < 1210, "{least} {most}");
        let (least, most) = share(|one| !one.is_ascii_alphabetic());
        assert!(least > 1040 && most < 1540, "{least} {most}");
    }

    #[test]
    fn nothing_shows_a_secret() {
        let token = key().token(&["a"]);
        let shown = format!("{:?} {:?} {token:?}", key(), key().password(&["a"]));
        assert!(!shown.contains(token.text.reveal()), "{shown}");
        assert!(!shown.contains(key().password(&["a"]).reveal()), "{shown}");
        assert!(shown.starts_with("SecretKey(...) Secret(...) Token"), "{shown}");
        assert_eq!(Secret::new("x".into()).reveal(), "x");
    }

    #[test]
    fn a_key_file_is_written_once_and_read_by_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("accounts.key");
        let keys: Vec<SecretKey> = std::thread::scope(|scope| {
            let racing: Vec<_> =
                (0..8).map(|_| scope.spawn(|| SecretKey::load_or_create(&path).unwrap())).collect();
            racing.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        assert_eq!(SecretKey::load(&path).unwrap(), keys[0]);
        assert_ne!(keys[0], SecretKey::random().unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.len() == 65 && text.ends_with('\n') && parse(text.trim()).is_some());
        // No file of another name stays behind.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn what_is_not_a_key_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(matches!(SecretKey::load(&path), Err(KeyError::File { .. })));
        let good = "0123456789abcdefABCDEF9876543210".repeat(2);
        for text in ["", "0123", &"g".repeat(64), &format!("{good}0"), &good.repeat(3), "é"] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(SecretKey::load(&path), Err(KeyError::NotAKey { .. })), "{text}");
            assert!(matches!(SecretKey::load_or_create(&path), Err(KeyError::NotAKey { .. })));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        std::fs::write(&path, format!("{good}\r\n")).unwrap();
        assert_eq!(SecretKey::load(&path).unwrap().0[..3], [0x01, 0x23, 0x45]);
        let nowhere = folder.path().join("no/such/folder/key");
        assert!(matches!(SecretKey::load_or_create(&nowhere), Err(KeyError::File { .. })));
    }
}
