//! Tests of the algorithms, the pool and the calibration. Costs are small: a test is about what
//! comes out, not about how long it takes.

use super::bcrypt::hash;
use super::phc::Hasher;
use super::{Algorithm, HashError, LANES_MAX, Lanes, Pool, Secret, calibrate};
use proptest::prelude::*;
use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

const FAST: Algorithm = Algorithm::Bcrypt { cost: 4 };

fn secret(text: &str) -> Secret {
    Secret::new(text.into())
}

#[test]
fn bcrypt_gives_the_published_hashes() {
    // From the test vectors of OpenBSD's and Openwall's bcrypt; `$2a$` and `$2b$` differ only in
    // bugs of old programs.
    let salt = |sixteen: [u8; 16]| [sixteen];
    let cs = [
        0x10, 0x41, 0x04, 0x10, 0x41, 0x04, 0x10, 0x41, 0x04, 0x10, 0x41, 0x04, 0x10, 0x41, 0x04,
        0x10,
    ];
    assert_eq!(
        hash(5, &[b"U*U"], &salt(cs)),
        ["$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"]
    );
    assert_eq!(
        hash(5, &[b"U*U*"], &salt(cs)),
        ["$2b$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"]
    );
}

#[test]
fn a_password_of_72_bytes_counts_to_its_last_byte() {
    let long = "p".repeat(72);
    let other = format!("{}q", "p".repeat(71));
    let hashes = hash(4, &[long.as_bytes(), other.as_bytes()], &[[7; 16]; 2]);
    assert!(bcrypt::verify(&long, &hashes[0]).unwrap());
    assert!(!bcrypt::verify(&other, &hashes[0]).unwrap());
    assert!(bcrypt::verify(&other, &hashes[1]).unwrap());
}

/// Texts of up to 72 bytes without a zero byte, of any script.
fn passwords(count: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<String>> {
    let any = prop_oneof!["[!-~]{0,72}", "[a-zéß日本🦀]{0,40}", "p{72}", Just(String::new())];
    prop::collection::vec(any.prop_map(|text| cut(&text)), count)
}

fn cut(text: &str) -> String {
    let mut short = String::new();
    for character in text.chars() {
        if short.len() + character.len_utf8() > 72 {
            break;
        }
        short.push(character);
    }
    short
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn bcrypt_equals_the_crate_for_every_count_of_lanes(
        passwords in passwords(LANES_MAX + 3),
        salts in prop::collection::vec(any::<[u8; 16]>(), LANES_MAX + 3),
        cost in 4_u32..=6,
    ) {
        let expected: Vec<String> = passwords
            .iter()
            .zip(&salts)
            .map(|(password, salt)| {
                bcrypt::hash_with_salt(password, cost, *salt).unwrap().to_string()
            })
            .collect();
        let passwords: Vec<&[u8]> = passwords.iter().map(String::as_bytes).collect();
        for count in 0..=passwords.len() {
            let hashes = hash(cost, &passwords[..count], &salts[..count]);
            prop_assert_eq!(&hashes[..], &expected[..count]);
        }
    }
}

#[test]
fn argon2id_gives_the_published_hash() {
    // From the test program of the reference implementation, with its salt of 8 bytes.
    let mut digest = [0; 32];
    let parameters = argon2::Params::new(256, 2, 1, Some(32)).unwrap();
    argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, parameters)
        .hash_password_into(b"password", b"somesalt", &mut digest)
        .unwrap();
    assert_eq!(digest[..4], [0x9d, 0xfe, 0xb9, 0x10]);

    let salt = *b"sixteen bytes ok";
    let mut hasher = Hasher::new(Algorithm::Argon2id { memory_kib: 256, passes: 2, lanes: 1 });
    let expected = {
        let parameters = argon2::Params::new(256, 2, 1, Some(32)).unwrap();
        argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, parameters)
            .hash_password_into(b"password", &salt, &mut digest)
            .unwrap();
        let text =
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD_NO_PAD, digest);
        format!("$argon2id$v=19$m=256,t=2,p=1$c2l4dGVlbiBieXRlcyBvaw${text}")
    };
    // The memory that the first hash leaves behind does not change the second.
    let passwords: [&[u8]; 3] = [b"password", b"another", b"password"];
    let hashes = hasher.hash_with(&passwords, &[salt; 3]).unwrap();
    assert_eq!((&hashes[0], &hashes[2]), (&expected, &expected));
    assert_ne!(hashes[1], expected);
}

