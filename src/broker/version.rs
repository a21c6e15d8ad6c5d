//! Which nats-server is new enough.

use std::{fmt, str::FromStr};

/// The version of a nats-server. A pre-release stands before its release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    numbers: [u32; 3],
    /// `RC.1`, `dev`; empty for a release.
    pre: String,
}

impl Version {
    /// What is needed, in words.
    pub const NEEDED: &'static str = "2.12.12 or newer; in the 2.14 line 2.14.3 or newer";

    /// Whether the mesh runs on it. The lines before lost acknowledged messages, or lack atomic
    /// batches and message TTLs; there is no 2.13, and what calls itself so is a snapshot of 2.14.
    #[must_use]
    pub fn is_supported(&self) -> bool {
        let first = match self.numbers {
            [2, 12, _] => [2, 12, 12],
            _ => [2, 14, 3],
        };
        self.numbers > first || (self.numbers == first && self.pre.is_empty())
    }
}

impl FromStr for Version {
    type Err = ();

    /// Reads `2.15.1`, `v2.15.1-RC.1`, and what `nats-server --version` prints around it.
    fn from_str(text: &str) -> Result<Self, ()> {
        let word = text.split_whitespace().last().ok_or(())?;
        let word = word.strip_prefix('v').unwrap_or(word);
        let word = word.split('+').next().unwrap_or(word);
        let (release, pre) = word.split_once('-').unwrap_or((word, ""));
        let mut parts = release.split('.').map(|part| part.parse().map_err(|_| ()));
        let mut next = || parts.next().ok_or(())?;
        let numbers = [next()?, next()?, next()?];
        match parts.next() {
            Some(_) => Err(()),
            None => Ok(Self {
                numbers,
                pre: pre.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        if self.pre.is_empty() {
            Ok(())
        } else {
            write!(f, "-{}", self.pre)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_enough_is_told_by_line() {
        let supported = |text: &str| text.parse::<Version>().expect(text).is_supported();
        for good in [
            "2.12.12",
            "2.12.13",
            "2.14.3",
            "2.14.10",
            "2.15.0",
            "2.15.0-RC.1",
            "2.15.1",
            "3.0.0",
        ] {
            assert!(supported(good), "{good}");
        }
        for bad in [
            "1.4.1",
            "2.9.10",
            "2.10.29",
            "2.11.99",
            "2.12.0",
            "2.12.11",
            "2.12.12-RC.1",
            "2.13.9",
            "2.14.0",
            "2.14.2",
            "2.14.3-RC.2",
        ] {
            assert!(!supported(bad), "{bad}");
        }
    }

    #[test]
    fn it_is_read_from_what_the_program_prints() {
        let read = |text: &str| text.parse::<Version>().map(|version| version.to_string());
        assert_eq!(read("nats-server: v2.15.1\n").as_deref(), Ok("2.15.1"));
        assert_eq!(
            read("nats-server: v2.14.3-RC.1").as_deref(),
            Ok("2.14.3-RC.1")
        );
        assert_eq!(read("2.12.12+build").as_deref(), Ok("2.12.12"));
        for no in ["", "nats-server", "v2.15", "2.15.1.0", "2.x.1", "-1.2.3"] {
            assert_eq!(read(no), Err(()), "{no:?}");
        }
    }
}
