//! One thread's hasher: it draws the salts, runs the algorithm and writes the result as a string.
//!
//! argon2id and scrypt are written as PHC strings, `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`, with
//! a salt of 16 bytes and a hash of 32 in base64 without padding.

use super::{Algorithm, HashError, bcrypt};
use argon2::{Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};

/// The bytes of a salt.
const SALT: usize = 16;

/// The bytes of a hash of argon2id or scrypt.
const DIGEST: usize = 32;

/// Hashes passwords on one thread.
pub struct Hasher {
    algorithm: Algorithm,
    random: SystemRandom,
    /// The memory of argon2id, kept from hash to hash: to map and clear it each time would cost 10
    /// to 45 % of the speed.
    memory: Vec<Block>,
}

impl Hasher {
    /// A hasher that has not taken any memory yet.
    pub fn new(algorithm: Algorithm) -> Self {
        Self { algorithm, random: SystemRandom::new(), memory: Vec::new() }
    }

    /// Hashes each password with a salt of its own, all of them side by side if it is bcrypt. The
    /// passwords are ones that [`Algorithm::accepts`].
    ///
    /// # Errors
    /// [`HashError::NoRandom`] or [`HashError::Refused`]; then none was hashed.
    pub fn hash(&mut self, passwords: &[&[u8]]) -> Result<Vec<String>, HashError> {
        let mut salts = vec![[0; SALT]; passwords.len()];
        for salt in &mut salts {
            self.random.fill(salt).map_err(|_| HashError::NoRandom)?;
        }
        self.hash_with(passwords, &salts)
    }

    /// As [`Hasher::hash`] with given salts.
    pub fn hash_with(
        &mut self,
        passwords: &[&[u8]],
        salts: &[[u8; SALT]],
    ) -> Result<Vec<String>, HashError> {
        let both = passwords.iter().zip(salts);
        match self.algorithm {
            Algorithm::Bcrypt { cost } => Ok(bcrypt::hash(cost, passwords, salts)),
            Algorithm::Argon2id { memory_kib, passes, lanes } => {
                let parameters = Params::new(memory_kib, passes, lanes, Some(DIGEST))
                    .map_err(|error| HashError::Refused(error.to_string()))?;
                both.map(|(password, salt)| self.argon2id(&parameters, password, salt)).collect()
            }
            Algorithm::Scrypt { log_n, r, p } => {
                let parameters = scrypt_parameters(log_n, r, p).map_err(HashError::Refused)?;
                let head = format!("$scrypt$ln={log_n},r={r},p={p}");
                both.map(|(password, salt)| {
                    let mut digest = [0; DIGEST];
                    scrypt::scrypt(password, salt, &parameters, &mut digest)
                        .map_err(|error| HashError::Refused(error.to_string()))?;
                    Ok(phc(&head, salt, &digest))
                })
                .collect()
            }
        }
    }

    fn argon2id(
        &mut self,
        parameters: &Params,
        password: &[u8],
        salt: &[u8],
    ) -> Result<String, HashError> {
        let blocks = parameters.block_count();
        if self.memory.len() != blocks {
            self.memory = vec![Block::default(); blocks];
        }
        let mut digest = [0; DIGEST];
        Argon2::new(argon2::Algorithm::Argon2id, Version::V0x13, parameters.clone())
            .hash_password_into_with_memory(password, salt, &mut digest, &mut self.memory[..])
            .map_err(|error| HashError::Refused(error.to_string()))?;
        let (memory, passes, lanes) =
            (parameters.m_cost(), parameters.t_cost(), parameters.p_cost());
        let head = format!("$argon2id$v=19$m={memory},t={passes},p={lanes}");
        Ok(phc(&head, salt, &digest))
    }
}

/// scrypt's parameters, checked.
///
/// # Errors
/// A sentence with the parameters, if scrypt does not have them.
pub fn scrypt_parameters(log_n: u8, r: u32, p: u32) -> Result<scrypt::Params, String> {
    scrypt::Params::new(log_n, r, p)
        .map_err(|error| format!("scrypt with log_n {log_n}, r {r} and p {p}: {error}"))
}

fn phc(head: &str, salt: &[u8], digest: &[u8]) -> String {
    format!("{head}${}${}", STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(digest))
}
