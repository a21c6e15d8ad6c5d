//! The keys that sign, in the data folder of the control plane: listed and replaced by whoever may
//! read it. A control plane that runs takes a change within a second.

use std::path::Path;

pub use crate::access::ring::State;
use crate::{
    access::{now, ring::RingError},
    control::{Secrets, SecretsError},
};

/// Why the keys stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The secrets can't be had.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// What was asked for can't be.
    #[error(transparent)]
    Ring(#[from] RingError),
}

/// The keys by their names, and what each is.
///
/// # Errors
/// [`KeysError::Secrets`].
pub fn list(folder: &Path) -> Result<Vec<(String, State)>, KeysError> {
    Ok(Secrets::load_from(folder)?.ring().list(now()))
}

/// Makes a new key, which signs after so many seconds.
///
/// # Errors
/// [`KeysError`].
pub fn rotate(folder: &Path, after_s: u64) -> Result<Vec<(String, State)>, KeysError> {
    let mut secrets = Secrets::load_from(folder)?;
    secrets.set_ring(secrets.ring().rotated(now(), after_s)?)?;
    Ok(secrets.ring().list(now()))
}

/// Strikes a key off: what it signed is worth nothing from now on.
///
/// # Errors
/// [`KeysError`].
pub fn revoke(folder: &Path, kid: &str) -> Result<Vec<(String, State)>, KeysError> {
    let mut secrets = Secrets::load_from(folder)?;
    secrets.set_ring(secrets.ring().without(kid, now())?)?;
    Ok(secrets.ring().list(now()))
}
