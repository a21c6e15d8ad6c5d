//! The vectors of the document about tokens: signed, proven, referred to, trusted.

use nkeys::{KeyPair, KeyPairType};
use serde_json::{Value, json};
use weftbus::{
    access::{
        Anchor, Audience, Claims, KeySet, Lifetimes, SigningKey, Snapshot, Trust, Verifier,
        proof::{self, Stamp},
        reference,
        verify::sign,
    },
    name::Identity,
};

use super::{json, text};

/// The key of the document: public, and of no use to anybody.
fn key() -> SigningKey {
    let seed: [u8; 32] = std::array::from_fn(|n| u8::try_from(n).expect("as in the document"));
    let pair = KeyPair::new_from_raw(KeyPairType::User, seed).expect("as in the document");
    SigningKey::from_seed(&pair.seed().expect("as in the document")).expect("as in the document")
}

fn jwk(key: &SigningKey) -> Value {
    serde_json::to_value(key.public()).expect("as in the document")["keys"][0].clone()
}

#[test]
fn the_token_is_signed_so() {
    let (vector, key) = (json("token"), key());
    let claims: Claims =
        serde_json::from_value(vector["claims"].clone()).expect("as in the document");
    let token = sign(&claims, &key);
    let real = json!({
        "claims": vector["claims"], "kid": key.kid(), "x": jwk(&key)["x"],
        "token": token, "reference": reference(&token),
    });
    assert_eq!(real, vector, "\n{real:#}");

    let verifier = Verifier {
        keys: key.public(),
        issuer: "mesh".into(),
        lifetimes: Lifetimes::default(),
    };
    let at = |now| verifier.verify(text(&vector["token"]), Audience::Call, now);
    assert_eq!(at(1_800_000_010), Ok(claims));
    assert!(at(1_800_000_905).is_err(), "over, and five seconds");
}

#[test]
fn the_proof_is_made_so() {
    let vector = json("proof");
    let get = |member: &str| text(&vector[member]);
    let at = vector["at"].as_u64().expect("as in the document");
    let made = proof::make(get("token"), get("sub"), at, get("nonce"));
    assert_eq!(made, get("proof"));
    assert_eq!(reference(get("token")), get("reference"));
    let stamp = Stamp {
        at,
        nonce: get("nonce"),
    };
    let digest = weftbus::access::digest(get("token"));
    for (now, good) in [
        (at, true),
        (at + 60, true),
        (at - 60, true),
        (at + 61, false),
    ] {
        let checked = proof::check(&digest, get("sub"), stamp, get("proof"), now);
        assert_eq!(checked.is_ok(), good, "{now}");
    }
}

#[test]
fn snapshots_and_anchors_read_so() {
    let key = key();
    let anchor: Anchor = serde_json::from_value(json("anchor")).expect("as in the document");
    assert_eq!(anchor.keys, key.public());
    let snapshot: Snapshot = serde_json::from_value(json("snapshot")).expect("as in the document");
    assert_eq!(
        serde_json::to_value(&snapshot).expect("as in the document"),
        json("snapshot")
    );
    let keys: KeySet =
        serde_json::from_value(json("snapshot")["keys"].clone()).expect("as in the document");
    assert_eq!(keys, key.public());
    let parent = json("token")["claims"]["par"].clone();
    assert!(
        snapshot
            .revoked
            .contains(&serde_json::from_value(parent).expect("as in the document"))
    );

    // Signed, it is taken; with another number or for somebody else it is not.
    let trust = Trust::new(Identity::new("time").expect("as in the document"), anchor);
    let now = Snapshot {
        iat_ms: weftbus::access::now_ms(),
        ..snapshot
    };
    let foreign = Snapshot {
        aud: Identity::new("other").expect("as in the document"),
        ..now.clone()
    };
    assert!(trust.apply(&foreign.sign(&key)).is_err());
    assert!(trust.apply(&now.sign(&key)).is_ok());
    assert!(
        trust.apply(&now.sign(&key)).is_err(),
        "the same number again"
    );
}
