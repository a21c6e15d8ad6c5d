//! Names of servers: what fits, and what becomes of one that does not.

use std::collections::BTreeSet;

/// Characters of a name at most: it is a token of a NATS subject and the front of tool names.
const LENGTH_MAX: usize = 63;

/// Names that the mesh uses itself.
const RESERVED: &[&str] = &["weft", "gateway"];

/// Whether a name fits; why not.
pub(crate) fn check(name: &str) -> Result<(), String> {
    let shown = name.escape_debug();
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if RESERVED.contains(&name) {
        Err(format!(
            "the name `{shown}` is reserved for the mesh itself"
        ))
    } else if name.is_empty() || name.len() > LENGTH_MAX || !name.chars().all(fits) {
        Err(format!(
            "`{shown}` is not a server name: write 1 to {LENGTH_MAX} of a-z, 0-9 and -"
        ))
    } else {
        Ok(())
    }
}

/// The name that fits and is nearest to what was written: `My Server` gives `my-server`. The same
/// text always gives the same name.
///
/// ```
/// assert_eq!(weftbus::config::slug("My Server (v2)"), "my-server-v2");
/// ```
#[must_use]
pub fn slug(written: &str) -> String {
    let mut name = String::new();
    for c in written.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
        if name.len() == LENGTH_MAX {
            break;
        }
    }
    let name = name.trim_end_matches('-');
    match name {
        "" => "server".to_owned(),
        name if RESERVED.contains(&name) => format!("{name}-server"),
        name => name.to_owned(),
    }
}

/// The name, or the first of `name-2`, `name-3`… that is free.
pub(crate) fn free(name: &str, taken: &BTreeSet<String>) -> String {
    std::iter::once(name.to_owned())
        .chain((2..).map(|n: u32| {
            let end = format!("-{n}");
            let kept = name.len().min(LENGTH_MAX - end.len());
            format!("{}{end}", name[..kept].trim_end_matches('-'))
        }))
        .find(|name| !taken.contains(name))
        .expect("there are more numbers than names")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_slug_always_fits_and_is_always_the_same(written in any::<String>()) {
            let name = slug(&written);
            prop_assert_eq!(check(&name), Ok(()));
            prop_assert_eq!(slug(&written), name.clone());
            prop_assert_eq!(slug(&name), name, "a slug is its own slug");
        }

        #[test]
        fn a_free_name_fits_and_is_not_taken(written in "[a-z-]{1,70}", count in 1usize..12) {
            let (name, mut taken) = (slug(&written), BTreeSet::new());
            for _ in 0..count {
                let free = free(&name, &taken);
                prop_assert_eq!(check(&free), Ok(()));
                prop_assert!(taken.insert(free));
            }
        }
    }

    #[test]
    fn names_are_told_apart() {
        for (written, name) in [
            ("My Server", "my-server"),
            ("  @scope/pkg_name ", "scope-pkg-name"),
            ("weft", "weft-server"),
            ("Gateway", "gateway-server"),
            ("検索", "server"),
            ("", "server"),
        ] {
            assert_eq!(slug(written), name);
        }
        assert!(check("weft").unwrap_err().contains("reserved"));
        assert!(check("A").is_err() && check("").is_err() && check(&"a".repeat(64)).is_err());
        assert!(check("a-1").is_ok() && check(&"a".repeat(63)).is_ok());
        let taken = ["a".to_owned(), "a-2".to_owned()].into();
        assert_eq!(free("a", &taken), "a-3");
    }
}
