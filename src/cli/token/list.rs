//! `weft token list`: all tokens, page by page.

use serde::Deserialize;
use serde_json::{Map, Value};
use weftbus::name::Identity;

use super::{About, table};
use crate::cli::{
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, joined},
};

const EXAMPLES: &str = "\
EXAMPLES
  weft token list
  weft token list --subject alice --all
  weft tokens list -o jsonl";

/// Pages at most: the control plane keeps 20,000 tokens, 100 on a page.
const PAGES_MAX: usize = 1000;

/// List the tokens that hold
#[derive(clap::Args)]
#[command(before_help = EXAMPLES)]
pub(super) struct Args {
    /// Only tokens of this subject
    #[arg(long, value_name = "NAME")]
    subject: Option<Identity>,
    /// Those that expired or were revoked as well
    #[arg(long)]
    all: bool,
}

#[derive(Deserialize)]
struct Page {
    tokens: Vec<About>,
    #[serde(default)]
    next: Option<String>,
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    joined(to, async |mesh, to| {
        let mut wish = Map::new();
        wish.insert("all".into(), args.all.into());
        if let Some(subject) = &args.subject {
            wish.insert("name".into(), subject.as_str().into());
        }
        let mut tokens = Vec::new();
        for _ in 0..PAGES_MAX {
            let page: Page = mesh.control("token_list", &wish).await?;
            tokens.extend(page.tokens);
            let Some(next) = page.next else { break };
            wish.insert("after".into(), Value::from(next));
        }
        to.printer.rows(&tokens, table)?;
        Ok(Exit::Ok)
    })
    .await
}
