//! A requirements document in Markdown, read line by line into requirements.
//!
//! Every open list item is a requirement; a sentence of running text is one when it says must,
//! should or may. Code, tables, quotations, done items (`[x]`) and sections that name what is not
//! to be built are passed over.

use crate::{
    plan::{Order, Requirement},
    priority::Priority,
};

/// Headings of sections whose content is not to be built.
const EXCLUDING: &[&str] = &[
    "out of scope",
    "non goals",
    "nongoals",
    "won t have",
    "wont have",
    "not in scope",
];

/// The requirements of a document, in its order.
pub(crate) fn requirements(text: &str) -> Vec<Requirement> {
    let mut reader = Reader::default();
    for line in text.lines() {
        reader.line(line);
    }
    reader.close_block();
    reader.found
}

/// A list item as its first line shows it.
struct Item<'a> {
    /// Columns before the marker.
    indent: usize,
    numbered: bool,
    done: bool,
    text: &'a str,
}

/// Where a read list item stands, so that the next one finds its parent and its predecessor.
#[derive(Debug)]
struct Place {
    indent: usize,
    numbered: bool,
    /// Its number in `found`; none for a done item, which is no task.
    requirement: Option<usize>,
}

#[derive(Debug)]
enum Block {
    Paragraph(String),
    Item { text: String, place: usize },
}

#[derive(Debug, Default)]
struct Reader {
    found: Vec<Requirement>,
    section: String,
    /// What the heading says of everything below it.
    section_priority: Option<Priority>,
    /// The level of the heading that excludes what is below it.
    excluded_at: Option<usize>,
    /// The mark that closes the code block we are in.
    fence: Option<&'static str>,
    block: Option<Block>,
    /// The list items that are still open, outermost first.
    places: Vec<Place>,
}

impl Reader {
    fn line(&mut self, line: &str) {
        let text = line.trim();
        if let Some(fence) = self.fence {
            if text.starts_with(fence) {
                self.fence = None;
            }
            return;
        }
        if let Some(fence) = ["```", "~~~"].into_iter().find(|f| text.starts_with(f)) {
            self.close_block();
            self.fence = Some(fence);
        } else if let Some((level, heading)) = heading(text) {
            self.close_block();
            self.enter(level, heading);
        } else if text.is_empty() {
            // A list goes on after an empty line, a paragraph does not.
            self.close_block();
        } else if text.starts_with(['|', '>']) || is_rule(text) {
            self.close_block();
        } else if let Some(item) = item(line) {
            self.close_block();
            self.open_item(&item);
        } else {
            self.running_text(line, text);
        }
    }

    fn enter(&mut self, level: usize, heading: &str) {
        self.places.clear();
        self.section = plain(heading);
        self.section_priority = Priority::of(heading);
        if self.excluded_at.is_none_or(|excluded| level <= excluded) {
            let words: Vec<String> = heading
                .split(|c: char| !c.is_alphanumeric())
                .filter(|word| !word.is_empty())
                .map(str::to_lowercase)
                .collect();
            let words = words.join(" ");
            let excluded = EXCLUDING.iter().any(|name| words.contains(name));
            self.excluded_at = excluded.then_some(level);
        }
    }

    fn running_text(&mut self, line: &str, text: &str) {
        match &mut self.block {
            Some(Block::Paragraph(so_far) | Block::Item { text: so_far, .. }) => {
                so_far.push(' ');
                so_far.push_str(text);
            }
            None => {
                if !line.starts_with([' ', '\t']) {
                    self.places.clear();
                }
                self.block = Some(Block::Paragraph(text.to_owned()));
            }
        }
    }

    fn open_item(&mut self, item: &Item<'_>) {
        while self.places.last().is_some_and(|p| p.indent > item.indent) {
            self.places.pop();
        }
        let previous = self.places.pop_if(|place| place.indent == item.indent);
        let order = Order {
            parent: self.places.iter().rev().find_map(|p| p.requirement),
            after: previous
                .filter(|previous| previous.numbered && item.numbered)
                .and_then(|previous| previous.requirement),
        };
        let requirement = (!item.done && self.excluded_at.is_none()).then(|| {
            self.found.push(Requirement {
                order,
                ..Requirement::default()
            });
            self.found.len() - 1
        });
        self.places.push(Place {
            indent: item.indent,
            numbered: item.numbered,
            requirement,
        });
        if let Some(place) = requirement {
            self.block = Some(Block::Item {
                text: item.text.to_owned(),
                place,
            });
        }
    }

    /// What was read since the block began is complete: it becomes requirements.
    fn close_block(&mut self) {
        match self.block.take() {
            Some(Block::Item { text, place }) => {
                let requirement = &mut self.found[place];
                let own = Priority::of(&text);
                requirement.priority = own.or(self.section_priority).unwrap_or(Priority::Medium);
                requirement.title = plain(&text);
                requirement.section.clone_from(&self.section);
            }
            Some(Block::Paragraph(text)) if self.excluded_at.is_none() => {
                for sentence in sentences(&text) {
                    if let Some(priority) = Priority::of(sentence) {
                        self.found.push(Requirement {
                            title: plain(sentence),
                            priority,
                            section: self.section.clone(),
                            order: Order::default(),
                        });
                    }
                }
            }
            _ => {}
        }
    }
}

