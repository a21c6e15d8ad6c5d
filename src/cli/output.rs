//! The one owner of standard output and standard error: data goes to the first, talk to the second.

mod reader;
pub(crate) mod table;

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write},
};

use clap::ValueEnum;
use serde::Serialize;
use weftbus::{
    config::{Env, env::NO_COLOR},
    mcp::hidden::is_hidden,
};

use self::table::Table;
use super::failure::{Failure, Told};

/// The form of data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// One JSON document; an error is one JSON object on standard error
    Json,
    /// One JSON value a line
    Jsonl,
}

/// A style that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it is.
    Plain,
    /// A head.
    Bold,
    /// All is well.
    Good,
    /// Look at it.
    Uneasy,
    /// It is broken.
    Bad,
    /// Beside the point.
    Faint,
}

/// Standard output and standard error.
pub(crate) struct Printer {
    out: Stream,
    err: Stream,
    /// The form of data.
    pub(crate) format: Format,
    quiet: bool,
    /// Whether it is the process's own standard output that is written to.
    own: bool,
    /// A progress line stands on the terminal, to be wiped before anything else is said.
    progress: bool,
}

struct Stream {
    to: Box<dyn Write + Send>,
    terminal: bool,
    colour: bool,
}

impl Printer {
    /// The process's own two.
    pub(crate) fn process(format: Format, quiet: bool, env: &Env) -> Self {
        let dull = env.get(NO_COLOR).is_some() || env.get("TERM") == Some("dumb");
        let (out, err) = (io::stdout(), io::stderr());
        Self {
            out: Stream {
                terminal: out.is_terminal(),
                colour: out.is_terminal() && !dull,
                to: Box::new(out),
            },
            err: Stream {
                terminal: err.is_terminal(),
                colour: err.is_terminal() && !dull,
                to: Box::new(err),
            },
            format,
            quiet,
            own: true,
            progress: false,
        }
    }

    /// Whether it is for people, not for programs.
    pub(crate) fn is_table(&self) -> bool {
        self.format == Format::Table
    }

    /// Whether progress can be shown in place.
    pub(crate) fn is_lively(&self) -> bool {
        self.err.terminal && self.is_table() && !self.quiet
    }

    /// Whether help may have colours.
    pub(crate) fn is_coloured(&self, error: bool) -> bool {
        if error {
            self.err.colour
        } else {
            self.out.colour
        }
    }

    /// Resolves when nobody reads standard output any more: a pipe whose other end is closed.
    pub(crate) fn reader_gone(&self) -> impl Future<Output = ()> + Send + use<> {
        let pipe = self.own.then(reader::pipe).flatten();
        async move {
            match pipe {
                Some(pipe) => reader::gone(pipe).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Text, as data. A terminal is not to be steered by what somebody else wrote.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.wipe();
        let shown = if self.out.terminal {
            harmless(text)
        } else {
            text.to_owned()
        };
        self.raw(shown.as_bytes())
    }

    /// Bytes, as they are, with a line end after them.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.wipe();
        self.out.to.write_all(bytes)?;
        if !bytes.ends_with(b"\n") {
            self.out.to.write_all(b"\n")?;
        }
        Ok(self.out.to.flush()?)
    }

    /// A part of a content that somebody else wrote: byte by byte, but for what steers a terminal.
    pub(crate) fn content(&mut self, part: &[u8]) -> Result<(), Failure> {
        self.wipe();
        if self.out.terminal {
            let shown = harmless(&String::from_utf8_lossy(part));
            self.out.to.write_all(shown.as_bytes())?;
        } else {
            self.out.to.write_all(part)?;
        }
        Ok(self.out.to.flush()?)
    }

    /// A table.
    pub(crate) fn table(&mut self, table: &Table) -> Result<(), Failure> {
        let text = table.render(self.out.colour);
        self.raw(text.as_bytes())
    }

    /// One value, as a JSON document or a line of JSON.
    pub(crate) fn json<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failure> {
        let text = if self.format == Format::Jsonl {
            serde_json::to_string(value)
        } else {
            serde_json::to_string_pretty(value)
        };
        let text = text.map_err(|error| Failure::local(error.to_string()))?;
        self.raw(text.as_bytes())
    }

    /// Rows: a table, a JSON array, or a line of JSON each.
    pub(crate) fn rows<T: Serialize>(
        &mut self,
        rows: &[T],
        table: impl FnOnce(&[T]) -> Table,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.table(&table(rows)),
            Format::Json => self.json(rows),
            Format::Jsonl => rows.iter().try_for_each(|row| self.json(row)),
        }
    }

    /// Says something beside the data.
    pub(crate) fn say(&mut self, text: impl Display) {
        if !self.quiet {
            self.tell(&text.to_string());
        }
    }

