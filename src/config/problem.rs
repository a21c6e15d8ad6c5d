//! What is wrong in a file, said so that it can be mended: where, the line itself, and what to do.

use std::{cmp::Ordering, fmt};

use crate::config::{source::Source, tree::At};

/// A place in a file. Line and column count from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as the user named it.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One thing that is wrong. `Display` gives it whole, over several lines, in this form:
///
/// ```text
/// weft.yaml:3:5: unknown key `comand` in `servers.docs`
///   |
/// 3 |     comand: uvx
///   |     ^^^^^^
///   = did you mean `command`?
/// ```
///
/// Values that may be secrets stand as asterisks in the line that is shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.render())]
pub struct Problem(Box<Told>);

/// What is told, behind a box: an error should be small where all goes well.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    message: String,
    help: Option<String>,
    place: Option<Place>,
    line: Option<Excerpt>,
    also: Option<(&'static str, Place)>,
}

/// The line that is shown, and what of it is underlined (in characters from 0).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Excerpt {
    text: String,
    start: usize,
    width: usize,
}

/// Characters of a line that are shown at most: a client's file may be one long line.
const EXCERPT_MAX: usize = 100;

impl Problem {
    /// A problem at a place of a file.
    pub(crate) fn new(source: &Source, at: &At, message: impl Into<String>) -> Self {
        let mut problem = Self::bare(message);
        problem.0.place = Some(place(source, at));
        problem.0.line = source.line(at.line).map(|line| Excerpt::new(line, at));
        problem
    }

    /// A problem that stands in no file: in a flag, in the environment, or with the file itself.
    pub(crate) fn bare(message: impl Into<String>) -> Self {
        Self(Box::new(Told {
            message: message.into(),
            help: None,
            place: None,
            line: None,
            also: None,
        }))
    }

    /// Adds what to do.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Adds a second place that belongs to it, led in by `words`.
    pub(crate) fn also(mut self, words: &'static str, source: &Source, at: &At) -> Self {
        self.0.also = Some((words, place(source, at)));
        self
    }

    /// What is wrong, in one line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// Where it stands; none where it is about a flag, the environment or a whole file.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// All of it in one line, for a banner: place, what is wrong, what to do.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut text = self
            .0
            .place
            .as_ref()
            .map_or_else(String::new, |place| format!("{place}: "));
        text.push_str(&self.0.message);
        if let Some((words, place)) = &self.0.also {
            text.push_str(&format!(" ({words} {place})"));
        }
        if let Some(help) = &self.0.help {
            text.push_str("; ");
            text.push_str(help);
        }
        text
    }

    fn render(&self) -> String {
        let mut text = String::new();
        let mut margin = 0;
        if let Some(place) = &self.0.place {
            text.push_str(&format!("{place}: "));
            margin = place.line.to_string().len();
        }
        text.push_str(&self.0.message);
        if let (Some(place), Some(line)) = (&self.0.place, &self.0.line) {
            let (bar, number) = (format!("{:margin$} |", ""), place.line);
            let (indent, carets) = line.underline();
            text.push_str(&format!("\n{bar}\n{number} | {}", line.text));
            text.push_str(&format!("\n{bar} {indent}{carets}"));
        }
        if let Some((words, place)) = &self.0.also {
            text.push_str(&format!("\n{:margin$} = {words} {place}", ""));
        }
        if let Some(help) = &self.0.help {
            text.push_str(&format!("\n{:margin$} = {help}", ""));
        }
        text
    }
}

fn place(source: &Source, at: &At) -> Place {
    Place {
        file: source.name().to_owned(),
        line: at.line,
        column: at.column,
    }
}