#[test]
fn scrypt_gives_the_published_hash() {
    // The first 32 bytes of the vector of RFC 7914, section 12, with its salt of 4 bytes.
    let mut digest = [0; 32];
    let parameters = super::phc::scrypt_parameters(10, 8, 16).unwrap();
    scrypt::scrypt(b"password", b"NaCl", &parameters, &mut digest).unwrap();
    assert_eq!(digest[..8], [0xfd, 0xba, 0xbe, 0x1c, 0x9d, 0x34, 0x72, 0x00]);

    let salt = *b"sixteen bytes ok";
    let parameters = super::phc::scrypt_parameters(4, 8, 1).unwrap();
    scrypt::scrypt(b"password", &salt, &parameters, &mut digest).unwrap();
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD_NO_PAD, digest);
    let hashes = Hasher::new(Algorithm::Scrypt { log_n: 4, r: 8, p: 1 })
        .hash_with(&[b"password"], &[salt])
        .unwrap();
    assert_eq!(hashes, [format!("$scrypt$ln=4,r=8,p=1$c2l4dGVlbiBieXRlcyBvaw${text}")]);
}

#[test]
fn every_hash_has_a_salt_of_its_own() {
    for algorithm in [
        FAST,
        Algorithm::Argon2id { memory_kib: 8, passes: 1, lanes: 1 },
        Algorithm::Scrypt { log_n: 4, r: 1, p: 1 },
    ] {
        let hashes = Hasher::new(algorithm).hash(&[b"same", b"same"]).unwrap();
        assert_ne!(hashes[0], hashes[1], "{algorithm:?}");
    }
}

#[test]
fn parameters_beyond_their_bounds_are_named() {
    let refused = |algorithm: Algorithm| algorithm.check().unwrap_err();
    assert_eq!(
        refused(Algorithm::Bcrypt { cost: 3 }),
        "bcrypt's cost is 3, it must lie between 4 and 31"
    );
    assert!(Algorithm::Bcrypt { cost: 32 }.check().is_err());
    assert_eq!(
        refused(Algorithm::Argon2id { memory_kib: 31, passes: 1, lanes: 4 }),
        "argon2id's memory_kib is 31, it must lie between 32 and 4194304"
    );
    assert!(Algorithm::Argon2id { memory_kib: 64, passes: 0, lanes: 1 }.check().is_err());
    assert!(Algorithm::Argon2id { memory_kib: 64, passes: 1, lanes: 0 }.check().is_err());
    assert_eq!(
        refused(Algorithm::Scrypt { log_n: 24, r: 8, p: 1 }),
        "scrypt with log_n 24 and r 8 needs 16 GiB, at most 4 are allowed"
    );
    assert!(Algorithm::Scrypt { log_n: 0, r: 8, p: 1 }.check().is_err());
    assert!(Algorithm::Scrypt { log_n: 17, r: 0, p: 1 }.check().is_err());
    for allowed in [
        Algorithm::Bcrypt { cost: 4 },
        Algorithm::Bcrypt { cost: 31 },
        Algorithm::Argon2id { memory_kib: 19_456, passes: 2, lanes: 1 },
        Algorithm::Scrypt { log_n: 17, r: 8, p: 1 },
    ] {
        assert_eq!(allowed.check(), Ok(()));
    }
}

