//! The gateway behind its doors, against simulated remotes in process and in virtual time.

mod delivery;
mod rig;
mod stages;