impl Excerpt {
    fn new(line: &str, at: &At) -> Self {
        let chars: Vec<char> = line.chars().collect();
        let start = (at.column - 1).min(chars.len());
        let width = at.width.clamp(1, (chars.len() - start).max(1));
        // A window around the place, with an ellipsis on each side that was cut.
        let from = if chars.len() <= EXCERPT_MAX {
            0
        } else {
            start.saturating_sub(EXCERPT_MAX / 3)
        };
        let to = chars.len().min(from + EXCERPT_MAX);
        let mut text: String = chars[from..to].iter().map(|c| printable(*c)).collect();
        let mut start = start - from;
        if from > 0 {
            text.insert(0, '…');
            start += 1;
        }
        if to < chars.len() {
            text.push('…');
        }
        let width = width.min(EXCERPT_MAX);
        Self { text, start, width }
    }

    fn underline(&self) -> (String, String) {
        let blank = |c: char| if c == '\t' { '\t' } else { ' ' };
        let indent = self.text.chars().take(self.start).map(blank).collect();
        (indent, "^".repeat(self.width))
    }
}

/// A terminal must not be steered by what a file holds.
fn printable(c: char) -> char {
    if c.is_control() && c != '\t' {
        char::REPLACEMENT_CHARACTER
    } else {
        c
    }
}

/// Everything that is wrong, in the order of the files, at most [`Problems::MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.render())]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Problems that are told at once; what follows is seen when these are mended.
    pub const MAX: usize = 20;

    /// The problems.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.0
    }

    pub(crate) fn push(&mut self, problem: Problem) {
        if !self.is_full() {
            self.0.push(problem);
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= Self::MAX
    }

    /// `Ok` where nothing was wrong.
    pub(crate) fn into_result(mut self) -> Result<(), Self> {
        if self.0.is_empty() {
            return Ok(());
        }
        self.0.sort_by(|a, b| match (a.place(), b.place()) {
            (Some(a), Some(b)) => a.cmp(b),
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        });
        Err(self)
    }

    fn render(&self) -> String {
        let mut parts: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        if self.is_full() {
            let most = Self::MAX;
            parts.push(format!(
                "These are {most}, and no more are shown: there may be others."
            ));
        }
        parts.join("\n\n")
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

/// Something that works, but not as one might think.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where it stands; none where it is about the environment.
    pub place: Option<Place>,
    /// What is to be known, in one line.
    pub message: String,
}

impl Warning {
    pub(crate) fn new(source: &Source, at: &At, message: impl Into<String>) -> Self {
        Self {
            place: Some(place(source, at)),
            message: message.into(),
        }
    }

    pub(crate) fn bare(message: impl Into<String>) -> Self {
        Self {
            place: None,
            message: message.into(),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// The known word nearest to `word`, where one is near enough to be meant.
///
/// ```
/// use weftbus::config::nearest;
/// assert_eq!(nearest("serch", &["search", "time"]), Some("search"));
/// assert_eq!(nearest("weather", &["search", "time"]), None);
/// ```
#[must_use]
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let folded = word.to_lowercase();
    known
        .iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&folded, &candidate.to_lowercase());
            (distance, *candidate)
        })
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["command", "args", "env", "cwd", "inFlight"];
        for (word, found) in [
            ("comand", Some("command")),
            ("Args", Some("args")),
            ("enb", Some("env")),
            ("infligth", Some("inFlight")),
            ("colour", None),
        ] {
            assert_eq!(nearest(word, &known), found, "{word}");
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_place_and_cannot_steer_a_terminal() {
        let line = format!("{}\u{1b}[31mhere{}", "x".repeat(300), "y".repeat(300));
        let at = At {
            line: 1,
            column: 306,
            width: 4,
            bytes: 0..0,
        };
        let excerpt = Excerpt::new(&line, &at);
        let (indent, carets) = excerpt.underline();
        let shown: String = excerpt.text.chars().skip(indent.len()).take(4).collect();
        assert_eq!((shown.as_str(), carets.as_str()), ("here", "^^^^"));
        assert!(excerpt.text.chars().count() <= EXCERPT_MAX + 2);
        assert!(!excerpt.text.contains('\u{1b}'));
    }
}
