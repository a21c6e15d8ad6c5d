//! Call tokens that are kept for others than ourselves, until four fifths of their life are over.

use std::{sync::Arc, time::Duration};

use moka::Expiry;

use crate::{
    access::{self, TokenError},
    call::context::Credential,
    name::Identity,
};

#[expect(
    clippy::disallowed_types,
    reason = "the cache reads the clock itself, and hands its time over in this type"
)]
type StdInstant = std::time::Instant;

/// A call token of somebody. The credential never shows itself.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) identity: Identity,
    pub(super) credential: Credential,
    renew_after: Duration,
}

impl Kept {
    /// One that ends then, seconds since 1970.
    pub(super) fn new(
        identity: Identity,
        credential: Credential,
        expires: u64,
    ) -> Result<Arc<Self>, TokenError> {
        let left = expires.saturating_sub(access::now());
        if left == 0 {
            return Err(TokenError::Expired);
        }
        Ok(Arc::new(Self {
            identity,
            credential,
            renew_after: Duration::from_secs(left * 4 / 5),
        }))
    }
}

/// When another one is to be had.
pub(super) struct Renewal;

impl<K> Expiry<K, Arc<Kept>> for Renewal {
    fn expire_after_create(&self, _: &K, kept: &Arc<Kept>, _: StdInstant) -> Option<Duration> {
        Some(kept.renew_after)
    }
}
