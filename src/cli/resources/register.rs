//! `weft resources register`.

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use weftbus::{
    mesh::Mesh,
    resource::{Act, Draft, Grant, Resource},
};

use super::share;
use crate::cli::{
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, joined},
};

/// Bytes that are taken from standard input: it can't be read twice, so it is held in memory.
const STDIN_MAX: u64 = 64 << 20;

/// Share a file, or what comes on standard input
#[derive(clap::Args)]
#[command(before_help = "\
EXAMPLES
  weft resources register report://2026/q3 @q3.md --type text/markdown
  weft resources register report://2026/q3 @q3.md --share 'team-*=read' --share bob=read,write
  date | weft resources register note://now - --type text/plain
  weft resources register report://2026/q3 @q3.md --replace 1795339800123")]
pub(super) struct Args {
    /// Its name, a URI
    #[arg(value_name = "URI")]
    uri: String,
    /// Its content: @FILE, or - for standard input
    #[arg(value_name = "@FILE|-")]
    content: String,
    /// What it is: a media type, or a word
    #[arg(
        long = "type",
        value_name = "TYPE",
        default_value = "application/octet-stream"
    )]
    kind: String,
    /// What else there is to say of it, as a JSON object
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    /// Who else may read or write it: bob=read, team-*=read,write
    #[arg(long, value_name = "WHO=ACTS")]
    share: Vec<String>,
    /// Take the place of this version of it
    #[arg(long, value_name = "VERSION")]
    replace: Option<u64>,
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let draft = args.draft()?;
    let content = Source::read(&args.content).await?;
    joined(to, async |mesh, to| {
        let made = content.send(draft, mesh, to).await?;
        if to.printer.is_table() {
            let (size, version) = (made.size, made.version);
            to.printer.say(format!(
                "{} is registered: {size} bytes, version {version}",
                made.id
            ));
        } else {
            to.printer.json(&made)?;
        }
        Ok(Exit::Ok)
    })
    .await
}

impl Args {
    fn draft(&self) -> Result<Draft, Failure> {
        let metadata: Map<String, Value> = match &self.metadata {
            Some(text) => serde_json::from_str(text)
                .map_err(|error| Failure::usage(format!("--metadata: {error}")))?,
            None => Map::new(),
        };
        let permissions = self.share.iter().map(|text| grant(text));
        let draft = Draft {
            id: self.uri.clone(),
            kind: self.kind.clone(),
            metadata,
            permissions: permissions.collect::<Result<_, _>>()?,
            version: self.replace.unwrap_or(0),
        };
        draft.check()?;
        Ok(draft)
    }
}

/// `bob=read,write`.
fn grant(text: &str) -> Result<Grant, Failure> {
    let bad = || {
        Failure::usage(format!(
            "--share {text}: write WHO=read, WHO=write or WHO=read,write"
        ))
    };
    let (who, acts) = text.split_once('=').ok_or_else(bad)?;
    let act = |word: &str| match word {
        "read" => Ok(Act::Read),
        "write" => Ok(Act::Write),
        _ => Err(bad()),
    };
    Ok(Grant {
        who: who.to_owned(),
        may: acts.split(',').map(act).collect::<Result<_, _>>()?,
    })
}

/// A content, and what is to be known of it before it is sent.
enum Source {
    Memory(Vec<u8>),
    File {
        path: PathBuf,
        size: u64,
        sha256: String,
    },
}

impl Source {
    async fn read(given: &str) -> Result<Self, Failure> {
        let Some(path) = given.strip_prefix('@').map(PathBuf::from) else {
            if given != "-" {
                return Err(Failure::usage(format!(
                    "`{given}` is no content: write @FILE, or - for standard input"
                )));
            }
            let mut all = Vec::new();
            let mut stdin = tokio::io::stdin().take(STDIN_MAX + 1);
            stdin.read_to_end(&mut all).await?;
            if all.len() as u64 > STDIN_MAX {
                return Err(Failure::usage(
                    "standard input has more than 64 MiB: write it into a file, and name that: @FILE",
                ));
            }
            return Ok(Self::Memory(all));
        };
        let mut file = open(&path).await?;
        let (mut digest, mut size) = (Sha256::new(), 0);
        let mut buffer = vec![0; 1 << 20];
        loop {
            let got = fill(&mut file, &mut buffer, &path).await?;
            digest.update(&buffer[..got]);
            size += got as u64;
            if got < buffer.len() {
                break;
            }
        }
        let sha256 = HEXLOWER.encode(&digest.finalize());
        Ok(Self::File { path, size, sha256 })
    }

    async fn send(
        self,
        draft: Draft,
        mesh: &Mesh,
        to: &mut Invocation,
    ) -> Result<Resource, Failure> {
        let resources = mesh.resources();
        let (path, size, sha256) = match self {
            Self::Memory(all) => return Ok(resources.register(draft, &all).await?),
            Self::File { path, size, sha256 } => (path, size, sha256),
        };
        let mut file = open(&path).await?;
        let mut upload = resources.upload(draft, size, sha256).await?;
        let mut buffer = vec![0; upload.part_bytes()];
        let mut sent = 0;
        while sent < size {
            let got = fill(&mut file, &mut buffer, &path).await?;
            if got == 0 {
                let said = format!("{}: it became shorter while it was sent", path.display());
                return Err(Failure::local(said));
            }
            upload.append(&buffer[..got]).await?;
            sent += got as u64;
            if to.printer.is_lively() {
                to.printer.progress(&share(sent, size));
            }
        }
        Ok(upload.commit().await?)
    }
}

async fn open(path: &Path) -> Result<tokio::fs::File, Failure> {
    let file = tokio::fs::File::open(path).await;
    file.map_err(|error| Failure::local(format!("{}: {error}", path.display())))
}

/// As much as there is room for; less at the end alone.
async fn fill(
    file: &mut (impl AsyncRead + Unpin),
    buffer: &mut [u8],
    path: &Path,
) -> Result<usize, Failure> {
    let mut got = 0;
    while got < buffer.len() {
        let read = file.read(&mut buffer[got..]).await;
        match read.map_err(|error| Failure::local(format!("{}: {error}", path.display())))? {
            0 => break,
            more => got += more,
        }
    }
    Ok(got)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_else_may_is_read() {
        let read = grant("team-*=read,write").expect("a line");
        assert_eq!(
            (read.who.as_str(), read.may),
            ("team-*", vec![Act::Read, Act::Write])
        );
        for bad in ["bob", "bob=", "bob=fly", "bob=read write"] {
            assert!(grant(bad).is_err(), "{bad}");
        }
    }
}
