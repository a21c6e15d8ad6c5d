//! Whom the broker trusts, by public key.

use super::StartError;

/// The public keys that the broker's configuration names. No secret: the seeds stay with the
/// control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKeys {
    /// The control plane in the account AUTH, where it answers the callout: a user key, `U…`.
    pub auth: String,
    /// The control plane in STORE, where all streams and buckets are: `U…`.
    pub store: String,
    /// The control plane in SYS, where it ends connections: `U…`.
    pub sys: String,
    /// Who signs the users that the callout lets in: an account key, `A…`.
    pub issuer: String,
    /// To whom the broker seals what it asks the callout: a curve key, `X…`.
    pub xkey: String,
}

impl PublicKeys {
    /// Refuses what is no key, since the texts become part of a configuration, and one key in two
    /// places, which nats-server refuses in words that do not say where.
    pub(super) fn check(&self) -> Result<(), StartError> {
        let users = [
            ("auth", &self.auth),
            ("store", &self.store),
            ("sys", &self.sys),
        ];
        let shaped = users
            .into_iter()
            .map(|(name, key)| (name, 'U', key))
            .chain([("issuer", 'A', &self.issuer), ("xkey", 'X', &self.xkey)]);
        for (name, kind, key) in shaped {
            let base32 = key
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte));
            if key.len() != 56 || !key.starts_with(kind) || !base32 {
                return Err(StartError::Key {
                    name,
                    why: format!("not a public key of 56 characters that begins with {kind}"),
                });
            }
        }
        for (at, (name, key)) in users.into_iter().enumerate() {
            if let Some((other, _)) = users[..at].iter().find(|(_, earlier)| *earlier == key) {
                return Err(StartError::Key {
                    name,
                    why: format!("the same as `{other}`"),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_named() {
        let key = |kind: char, fill: char| kind.to_string() + &fill.to_string().repeat(55);
        let good = PublicKeys {
            auth: key('U', 'A'),
            store: key('U', 'B'),
            sys: key('U', 'C'),
            issuer: key('A', 'D'),
            xkey: key('X', '7'),
        };
        good.check().expect("these are keys");
        let seed = PublicKeys {
            xkey: key('S', 'A'),
            ..good.clone()
        };
        let short = PublicKeys {
            sys: "U".to_owned(),
            ..good.clone()
        };
        let sly = PublicKeys {
            issuer: key('A', '\n'),
            ..good.clone()
        };
        let twice = PublicKeys {
            sys: good.auth.clone(),
            ..good
        };
        for (keys, says) in [
            (seed, "key `xkey`: not a public key"),
            (short, "key `sys`: not a public key"),
            (sly, "key `issuer`: not a public key"),
            (twice, "key `sys`: the same as `auth`"),
        ] {
            let text = keys.check().expect_err(says).to_string();
            assert!(text.contains(says), "{text}");
        }
    }
}
