//! `weft token show`: your own token: where it is, and what it permits.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use weftbus::{access::exchange::Held, app::context::TokenFrom, error::Error};

use super::About;
use crate::cli::{
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, joined},
    output::{
        Tone,
        table::{Cell, Table},
    },
    time::{date, now, span},
};

const EXAMPLES: &str = "\
EXAMPLES
  weft token show
  WEFT_TOKEN=\"$(weft token show --reveal)\" my-program";

/// Say where your own token is, and what it permits
#[derive(clap::Args)]
#[command(before_help = EXAMPLES)]
pub(super) struct Args {
    /// Print the token itself, and nothing else
    #[arg(long)]
    reveal: bool,
}

/// One's own token.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Own {
    /// The file that it is in, or the variable.
    from: String,
    /// Its id.
    jti: String,
    /// Whose it is.
    sub: String,
    /// Until when it holds, seconds since 1970.
    exp: u64,
    /// What the control plane knows of it; none where that can't be asked, or does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<About>,
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let reach = to.reach()?;
    if args.reveal {
        to.printer.text(reach.token.reveal())?;
        return Ok(Exit::Ok);
    }
    let held = Held::read(reach.token.reveal()).map_err(Error::from)?;
    let asked = joined(to, async |mesh, _| {
        let which = json!({"jti": held.jti});
        Ok(mesh.control::<About>("token_inspect", which).await?)
    });
    // What the token says of itself is known all the same.
    let (about, why_not) = match asked.await {
        Ok(about) => (Some(about), None),
        Err(failure) => (None, failure.error().map(ToString::to_string)),
    };
    let own = Own {
        from: match reach.token_from {
            TokenFrom::File(path) => path.display().to_string(),
            TokenFrom::Variable => "WEFT_TOKEN".to_owned(),
        },
        jti: held.jti.clone(),
        sub: held.sub.to_string(),
        exp: held.exp,
        about,
    };
    if to.printer.is_table() {
        to.printer.table(&own.table())?;
    } else {
        to.printer.json(&own)?;
    }
    if let Some(why) = why_not {
        to.printer
            .warn(format!("what it permits is not known: {why}"));
    }
    Ok(Exit::Ok)
}

impl Own {
    fn table(&self) -> Table {
        let from = [Cell::new("from", Tone::Faint), Cell::from(&*self.from)];
        if let Some(about) = &self.about {
            let mut table = about.table();
            table.row(from);
            return table;
        }
        let mut table = Table::new(&[]);
        let left = self.exp.saturating_sub(now());
        let until = format!("{} ({} left)", date(self.exp), span(left));
        table.row([Cell::new("id", Tone::Faint), Cell::from(&*self.jti)]);
        table.row([Cell::new("subject", Tone::Faint), Cell::from(&*self.sub)]);
        table.row([Cell::new("until", Tone::Faint), Cell::from(until)]);
        table.row(from);
        table
    }
}
