//! `weft-example-events`: a publisher of events, and a durable subscriber. See the README beside
//! this file.

mod publisher;
mod subscriber;

use std::{env, error::Error, process::ExitCode};

use weftbus::mesh::{Mesh, Options};

const USAGE: &str = "usage: weft-example-events publish < EVENTS
       weft-example-events subscribe TYPES NAME [OPTIONS]";

type Outcome = Result<(), Box<dyn Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Outcome {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["publish"] => {
            let given = publisher::read()?;
            publisher::run(join().await?, given).await
        }
        ["subscribe", types, name] => subscriber::run(join().await?, types, name, "{}").await,
        ["subscribe", types, name, options] => {
            subscriber::run(join().await?, types, name, options).await
        }
        _ => Err(USAGE.into()),
    }
}

/// Joins as who holds the token.
async fn join() -> Result<Mesh, Box<dyn Error>> {
    let url = variable("WEFT_NATS_URL");
    let url = url.unwrap_or_else(|| "nats://127.0.0.1:4222".to_owned());
    let token = match (variable("WEFT_TOKEN"), variable("WEFT_TOKEN_FILE")) {
        (Some(token), _) => token,
        (None, Some(file)) => std::fs::read_to_string(file)?.trim().to_owned(),
        (None, None) => return Err("WEFT_TOKEN or WEFT_TOKEN_FILE says who this is".into()),
    };
    Ok(Mesh::connect(Options::new(url, token)).await?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a program of its own, which has no configuration"
)]
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

#[expect(clippy::print_stderr, reason = "what it says to people")]
fn tell(text: &str) {
    eprintln!("{text}");
}
