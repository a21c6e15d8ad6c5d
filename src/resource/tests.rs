//! Names, contents and lists of resources.

use super::*;

#[test]
fn names_are_uris() {
    for good in ["report://2026/q3", "urn:x", "a+b.c-d:e", "weft://al/a%20b"] {
        check_id(good).expect(good);
    }
    let long = format!("a:{}", "x".repeat(ID_MAX - 1));
    check_id(&long[..ID_MAX]).expect("the twin");
    for bad in [
        "", "x", ":x", "a:", "1a:x", "a b:x", "a:x y", "a:x#y", "a:*", "a:\u{e9}", "a:\n", &long,
    ] {
        assert!(check_id(bad).is_err(), "{bad}");
    }
    Draft::new("rooted://docs/a", "text/plain")
        .check()
        .expect("the twin");
    for bad in ["root://docs/a", "ROOT:x"] {
        assert!(Draft::new(bad, "text/plain").check().is_err(), "{bad}");
    }
}

#[test]
fn a_draft_is_bounded() {
    let draft = Draft::new("a:b", "t");
    draft.check().expect("the twin");
    let mut heavy = draft.clone();
    heavy
        .metadata
        .insert("x".to_owned(), "y".repeat(METADATA_MAX).into());
    let grant = |who: &str, may: &[Act]| Grant {
        who: who.to_owned(),
        may: may.to_vec(),
    };
    let listing = |lines: Vec<Grant>| Draft {
        permissions: lines,
        ..draft.clone()
    };
    listing(vec![grant("team-*", &[Act::Read]); GRANTS_MAX])
        .check()
        .expect("the twin");
    for bad in [
        heavy,
        Draft::new("a:b", ""),
        Draft::new("a:b", "x\ny"),
        listing(vec![grant("al", &[Act::Read]); GRANTS_MAX + 1]),
        listing(vec![grant("", &[Act::Read])]),
        listing(vec![grant("a.b", &[Act::Read])]),
        listing(vec![grant("al", &[])]),
    ] {
        assert_eq!(bad.check().expect_err("bad").kind(), Kind::InvalidParams);
    }
}

#[test]
fn the_list_lets_whom_it_names_do_what_it_says() {
    let name = |text: &str| Identity::new(text).expect("a name");
    let grants = [
        Grant {
            who: "team-*".to_owned(),
            may: vec![Act::Read],
        },
        Grant {
            who: "bob".to_owned(),
            may: vec![Act::Write],
        },
    ];
    assert!(listed(&grants, &name("team-a"), Act::Read));
    assert!(!listed(&grants, &name("team-a"), Act::Write));
    assert!(!listed(&grants, &name("teams"), Act::Read));
    assert!(listed(&grants, &name("bob"), Act::Write));
    assert!(!listed(&grants, &name("bob"), Act::Read));
    assert!(!listed(&grants, &name("bobby"), Act::Write));
}

#[test]
fn content_comes_back_and_is_never_longer_than_base64() {
    for bytes in [
        &b""[..],
        b"x",
        b"plain text of some length",
        b"\xff\x00",
        &[0; 1000],
    ] {
        let content = Content::of(bytes);
        assert_eq!(content.bytes().expect("its own"), bytes);
        let length = serde_json::to_string(&content).expect("JSON").len();
        assert!(length <= BASE64.encode_len(bytes.len()) + 12, "{length}");
    }
    assert!(matches!(
        Content::of(b"plain text of some length"),
        Content::Text(_)
    ));
    assert!(Content::Blob("=".to_owned()).bytes().is_err());
}
