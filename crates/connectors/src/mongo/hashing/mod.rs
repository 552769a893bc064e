//! Hashing of passwords on threads of its own, and where new passwords come from.
//!
//! [`Algorithm`] says how, [`Pool`] does it, [`calibrate`] tells how fast this machine is, and
//! [`SecretKey`] derives the passwords and tokens themselves.

mod bcrypt;
mod calibrate;
mod phc;
mod pi;
mod pool;
mod secrets;

#[cfg(test)]
mod tests;

pub use bcrypt::{LANES_MAX, PASSWORD_MAX as BCRYPT_PASSWORD_MAX};
pub use calibrate::{Calibration, calibrate};
pub use pool::{Lanes, Pool};
pub use secrets::{KeyError, PASSWORD_LENGTH, Secret, SecretKey, Token};

use serde::{Deserialize, Serialize};

/// The most memory that one hash may take, in KiB: 4 GiB, far above any recommendation.
pub const MEMORY_MAX_KIB: u32 = 4 * 1024 * 1024;

/// The most passes of argon2id and the most parallel blocks of scrypt. Beyond them one hash would
/// take minutes, which is a mistake in a file and not a choice.
pub const PASSES_MAX: u32 = 1000;

/// How a password becomes what the database keeps.
///
/// In a file it is a table such as `{ algorithm = "bcrypt", cost = 12 }`; what is left out has the
/// default value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "algorithm", rename_all = "lowercase", deny_unknown_fields)]
pub enum Algorithm {
    /// `$2b$` in the modular crypt form, which the `bcrypt` package of Node reads.
    Bcrypt {
        /// The binary logarithm of the number of rounds, 4 to 31. The default is 12.
        #[serde(default = "default::cost")]
        cost: u32,
    },
    /// Argon2id, version 0x13, as a PHC string. The defaults are OWASP's recommendation.
    Argon2id {
        /// Memory of one hash in KiB, at least 8 for each lane. The default is 19,456.
        #[serde(default = "default::memory_kib")]
        memory_kib: u32,
        /// Passes over the memory. The default is 2.
        #[serde(default = "default::passes")]
        passes: u32,
        /// The degree of parallelism that is written into the hash. The default is 1.
        #[serde(default = "default::one")]
        lanes: u32,
    },
    /// scrypt as a PHC string. The defaults are OWASP's recommendation.
    Scrypt {
        /// The binary logarithm of N. The default is 17.
        #[serde(default = "default::log_n")]
        log_n: u8,
        /// The block size in units of 128 bytes. The default is 8.
        #[serde(default = "default::block_size")]
        r: u32,
        /// The degree of parallelism. The default is 1.
        #[serde(default = "default::one")]
        p: u32,
    },
}

impl Default for Algorithm {
    /// bcrypt at cost 12.
    fn default() -> Self {
        Self::Bcrypt { cost: default::cost() }
    }
}

impl Algorithm {
    /// Whether the parameters are ones that the algorithm has and a machine can serve.
    ///
    /// # Errors
    /// A sentence that names the parameter and its bounds.
    pub fn check(self) -> Result<(), String> {
        match self {
            Self::Bcrypt { cost } => within("bcrypt's cost", cost, 4, 31),
            Self::Argon2id { memory_kib, passes, lanes } => {
                within("argon2id's lanes", lanes, 1, 255)?;
                within("argon2id's passes", passes, 1, PASSES_MAX)?;
                within("argon2id's memory_kib", memory_kib, 8 * lanes, MEMORY_MAX_KIB)
            }
            Self::Scrypt { log_n, r, p } => {
                within("scrypt's log_n", u32::from(log_n), 1, 24)?;
                within("scrypt's r", r, 1, 1024)?;
                within("scrypt's p", p, 1, PASSES_MAX)?;
                let bytes = (128 * u64::from(r)) << log_n;
                if bytes > u64::from(MEMORY_MAX_KIB) * 1024 {
                    return Err(format!(
                        "scrypt with log_n {log_n} and r {r} needs {} GiB, at most 4 are allowed",
                        bytes >> 30
                    ));
                }
                phc::scrypt_parameters(log_n, r, p).map(|_| ())
            }
        }
    }

    /// The algorithm and its parameters for people: "bcrypt, cost 12".
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Bcrypt { cost } => format!("bcrypt, cost {cost}"),
            Self::Argon2id { memory_kib, passes, lanes } => {
                let passes = counted(passes, "pass", "passes");
                let lanes = counted(lanes, "lane", "lanes");
                format!("argon2id, {memory_kib} KiB, {passes}, {lanes}")
            }
            Self::Scrypt { log_n, r, p } => format!("scrypt, N 2^{log_n}, r {r}, p {p}"),
        }
    }

    /// Whether this password can be hashed; bcrypt takes no more than 72 bytes and no zero byte,
    /// and to cut a password silently would let a part of it open the account.
    fn accepts(self, index: usize, password: &str) -> Result<(), HashError> {
        let Self::Bcrypt { .. } = self else { return Ok(()) };
        if password.len() > BCRYPT_PASSWORD_MAX {
            return Err(HashError::TooLong { index, bytes: password.len() });
        }
        if password.as_bytes().contains(&0) {
            return Err(HashError::ZeroByte { index });
        }
        Ok(())
    }
}

fn within(what: &str, value: u32, least: u32, most: u32) -> Result<(), String> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(format!("{what} is {value}, it must lie between {least} and {most}"))
}

fn counted(count: u32, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The values of the parameters that a file leaves out.
mod default {
    pub fn cost() -> u32 {
        12
    }
    pub fn memory_kib() -> u32 {
        19_456
    }
    pub fn passes() -> u32 {
        2
    }
    pub fn one() -> u32 {
        1
    }
    pub fn log_n() -> u8 {
        17
    }
    pub fn block_size() -> u32 {
        8
    }
}

/// Why passwords were not hashed. The index is the place of the password in its batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// bcrypt would ignore what is beyond 72 bytes.
    #[error("the password has {bytes} bytes and bcrypt takes at most {BCRYPT_PASSWORD_MAX}")]
    TooLong {
        /// The place of the password in its batch.
        index: usize,
        /// The length of the password.
        bytes: usize,
    },
    /// bcrypt would end at the zero byte.
    #[error("the password contains a zero byte, which bcrypt does not take")]
    ZeroByte {
        /// The place of the password in its batch.
        index: usize,
    },
    /// There was no salt.
    #[error("the operating system gave no random bytes for a salt")]
    NoRandom,
    /// The algorithm refused its parameters.
    #[error("{0}")]
    Refused(String),
    /// A thread of the pool is gone.
    #[error("the hashing threads have ended")]
    Ended,
}
