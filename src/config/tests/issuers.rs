//! Outside issuers: what is refused, each beside one that passes.

use super::*;
use crate::access::issuer::KeysFrom;

const GOOD: &str = "name: corp, issuer: a, audiences: [b]";

fn files(issuers: &str) -> Files {
    let text = format!("gateway:\n  issuers:\n    - {{ {issuers} }}\n");
    Files::new(&[(FILE, &text), ("secret", "s\n")])
}

#[test]
fn each_mistake_is_named() {
    for (issuer, said) in [
        ("name: a-b, issuer: a, audiences: [b], jwks: k", ".name`"),
        ("name: '', issuer: a, audiences: [b], jwks: k", ".name`"),
        (
            "name: corp, issuer: '', audiences: [b], jwks: k",
            ".issuer`",
        ),
        (
            "name: corp, issuer: a, audiences: [], jwks: k",
            ".audiences`",
        ),
        (GOOD, ".jwks`"),
        (
            &format!("{GOOD}, jwks: k, secret: {{ file: secret }}"),
            ".jwks`",
        ),
        (&format!("{GOOD}, secret: {{ file: none }}"), ".secret`"),
        (&format!("{GOOD}, secret: in-the-file"), "secret"),
        (
            &format!("{GOOD}, jwks: k, permissions: [x]"),
            ".permissions`",
        ),
    ] {
        let refused = files(issuer).refusal();
        assert!(
            refused.contains("issuers") && refused.contains(said),
            "{refused}"
        );
    }
    let twice = format!("{GOOD}, jwks: k }}\n    - {{ {GOOD}, jwks: k");
    assert!(files(&twice).refusal().contains("another one"));
}

#[test]
fn keys_are_a_file_a_url_or_a_secret() {
    let keys = |more: &str| {
        let files = files(&format!("{GOOD}, {more}"));
        let path = files.path("keys.json");
        (files.loaded().edge.issuers.remove(0).keys, path)
    };
    let (file, path) = keys("jwks: keys.json");
    assert_eq!(file, KeysFrom::File(path));
    let (url, _) = keys("jwks: 'https://as.example/keys'");
    assert_eq!(url, KeysFrom::Url("https://as.example/keys".into()));
    let (secret, _) = keys("secret: { file: secret }");
    assert_eq!(secret, KeysFrom::Secret(b"s".to_vec()));
}