#[test]
fn a_file_names_the_algorithm_and_what_differs_from_the_defaults() {
    let read = |text: &str| toml::from_str::<Algorithm>(text);
    assert_eq!(read("algorithm = 'bcrypt'").unwrap(), Algorithm::Bcrypt { cost: 12 });
    assert_eq!(read("algorithm = 'bcrypt'\ncost = 10").unwrap(), Algorithm::Bcrypt { cost: 10 });
    assert_eq!(
        read("algorithm = 'argon2id'").unwrap(),
        Algorithm::Argon2id { memory_kib: 19_456, passes: 2, lanes: 1 }
    );
    assert_eq!(
        read("algorithm = 'scrypt'\nlog_n = 15").unwrap(),
        Algorithm::Scrypt { log_n: 15, r: 8, p: 1 }
    );
    let error = read("algorithm = 'bcrypt'\nrounds = 10").unwrap_err();
    assert!(error.to_string().contains("unknown field `rounds`"), "{error}");
    assert!(read("algorithm = 'md5'").is_err() && read("cost = 12").is_err());
    let written = serde_json::to_string(&Algorithm::default()).unwrap();
    assert_eq!(written, r#"{"algorithm":"bcrypt","cost":12}"#);
}

#[test]
fn words_for_people() {
    assert_eq!(Algorithm::default().words(), "bcrypt, cost 12");
    assert_eq!(
        Algorithm::Argon2id { memory_kib: 19_456, passes: 2, lanes: 1 }.words(),
        "argon2id, 19456 KiB, 2 passes, 1 lane"
    );
    assert_eq!(Algorithm::Scrypt { log_n: 17, r: 8, p: 1 }.words(), "scrypt, N 2^17, r 8, p 1");
}

#[tokio::test]
async fn hashes_come_in_the_order_of_their_passwords_to_each_caller() {
    let pool = Arc::new(Pool::start(FAST, 2, Lanes::new(6)).unwrap());
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move {
                let texts: Vec<String> =
                    (0..13 + caller).map(|n| format!("{caller}-{n}")).collect();
                let passwords = texts.iter().map(|text| secret(text)).collect();
                (texts, pool.hash(passwords).await.unwrap())
            })
        })
        .collect();
    for caller in callers {
        let (texts, hashes) = caller.await.unwrap();
        assert_eq!(texts.len(), hashes.len());
        for (text, hash) in texts.iter().zip(&hashes) {
            assert!(bcrypt::verify(text, hash).unwrap(), "{text} {hash}");
        }
    }
    assert_eq!(pool.hashed(), (13..13 + 8).sum::<u64>());
    assert_eq!(pool.threads(), 2);
    assert!(pool.busy() > Duration::ZERO);
    assert_eq!(pool.hash(Vec::new()).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_batch_larger_than_the_queue_is_hashed() {
    let algorithm = Algorithm::Scrypt { log_n: 1, r: 1, p: 1 };
    let pool = Pool::start(algorithm, 2, Lanes::new(6)).unwrap();
    let passwords = (0..super::pool::QUEUE + 5).map(|n| secret(&n.to_string())).collect();
    let hashes = pool.hash(passwords).await.unwrap();
    assert_eq!(hashes.len(), super::pool::QUEUE + 5);
    assert!(hashes.iter().all(|hash| hash.starts_with("$scrypt$ln=1,r=1,p=1$")));
}

#[tokio::test]
async fn what_bcrypt_would_cut_is_refused_and_nothing_is_hashed() {
    let pool = Pool::start(FAST, 1, Lanes::new(6)).unwrap();
    let long = pool.hash(vec![secret("good"), secret(&"é".repeat(37))]).await;
    assert_eq!(long, Err(HashError::TooLong { index: 1, bytes: 74 }));
    let zero = pool.hash(vec![secret("a\0b")]).await;
    assert_eq!(zero, Err(HashError::ZeroByte { index: 0 }));
    assert_eq!(pool.hashed(), 0);
    let argon2id = Algorithm::Argon2id { memory_kib: 8, passes: 1, lanes: 1 };
    let pool = Pool::start(argon2id, 1, Lanes::new(6)).unwrap();
    assert_eq!(pool.hash(vec![secret(&"a\0".repeat(50))]).await.unwrap().len(), 1);
}

#[test]
fn a_pool_does_not_start_with_wrong_parameters() {
    let error = Pool::start(Algorithm::Bcrypt { cost: 3 }, 1, Lanes::new(1)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_begun() {
    // One thread and one lane: while the first password is hashed the others wait.
    let pool = Pool::start(Algorithm::Bcrypt { cost: 6 }, 1, Lanes::new(1)).unwrap();
    {
        let mut dropped = pin!(pool.hash((0..2000).map(|n| secret(&n.to_string())).collect()));
        let mut context = Context::from_waker(Waker::noop());
        assert!(dropped.as_mut().poll(&mut context).is_pending());
    }
    let hashes = pool.hash(vec![secret("last")]).await.unwrap();
    assert!(bcrypt::verify("last", &hashes[0]).unwrap());
    // Those begun before the future was dropped, which took microseconds, and the last one.
    assert!((1..100).contains(&pool.hashed()), "{}", pool.hashed());
}

#[tokio::test]
async fn a_dropped_pool_ends_its_threads() {
    let pool = Pool::start(FAST, 3, Lanes::new(2)).unwrap();
    pool.hash(vec![secret("one")]).await.unwrap();
    let shared = pool.shared_by();
    assert_eq!(shared.strong_count(), 4);
    drop(pool);
    let begun = Instant::now();
    while shared.strong_count() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "the threads are still there");
        std::thread::yield_now();
    }
}

#[test]
fn a_calibration_keeps_its_budget_and_scales() {
    let begun = Instant::now();
    let twelve = calibrate(Algorithm::Bcrypt { cost: 12 }, Duration::from_millis(50));
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!((1..=LANES_MAX).contains(&twelve.lanes.get()));
    // No machine does 2^12 rounds in less than a millisecond, or needs a minute for them.
    assert!(twelve.per_hash > Duration::from_millis(1), "{:?}", twelve.per_hash);
    assert!(twelve.per_hash < Duration::from_secs(60), "{:?}", twelve.per_hash);
    let argon2id = Algorithm::Argon2id { memory_kib: 64, passes: 4, lanes: 2 };
    let measured = calibrate(argon2id, Duration::from_millis(5));
    assert_eq!(measured.lanes, Lanes::new(1));
    assert!(measured.per_hash > Duration::ZERO);
}

#[test]
fn calibration_multiplies_by_the_work_it_left_out() {
    use super::calibrate::smaller;
    let (here, factor) = smaller(Algorithm::Bcrypt { cost: 10 });
    assert_eq!((here, factor), (Algorithm::Bcrypt { cost: 5 }, 2049.0 / 65.0));
    assert_eq!(smaller(FAST), (FAST, 1.0));
    let (here, factor) = smaller(Algorithm::Argon2id { memory_kib: 65_536, passes: 3, lanes: 4 });
    let expected = Algorithm::Argon2id { memory_kib: 16_384, passes: 1, lanes: 4 };
    assert_eq!((here, factor), (expected, 12.0));
    let (here, factor) = smaller(Algorithm::Scrypt { log_n: 17, r: 8, p: 2 });
    assert_eq!((here, factor), (Algorithm::Scrypt { log_n: 14, r: 8, p: 1 }, 16.0));
}

#[test]
fn the_fewest_lanes_among_equals_are_chosen() {
    use super::calibrate::choose;
    let millis = |list: &[u64]| list.iter().map(|n| Duration::from_millis(*n)).collect::<Vec<_>>();
    let mut times =
        [millis(&[400, 410]), millis(&[200, 300, 202]), millis(&[199, 199]), millis(&[240])];
    assert_eq!(choose(&mut times), (Lanes::new(2), Duration::from_millis(202)));
}
