//! `weft resources read`.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use weftbus::{error::Error, mcp::Method, mesh::Mesh, resource::Content};

use super::{SHARED, server_and_uri, share};
use crate::cli::{
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, joined},
};

/// Print a resource, or write it into a file
#[derive(clap::Args)]
#[command(before_help = "\
EXAMPLES
  weft resources read report://2026/q3
  weft resources read report://2026/q3 --to q3.md
  weft resources read git file:///README.md -o json")]
pub(super) struct Args {
    /// The resource; before it the server, where it is not a shared one
    #[arg(value_names = ["SERVER", "URI"], num_args = 1..=2, required = true)]
    words: Vec<String>,
    /// Write the content into this file; it is there when all of it came
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

/// A resource that was read.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Got {
    /// The server.
    server: String,
    /// The resource.
    uri: String,
    /// Bytes of its content.
    size: u64,
    /// The content; nothing where it went into a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Content>,
    /// The file that it was written into.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    joined(to, async |mesh, to| {
        let (server, uri) = server_and_uri(&args.words);
        let mut sink = Sink::open(args.to.as_deref(), to.printer.is_table()).await?;
        if server == SHARED {
            let mut reader = mesh.resources().open(uri).await?;
            let size = reader.resource().size;
            while let Some(part) = reader.next().await? {
                sink.take(&part, to).await?;
                if args.to.is_some() && to.printer.is_lively() {
                    to.printer.progress(&share(sink.size, size));
                }
            }
        } else {
            for part in of_server(mesh, server, uri).await? {
                sink.take(&part, to).await?;
            }
        }
        let (size, content) = sink.end().await?;
        let got = Got {
            server: server.to_owned(),
            uri: uri.to_owned(),
            size,
            content,
            file: args.to.clone(),
        };
        if !to.printer.is_table() {
            to.printer.json(&got)?;
        } else if let Some(file) = &args.to {
            to.printer
                .say(format!("{size} bytes in {}", file.display()));
        }
        Ok(Exit::Ok)
    })
    .await
}

/// All contents that a server gives under a URI.
async fn of_server(mesh: &Mesh, server: &str, uri: &str) -> Result<Vec<Vec<u8>>, Error> {
    #[derive(Deserialize)]
    struct Read {
        contents: Vec<Part>,
    }
    #[derive(Deserialize)]
    struct Part {
        text: Option<String>,
        blob: Option<String>,
    }
    let asked = mesh.ask(server, Method::RESOURCES_READ, json!({"uri": uri}))?;
    let read: Read = asked.send().await?.result()?;
    let bytes = |part: Part| {
        let content = part.text.map(Content::Text);
        let content = content.or(part.blob.map(Content::Blob));
        content.map_or_else(|| Ok(Vec::new()), |content| content.bytes())
    };
    read.contents.into_iter().map(bytes).collect()
}

/// Where a content goes.
struct Sink {
    size: u64,
    place: Place,
}

enum Place {
    /// Standard output, as it comes.
    Out,
    /// One JSON object at the end.
    Memory(Vec<u8>),
    /// A file beside the one that is wanted, which takes its place at the end.
    File {
        file: tokio::fs::File,
        beside: PathBuf,
        wanted: PathBuf,
    },
}

impl Sink {
    async fn open(wanted: Option<&Path>, plain: bool) -> Result<Self, Failure> {
        let place = match wanted {
            Some(wanted) => {
                let mut beside = wanted.as_os_str().to_owned();
                beside.push(format!(".{}.part", std::process::id()));
                let beside = PathBuf::from(beside);
                let file = tokio::fs::File::create_new(&beside).await;
                Place::File {
                    file: file.map_err(|error| failed(&beside, &error))?,
                    beside,
                    wanted: wanted.to_owned(),
                }
            }
            None if plain => Place::Out,
            None => Place::Memory(Vec::new()),
        };
        Ok(Self { size: 0, place })
    }

    async fn take(&mut self, part: &[u8], to: &mut Invocation) -> Result<(), Failure> {
        self.size += part.len() as u64;
        match &mut self.place {
            Place::Out => to.printer.content(part),
            Place::Memory(all) => {
                all.extend_from_slice(part);
                Ok(())
            }
            Place::File { file, beside, .. } => {
                let written = file.write_all(part).await;
                written.map_err(|error| failed(beside, &error))
            }
        }
    }

    async fn end(mut self) -> Result<(u64, Option<Content>), Failure> {
        let content = match &mut self.place {
            Place::Out => None,
            Place::Memory(all) => Some(Content::of(all)),
            Place::File {
                file,
                beside,
                wanted,
            } => {
                let synced = file.sync_all().await;
                synced.map_err(|error| failed(beside, &error))?;
                let renamed = tokio::fs::rename(&*beside, &*wanted).await;
                renamed.map_err(|error| failed(wanted, &error))?;
                None
            }
        };
        Ok((self.size, content))
    }
}

impl Drop for Sink {
    /// What did not come to its end leaves no file.
    fn drop(&mut self) {
        if let Place::File { beside, .. } = &self.place {
            // Gone where it was renamed.
            drop(std::fs::remove_file(beside));
        }
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::local(format!("{}: {error}", path.display()))
}
