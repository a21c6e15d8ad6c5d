//! What a replay came to.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use weftbus::mesh::Told;

use crate::cli::{
    exit::Exit,
    failure::Failure,
    output::{Printer, table::Table},
};

/// What a replay came to: with `--dry-run` and where events go elsewhere than to standard output.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Summary {
    /// Whether they were counted alone, and none was delivered.
    dry_run: bool,
    /// How many events were replayed, or would be.
    events: u64,
    /// How many of each stream.
    streams: BTreeMap<String, u64>,
    /// How many entries that were asked for can't be read.
    unreadable: u64,
    /// How many numbers that were asked for are no longer there.
    gone: u64,
}

impl Summary {
    pub(super) const fn new(dry_run: bool) -> Self {
        Self {
            dry_run,
            events: 0,
            streams: BTreeMap::new(),
            unreadable: 0,
            gone: 0,
        }
    }

    /// So many more of a stream were delivered.
    pub(super) fn count(&mut self, stream: String, events: u64) {
        self.events += events;
        *self.streams.entry(stream).or_default() += events;
    }

    /// So many were read, and not there any more when they were to be delivered.
    pub(super) const fn miss(&mut self, events: u64) {
        self.gone += events;
    }

    /// Something was told that is no event.
    pub(super) fn note(&mut self, told: &Told) {
        match told {
            Told::Unreadable { .. } => self.unreadable += 1,
            Told::Gone { numbers, .. } => self.gone += numbers.1 + 1 - numbers.0,
            // Whether any of these was asked for, nobody knows: they are said, and no more.
            Told::Event(_) | Told::Holes { .. } => {}
        }
    }

    /// All, or not all of what was asked for.
    pub(super) const fn exit(&self) -> Exit {
        if self.unreadable == 0 && self.gone == 0 {
            Exit::Ok
        } else {
            Exit::Degraded
        }
    }

    /// Beside the events where those are the data, else as the data.
    pub(super) fn show(&self, beside: bool, to: &mut Printer) -> Result<(), Failure> {
        if beside {
            to.say(self.words());
            return Ok(());
        }
        if !to.is_table() {
            return to.json(self);
        }
        let mut table = Table::new(&["STREAM", "EVENTS"]);
        for (stream, events) in &self.streams {
            table.row([stream.clone(), events.to_string()]);
        }
        table.row(["all".to_owned(), self.events.to_string()]);
        to.table(&table)?;
        to.say(self.words());
        Ok(())
    }

    fn words(&self) -> String {
        let what = if self.dry_run {
            "would be replayed"
        } else {
            "replayed"
        };
        let mut text = match self.events {
            1 => format!("1 event {what}"),
            events => format!("{events} events {what}"),
        };
        for (count, why) in [(self.unreadable, "can't be read"), (self.gone, "are gone")] {
            if count > 0 {
                text.push_str(&format!(", {count} {why}"));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::{Format, tests::printer};

    fn summary(dry_run: bool) -> Summary {
        let mut summary = Summary::new(dry_run);
        for stream in ["WEFT_TASKS", "WEFT_SWARM", "WEFT_TASKS"] {
            summary.count(stream.to_owned(), 1);
        }
        summary
    }

    #[test]
    fn it_stands_beside_the_lines_or_is_the_data() {
        let (mut to, out, err) = printer(Format::Table, false);
        summary(false).show(true, &mut to).expect("shown");
        assert_eq!(out.text(), "");
        assert_eq!(err.text(), "3 events replayed\n");
        let (mut to, out, _) = printer(Format::Table, false);
        summary(true).show(false, &mut to).expect("shown");
        let rows = "STREAM      EVENTS\nWEFT_SWARM  1\nWEFT_TASKS  2\nall         3\n";
        assert_eq!(out.text(), rows);
        let (mut to, out, err) = printer(Format::Json, false);
        summary(true).show(false, &mut to).expect("shown");
        let said: serde_json::Value = serde_json::from_str(&out.text()).expect("JSON");
        assert_eq!(said["streams"]["WEFT_TASKS"], 2);
        assert_eq!(
            (&said["events"], &said["dryRun"]),
            (&3.into(), &true.into())
        );
        assert_eq!(err.text(), "");
    }

    #[test]
    fn what_could_not_be_replayed_has_a_status() {
        let mut all = summary(false);
        let stream = String::from("WEFT_TASKS");
        all.note(&Told::Holes { stream, missing: 3 });
        assert_eq!(all.exit(), Exit::Ok);
        let (stream, numbers) = (String::from("WEFT_TASKS"), (3, 5));
        all.note(&Told::Gone { stream, numbers });
        assert_eq!(all.exit(), Exit::Degraded);
        assert_eq!(all.words(), "3 events replayed, 3 are gone");
    }
}
