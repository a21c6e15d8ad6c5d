//! A real nats-server for the tests: installed into the project's own folder, keys made fresh.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use nkeys::{KeyPair, XKey};
use weftbus::broker::{Options, PublicKeys, Search};

/// The project's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The nats-server of `nats/fetch.sh`, which installs it where it is missing.
pub(crate) fn nats_server() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let fetched = Command::new(root().join("nats/fetch.sh"))
            .output()
            .expect("a shell is here");
        let said = String::from_utf8_lossy(&fetched.stderr);
        assert!(fetched.status.success(), "{said}");
        root().join(".tools/nats/bin/nats-server")
    })
}

/// The control plane's keys, with the seeds that the tests connect by.
pub(crate) struct Keys {
    auth: KeyPair,
    pub(crate) store: KeyPair,
    sys: KeyPair,
    issuer: KeyPair,
    xkey: XKey,
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self {
            auth: KeyPair::new_user(),
            store: KeyPair::new_user(),
            sys: KeyPair::new_user(),
            issuer: KeyPair::new_account(),
            xkey: XKey::new(),
        }
    }

    pub(crate) fn public(&self) -> PublicKeys {
        PublicKeys {
            auth: self.auth.public_key(),
            store: self.store.public_key(),
            sys: self.sys.public_key(),
            issuer: self.issuer.public_key(),
            xkey: self.xkey.public_key(),
        }
    }

    /// As the variables of the configuration files.
    pub(crate) fn variables(&self) -> [(&'static str, String); 5] {
        variables(self.public())
    }
}

/// Public keys as the variables of the configuration files.
pub(crate) fn variables(keys: PublicKeys) -> [(&'static str, String); 5] {
    [
        ("NATS_AUTH_NKEY", keys.auth),
        ("NATS_STORE_NKEY", keys.store),
        ("NATS_SYS_NKEY", keys.sys),
        ("NATS_CALLOUT_ISSUER", keys.issuer),
        ("NATS_CALLOUT_XKEY", keys.xkey),
    ]
}

/// A broker on `data`, on any port.
pub(crate) fn options(data: &Path, keys: &Keys) -> Options {
    Options {
        program: Some(nats_server().to_owned()),
        search: Search::default(),
        data: data.to_owned(),
        port: None,
        monitor: false,
        keys: keys.public(),
    }
}