    /// Says that something is not as one might think.
    pub(crate) fn warn(&mut self, text: impl Display) {
        let head = paint("warning:", Tone::Uneasy, self.err.colour);
        self.say(format!("{head} {text}"));
    }

    /// Says why the command failed.
    pub(crate) fn fail(&mut self, told: &Told) {
        if !self.is_table() {
            let object = serde_json::to_string(&told.object());
            return self.tell(&object.unwrap_or_else(|error| error.to_string()));
        }
        let mut lines = told.lines().into_iter();
        let what = lines.next().unwrap_or_default();
        let head = paint("error:", Tone::Bad, self.err.colour);
        self.tell(&format!("{head} {what}"));
        for line in lines {
            self.tell(&paint(&format!("  {line}"), Tone::Faint, self.err.colour));
        }
    }

    /// Shows how far something is: in place at a terminal, as a line elsewhere.
    pub(crate) fn progress(&mut self, text: &str) {
        let line = harmless(text).replace('\n', " ");
        if self.is_lively() {
            let line: String = line.chars().take(78).collect();
            self.write_err(&format!("\r\x1b[2K{line}"));
            self.progress = true;
        } else {
            self.tell(&line);
        }
    }

    fn wipe(&mut self) {
        if std::mem::take(&mut self.progress) {
            self.write_err("\r\x1b[2K");
        }
    }

    fn tell(&mut self, text: &str) {
        self.wipe();
        self.write_err(&format!("{text}\n"));
    }

    /// Nobody is left to hear that nobody hears.
    fn write_err(&mut self, text: &str) {
        drop(self.err.to.write_all(text.as_bytes()));
        drop(self.err.to.flush());
    }
}

/// Text without what would steer a terminal, or stand there unseen.
pub(crate) fn harmless(text: &str) -> String {
    let harmless = |c: char| match c {
        '\n' | '\t' => c,
        c if c.is_control() || is_hidden(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(harmless).collect()
}

/// Text in a tone.
pub(crate) fn paint(text: &str, tone: Tone, colour: bool) -> String {
    let code = match tone {
        Tone::Plain => return text.to_owned(),
        Tone::Bold => "1",
        Tone::Good => "32",
        Tone::Uneasy => "33",
        Tone::Bad => "31",
        Tone::Faint => "2",
    };
    if colour && !text.is_empty() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was written.
    #[derive(Clone, Default)]
    pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A printer into memory.
    pub(crate) fn printer(format: Format, terminal: bool) -> (Printer, Written, Written) {
        let (out, err) = (Written::default(), Written::default());
        let stream = |to: &Written| Stream {
            to: Box::new(to.clone()),
            terminal,
            colour: terminal,
        };
        let printer = Printer {
            out: stream(&out),
            err: stream(&err),
            format,
            quiet: false,
            own: false,
            progress: false,
        };
        (printer, out, err)
    }

    #[test]
    fn rows_take_three_forms() {
        let form = |format| {
            let (mut printer, out, _) = printer(format, false);
            let table = |rows: &[u8]| {
                let mut table = Table::new(&["NUMBER"]);
                rows.iter().for_each(|row| table.row([row.to_string()]));
                table
            };
            printer.rows(&[1u8, 2], table).expect("written");
            out.text()
        };
        assert_eq!(form(Format::Table), "NUMBER\n1\n2\n");
        assert_eq!(form(Format::Json), "[\n  1,\n  2\n]\n");
        assert_eq!(form(Format::Jsonl), "1\n2\n");
    }

    #[test]
    fn a_terminal_is_not_steered_and_a_pipe_gets_all() {
        let evil = "a\x1b[2Jb";
        let (mut printer_, out, _) = printer(Format::Table, true);
        printer_.text(evil).expect("written");
        assert_eq!(out.text(), "a\u{fffd}[2Jb\n");
        let (mut piped, out, _) = printer(Format::Table, false);
        piped.text(evil).expect("written");
        assert_eq!(out.text(), "a\x1b[2Jb\n");
    }

    #[test]
    fn progress_is_wiped_before_anything_else_is_said() {
        let (mut printer, _, err) = printer(Format::Table, true);
        printer.progress("half");
        printer.say("done");
        assert_eq!(err.text(), "\r\x1b[2Khalf\r\x1b[2Kdone\n");
    }

    #[test]
    fn an_error_is_one_object_with_json() {
        let Failure::Told(told) = Failure::usage("no") else {
            panic!("told")
        };
        let (mut printer_, out, err) = printer(Format::Json, false);
        printer_.fail(&told);
        assert_eq!(err.text().lines().count(), 1);
        let object: serde_json::Value = serde_json::from_str(&err.text()).expect("JSON");
        assert_eq!(object["message"], "no");
        assert_eq!(out.text(), "");
        let (mut people, _, err) = printer(Format::Table, false);
        people.fail(&told);
        assert_eq!(err.text(), "error: no\n");
    }
}