fn heading(text: &str) -> Option<(usize, &str)> {
    let level = text.chars().take_while(|c| *c == '#').count();
    let name = text[level..].strip_prefix([' ', '\t'])?;
    (1..=6)
        .contains(&level)
        .then(|| (level, name.trim_end_matches('#').trim()))
}

fn is_rule(text: &str) -> bool {
    text.len() >= 3
        && ["-", "*", "_", "="]
            .iter()
            .any(|mark| text.replace(' ', "").replace(mark, "").is_empty())
}

fn item(line: &str) -> Option<Item<'_>> {
    let text = line.trim_start();
    let indent = line[..line.len() - text.len()]
        .chars()
        .map(|c| if c == '\t' { 4 } else { 1 })
        .sum();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let numbered = digits > 0;
    let marks: &[char] = if numbered {
        &['.', ')']
    } else {
        &['-', '*', '+']
    };
    let text = text[digits..].strip_prefix(marks)?;
    let text = text.strip_prefix([' ', '\t'])?.trim();
    let done = text.starts_with("[x]") || text.starts_with("[X]");
    let text = text.strip_prefix("[ ]").unwrap_or(text).trim();
    (!text.is_empty()).then_some(Item {
        indent,
        numbered,
        done,
        text,
    })
}

fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive([' '])
        .scan(0, |end, word| {
            *end += word.len();
            Some((*end, word.trim_end().ends_with(['.', '!', '?', ';'])))
        })
        .filter(|(_, last)| *last)
        .map(|(end, _)| end)
        .chain([text.len()])
        .scan(0, move |start, end| {
            let sentence = &text[*start..end];
            *start = end;
            Some(sentence.trim())
        })
        .filter(|sentence| !sentence.is_empty())
}

/// Text without the marks of emphasis, code and links, and without the full stop.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('[') {
        let (before, link) = rest.split_at(open);
        out.push_str(before);
        let parts = link[1..].split_once("](").and_then(|(name, more)| {
            let (_, after) = more.split_once(')')?;
            Some((name, after))
        });
        match parts {
            Some((name, after)) => {
                out.push_str(name);
                rest = after;
            }
            None => {
                out.push('[');
                rest = &link[1..];
            }
        }
    }
    out.push_str(rest);
    let out = out.replace("**", "").replace("__", "").replace('`', "");
    let words: Vec<&str> = out.split_whitespace().collect();
    words.join(" ").trim_end_matches(['.', ';', ':']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, Priority)> {
        let found = requirements(text).into_iter();
        found.map(|r| (r.title, r.priority)).collect()
    }

    fn titles(text: &str) -> Vec<String> {
        read(text).into_iter().map(|(title, _)| title).collect()
    }

    #[test]
    fn list_items_and_sentences_that_demand_are_requirements() {
        let text = "\
# Search

Search is slow today. It must answer within 300 ms, also
when the index is cold. People may filter by year.

- Show a *snippet*
  of the text
- The page should remember the query.
";
        let expected = [
            (
                "It must answer within 300 ms, also when the index is cold",
                Priority::High,
            ),
            ("People may filter by year", Priority::Low),
            ("Show a *snippet* of the text", Priority::Medium),
            ("The page should remember the query", Priority::Medium),
        ];
        assert_eq!(read(text), expected.map(|(t, p)| (t.to_owned(), p)));
    }

    #[test]
    fn a_heading_lends_its_priority_and_its_name() {
        let found =
            requirements("## Must have\n- Log in\n- Dark mode (optional)\n## Later\n* Export\n");
        let told: Vec<_> = found.iter().map(|r| (&*r.section, r.priority)).collect();
        let expected = [
            ("Must have", Priority::High),
            ("Must have", Priority::Low),
            ("Later", Priority::Medium),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_not_to_be_built_is_passed_over() {
        let text = "\
# A
- [x] Done
- [ ] Open
```
- must not be read
```
| must | be a table |
> It must be quoted.
---
## Non-goals
- Nothing
### Below
The app must do nothing.
## Again
- Something
";
        assert_eq!(titles(text), ["Open", "Something"]);
    }

    #[test]
    fn nesting_and_numbers_make_the_order() {
        let text =
            "1. One\n   - Part a\n   - Part b\n\n2) Two\n   1. Two one\n   2. Two two\n\n- Loose\n";
        let orders: Vec<_> = requirements(text).into_iter().map(|r| r.order).collect();
        let order = |parent, after| Order { parent, after };
        assert_eq!(
            orders,
            [
                order(None, None),
                order(Some(0), None),
                order(Some(0), None),
                order(None, Some(0)),
                order(Some(3), None),
                order(Some(3), Some(4)),
                order(None, None),
            ]
        );
    }

    #[test]
    fn text_between_lists_ends_the_numbering() {
        let orders = requirements("1. One\n\nThen, elsewhere:\n\n1. Other\n");
        assert_eq!(orders[1].order, Order::default());
    }

    #[test]
    fn marks_are_taken_off() {
        assert_eq!(
            plain("**Bold** `code` [link](https://a.example/b) [ 1 ] array[0]."),
            "Bold code link [ 1 ] array[0]"
        );
        assert_eq!(plain("[a] and [b](c"), "[a] and [b](c");
    }

    #[test]
    fn odd_input_does_not_break_the_reader() {
        for text in [
            "",
            "#",
            "#######  x",
            "-",
            "1.",
            "```",
            "\t- a\n- b",
            "ä. ö; ü",
            "- \u{a0}",
        ] {
            requirements(text);
        }
    }
}
