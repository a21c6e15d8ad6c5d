//! Who calls, once it is proven.

use super::Permissions;
use crate::name::Identity;

/// A caller whose token was verified, and what that token lets him do.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The subject of the token; the `{caller}` of his subjects.
    pub identity: Identity,
    /// What he may do.
    pub permissions: Permissions,
    /// When the token ends, seconds since 1970.
    pub expires: u64,
    /// The id of the token, and of the token it was made from: either may be revoked.
    pub tokens: Vec<String>,
}
