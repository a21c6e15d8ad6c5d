//! Columns: as wide as their widest cell, two spaces apart, the last one as long as it likes.

use super::{Tone, harmless, paint};

/// A cell: what it says, and how.
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Tone::Plain)
    }
}

impl Cell {
    /// A cell in a tone.
    pub(crate) fn new(text: impl Into<String>, tone: Tone) -> Self {
        // One line each: what somebody else wrote may hold line ends.
        let text = harmless(&text.into()).replace(['\n', '\t'], " ");
        Self { text, tone }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

/// Rows under a head.
pub(crate) struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Without rows yet.
    pub(crate) fn new(head: &[&str]) -> Self {
        let head = head.iter().map(|text| Cell::new(*text, Tone::Bold));
        Self {
            rows: vec![head.collect()],
        }
    }

    /// Adds a row.
    pub(crate) fn row<C: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The text, without a line end after it.
    pub(crate) fn render(&self, colour: bool) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(Cell::width).max().unwrap_or(0)
            })
            .collect();
        let lines: Vec<String> = self
            .rows
            .iter()
            // A table without a head says what is what in its first column.
            .filter(|row| !row.is_empty())
            .map(|row| {
                let mut line = String::new();
                let mut gap = 0;
                for (cell, width) in row.iter().zip(&widths) {
                    if !cell.text.is_empty() {
                        line.push_str(&" ".repeat(gap));
                        line.push_str(&paint(&cell.text, cell.tone, colour));
                        gap = 0;
                    }
                    gap += width - cell.width() + 2;
                }
                line
            })
            .collect();
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_trails() {
        let mut table = Table::new(&["NAME", "STATE", "WHY"]);
        table.row(["a-long-name", "ok", ""]);
        table.row(["b", "", "no such\ncommand"]);
        assert_eq!(
            table.render(false),
            "NAME         STATE  WHY\na-long-name  ok\nb                   no such command"
        );
    }

    #[test]
    fn a_tone_takes_no_room() {
        let mut table = Table::new(&["A", "B"]);
        table.row([Cell::new("x", Tone::Good), Cell::from("y")]);
        assert_eq!(
            table.render(true),
            "\x1b[1mA\x1b[0m  \x1b[1mB\x1b[0m\n\x1b[32mx\x1b[0m  y"
        );
    }
}
