//! The keys that sign, over time: the one that does, the next one, and those that did.
//!
//! Whoever checks a token must know its key before anything is signed with it, and for as long as
//! anything lives that was. So a new key is told for a while before it signs, and an old one until
//! the last token of its time is over. A key that somebody else may hold is struck off instead: what
//! it signed is worth nothing from then on.

use super::{KeySet, Lifetimes, SigningKey, keys::KEYS_MAX};

/// So long a new key is told before it signs, seconds: by then everybody who still lets anybody in
/// has heard of it ([`super::trust::AGE_MAX`]).
pub const AHEAD_S: u64 = 60;
/// At least so long.
pub const AHEAD_MIN_S: u64 = 10;

/// The keys of a mesh.
#[derive(Clone, Debug)]
pub struct Ring {
    current: SigningKey,
    next: Option<Next>,
    former: Vec<Former>,
}

/// A key that will sign.
#[derive(Clone, Debug)]
pub struct Next {
    /// The key.
    pub key: SigningKey,
    /// From when on, seconds since 1970.
    pub from: u64,
}

/// A key that signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    /// Its public half.
    pub key: KeySet,
    /// When the last token that it signed is over, seconds since 1970.
    pub until: u64,
}

/// What a key is at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It signs.
    Signs,
    /// It will, from then on.
    Next(u64),
    /// It did; what it signed holds until then at most.
    Former(u64),
}

/// Why the keys stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// One is about to follow already.
    #[error("the key {0} is about to sign already: wait until it does, or revoke it")]
    Rotating(String),
    /// There are too many.
    #[error("there are {0} keys, and no more are kept: wait until one is over, or revoke one")]
    Many(usize),
    /// It is not told long enough before.
    #[error("a new key has to be told for {AHEAD_MIN_S} s at least before it signs")]
    Soon,
    /// There is none of that name.
    #[error("there is no key `{0}`: `weft keys list` shows them")]
    Unknown(String),
}

impl Ring {
    /// One key.
    #[must_use]
    pub const fn new(current: SigningKey) -> Self {
        Self {
            current,
            next: None,
            former: Vec::new(),
        }
    }

    /// As it was stored.
    #[must_use]
    pub const fn of(current: SigningKey, next: Option<Next>, former: Vec<Former>) -> Self {
        Self {
            current,
            next,
            former,
        }
    }

    /// As it is to be stored.
    #[must_use]
    pub fn parts(&self) -> (&SigningKey, Option<&Next>, &[Former]) {
        (&self.current, self.next.as_ref(), &self.former)
    }

    /// The key that signs at `now`.
    #[must_use]
    pub fn signer(&self, now: u64) -> &SigningKey {
        match &self.next {
            Some(next) if next.from <= now => &next.key,
            _ => &self.current,
        }
    }

    /// What was, or will be, signed by a key of this mesh at `now` is checked with these.
    #[must_use]
    pub fn public(&self, now: u64) -> KeySet {
        let next = self.next.iter().map(|next| next.key.public());
        let former = self.former.iter().filter(|former| former.until > now);
        next.chain(former.map(|former| former.key.clone()))
            .fold(self.current.public(), |all, one| all.with(&one))
    }

    /// The keys by their names, and what each is.
    #[must_use]
    pub fn list(&self, now: u64) -> Vec<(String, State)> {
        let settled = self.settled(now);
        let next = settled.next.iter();
        let next = next.map(|next| (next.key.kid().to_owned(), State::Next(next.from)));
        let former = settled.former.iter().flat_map(|former| {
            let kids = former.key.kids();
            kids.map(|kid| (kid.to_owned(), State::Former(former.until)))
        });
        std::iter::once((settled.current.kid().to_owned(), State::Signs))
            .chain(next)
            .chain(former)
            .collect()
    }

    /// With a new key that signs after so many seconds.
    ///
    /// # Errors
    /// [`RingError`]: one is about to already, there are too many, or that is too soon.
    pub fn rotated(&self, now: u64, after_s: u64) -> Result<Self, RingError> {
        let mut ring = self.settled(now);
        if let Some(next) = &ring.next {
            return Err(RingError::Rotating(next.key.kid().to_owned()));
        }
        let count = ring.former.len() + 2;
        if count > KEYS_MAX {
            return Err(RingError::Many(count - 1));
        }
        if after_s < AHEAD_MIN_S {
            return Err(RingError::Soon);
        }
        ring.next = Some(Next {
            key: SigningKey::generate(),
            from: now.saturating_add(after_s),
        });
        Ok(ring)
    }

