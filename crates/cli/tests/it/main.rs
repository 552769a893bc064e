//! The whole program as a person or a script meets it: the built binary as a process of its own,
//! against simulators on real ports, whose ledgers are the judge.
//!
//! What needs something that is not on every machine (the official emulator, a browser, a
//! terminal's other end, a mount) says `SKIPPED: ` on stderr and passes without it, unless
//! `WINDLASS_REQUIRE_ALL=1` says that everything must be there.

#![expect(clippy::unwrap_used, reason = "a test that can't go on should panic")]

mod browser;
mod ctl;
mod emulator;
mod errors;
mod explorer;
mod help;
mod kill;
mod kv;
mod load;
mod migrate;
mod observe;
mod plan;
mod resume;
mod run;
mod support;
mod terminal;