    /// Without the key of this name. Where it is the one that signs, another one does from now on.
    ///
    /// # Errors
    /// [`RingError::Unknown`].
    pub fn without(&self, kid: &str, now: u64) -> Result<Self, RingError> {
        let mut ring = self.settled(now);
        if ring.current.kid() == kid {
            let next = ring.next.take().map(|next| next.key);
            ring.current = next.unwrap_or_else(SigningKey::generate);
            return Ok(ring);
        }
        if ring.next.as_ref().is_some_and(|next| next.key.kid() == kid) {
            ring.next = None;
            return Ok(ring);
        }
        let before = ring.former.len();
        ring.former
            .retain(|former| former.key.kids().all(|it| it != kid));
        if ring.former.len() == before {
            return Err(RingError::Unknown(kid.chars().take(64).collect()));
        }
        Ok(ring)
    }

    /// With the key that signs now as the current one, and without those that are over.
    fn settled(&self, now: u64) -> Self {
        let mut ring = self.clone();
        if let Some(next) = ring.next.take_if(|next| next.from <= now) {
            let was = std::mem::replace(&mut ring.current, next.key);
            ring.former.push(Former {
                key: was.public(),
                until: next.from.saturating_add(Lifetimes::CONNECT_MAX.as_secs()),
            });
        }
        ring.former.retain(|former| former.until > now);
        ring
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn kids(ring: &Ring, now: u64) -> Vec<String> {
        ring.list(now).into_iter().map(|(kid, _)| kid).collect()
    }

    #[test]
    fn a_key_is_told_before_it_signs_and_as_long_as_its_tokens_live() {
        let first = Ring::new(SigningKey::generate());
        let kid = first.signer(NOW).kid().to_owned();
        let ring = first.rotated(NOW, AHEAD_S).expect("rotated");
        let then = NOW + AHEAD_S;
        assert_eq!(ring.signer(then - 1).kid(), kid);
        assert_ne!(ring.signer(then).kid(), kid);
        assert_eq!(ring.public(NOW).len(), 2, "both before it signs");
        assert_eq!(ring.public(then).len(), 2, "both when it does");
        assert_eq!(
            ring.rotated(then - 1, AHEAD_S)
                .err()
                .map(|e| e.to_string().contains("already")),
            Some(true)
        );
        let end = then + Lifetimes::CONNECT_MAX.as_secs();
        let third = ring.rotated(then, AHEAD_S).expect("rotated");
        assert_eq!(kids(&third, then).len(), 3);
        assert_eq!(third.list(then)[2], (kid.clone(), State::Former(end)));
        assert!(third.public(end - 1).kids().any(|it| it == kid));
        assert!(third.public(end).kids().all(|it| it != kid));
        assert_eq!(
            first.rotated(NOW, AHEAD_MIN_S - 1).err(),
            Some(RingError::Soon)
        );
    }

    #[test]
    fn a_key_that_is_struck_off_is_told_no_more() {
        let ring = Ring::new(SigningKey::generate());
        let rotating = ring.rotated(NOW, AHEAD_S).expect("rotated");
        let (now, next) = (
            kids(&rotating, NOW)[0].clone(),
            kids(&rotating, NOW)[1].clone(),
        );
        let left = rotating.without(&now, NOW).expect("the one that signs");
        assert_eq!(kids(&left, NOW), [next.as_str()], "the next signs at once");
        let left = rotating.without(&next, NOW).expect("the next");
        assert_eq!(kids(&left, NOW), [now.as_str()]);
        let alone = ring.without(&now, NOW).expect("the only one");
        assert_ne!(alone.signer(NOW).kid(), now, "a new one");
        let then = NOW + AHEAD_S;
        let left = rotating.without(&now, then).expect("a former one");
        assert_eq!(kids(&left, then), [next]);
        assert_eq!(
            left.without(&now, then).err(),
            Some(RingError::Unknown(now))
        );
    }

    #[test]
    fn there_are_sixteen_at_most() {
        let mut ring = Ring::new(SigningKey::generate());
        let mut now = NOW;
        while let Ok(next) = ring.rotated(now, AHEAD_S) {
            ring = next;
            now += AHEAD_S;
        }
        assert_eq!(ring.public(now).len(), KEYS_MAX);
        assert_eq!(
            ring.rotated(now, AHEAD_S).err(),
            Some(RingError::Many(KEYS_MAX))
        );
    }
}
