//! Which tools are approved: one record a server, changed by compare-and-set, and the words behind
//! its digests beside it.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::{
    connect::unavailable,
    life::Voice,
    store::{Bucket, Stored, Written},
    tokens::invalid,
};
use crate::{
    access::now,
    error::{Error, Kind},
    event::{
        Event,
        catalogue::system::{ChangedTool, ServerToolsChanged},
    },
    mcp::tools::Tool,
    name::{Identity, ServerName},
    registry::approval::{
        Digested, Entry, Found, Held, Record, ToolCheck, ToolsChecked, WORDS_MAX, Why,
    },
};

/// Tries of a change that somebody else's change got in the way of.
const TRIES_MAX: usize = 8;
/// Bytes of a record; at twice that the bucket would not take it.
const RECORD_MAX: usize = 512 * 1024;
/// Bytes of what all tools of one server say of themselves that are kept.
const SERVER_WORDS_MAX: usize = 2 * 1024 * 1024;
/// Definitions that are told at a time.
const TOLD_MAX: usize = 64;
/// Tools that an event names.
const NAMED_MAX: usize = 32;

/// The approvals of the mesh.
#[derive(Debug)]
pub(super) struct Approvals {
    bucket: Bucket,
    voice: Voice,
}

impl Approvals {
    pub(super) const fn new(bucket: Bucket, voice: Voice) -> Self {
        Self { bucket, voice }
    }

    /// What is on record of a server.
    pub(super) async fn record(&self, server: &ServerName) -> Result<Option<Record>, Error> {
        Ok(self.read(server).await?.record)
    }

    /// The words behind a digest, where they are kept.
    pub(super) async fn words(&self, server: &ServerName, digest: &str) -> Option<String> {
        let stored = self.bucket.get(&key(server, digest)).await.ok()??;
        String::from_utf8(stored.value.to_vec()).ok()
    }

    /// Looks at all that a server has now. What is new of it is told as an event.
    ///
    /// # Errors
    /// `SERVER_OVERLOADED` where the record can't be read or written; then nothing is approved.
    pub(super) async fn check(
        &self,
        server: &ServerName,
        asked: &ToolCheck,
    ) -> Result<ToolsChecked, Error> {
        for _ in 0..TRIES_MAX {
            let read = self.read(server).await?;
            let Some(record) = &read.record else {
                let first = Record::first(&asked.tools, server.as_str(), now());
                if self.write(server, &read, first.clone()).await? {
                    return Ok(checked(&first, asked, Found::default()));
                }
                continue;
            };
            let mut looked = record.clone();
            let found = looked.look(&asked.tools, now());
            if !found.news.is_empty() {
                let told = self.tell(server, read.revision, &found.news, asked.quarantine);
                told.await?;
            }
            if self.write(server, &read, looked.clone()).await? {
                return Ok(checked(&looked, asked, found));
            }
        }
        Err(overtaken())
    }

    /// Keeps the words behind digests that are on record. Says how many were kept.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where one is no tool, or there are too many.
    pub(super) async fn keep(
        &self,
        server: &ServerName,
        definitions: &[String],
    ) -> Result<usize, Error> {
        if definitions.len() > TOLD_MAX {
            let said = format!("argument `definitions`: {TOLD_MAX} at a time at most");
            return Err(invalid(said));
        }
        let mut told = Vec::with_capacity(definitions.len());
        for text in definitions {
            let entry = serde_json::from_str::<&RawValue>(text).ok();
            let tool = entry.and_then(Tool::read);
            let tool = tool.ok_or_else(|| invalid("argument `definitions`: one is no tool"))?;
            told.push((tool.digest.clone(), tool.definition()));
        }
        for _ in 0..TRIES_MAX {
            let read = self.read(server).await?;
            let mut record = read.record.clone().unwrap_or_default();
            let kept = note(&mut record, &told);
            for (digest, words) in &kept {
                let body = words.as_bytes().to_vec();
                self.bucket.put(&key(server, digest), body, None).await?;
            }
            let count = kept.len();
            if self.write(server, &read, record).await? {
                return Ok(count);
            }
        }
        Err(overtaken())
    }

    /// Approves tools as they were looked at: all of these, or none.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where one is not any more what it was.
    pub(super) async fn approve(
        &self,
        server: &ServerName,
        tools: &[Digested],
        by: &Identity,
    ) -> Result<(), Error> {
        for _ in 0..TRIES_MAX {
            let read = self.read(server).await?;
            let mut record = read.record.clone().unwrap_or_default();
            for tool in tools {
                let done = record.approve(tool, by.as_str(), now());
                done.map_err(|why| invalid(format!("argument `tools`: {why}")))?;
            }
            if self.write(server, &read, record).await? {
                return Ok(());
            }
        }
        Err(overtaken())
    }

    async fn read(&self, server: &ServerName) -> Result<Read, Error> {
        let stored = self.bucket.get(server.as_str()).await?;
        Ok(Read {
            record: stored.as_ref().map(decode).transpose()?,
            revision: stored.as_ref().map_or(0, |stored| stored.revision),
        })
    }

    /// Writes a record where it changed; words that nothing refers to any more go with the change.
    /// Says whether nobody else wrote meanwhile.
    async fn write(&self, server: &ServerName, read: &Read, after: Record) -> Result<bool, Error> {
        if read.record.as_ref() == Some(&after) {
            return Ok(true);
        }
        let (after, body) = encode(after)?;
        let written = self
            .bucket
            .put(server.as_str(), body, Some(read.revision))
            .await?;
        if written == Written::Lost {
            return Ok(false);
        }
        self.tidy(server, read.record.as_ref(), &after).await;
        Ok(true)
    }

    async fn tidy(&self, server: &ServerName, before: Option<&Record>, after: &Record) {
        let still: BTreeSet<&str> = after.versions().map(|version| &*version.digest).collect();
        let before = before.into_iter().flat_map(Record::versions);
        let gone =
            before.filter(|version| version.bytes > 0 && !still.contains(version.digest.as_str()));
        for version in gone {
            let removed = self.bucket.remove(&key(server, &version.digest)).await;
            if let Err(error) = removed {
                tracing::debug!(%server, %error, "words that nobody needs are still kept");
            }
        }
    }

    /// Tells what is not approved and was not known. It is stored before the record says so, under
    /// an id that is the same when this is done again.
    async fn tell(
        &self,
        server: &ServerName,
        revision: u64,
        news: &[Held],
        quarantined: bool,
    ) -> Result<(), Error> {
        let tool = |held: &Held| ChangedTool {
            name: held.name.clone(),
            is_new: held.why == Why::New,
            digest: held.digest.clone(),
        };
        let data = ServerToolsChanged {
            server_name: server.to_string(),
            count: u32::try_from(news.len()).unwrap_or(u32::MAX),
            tools: news.iter().take(NAMED_MAX).map(tool).collect(),
            quarantined,
        };
        let mut event = Event::of(&data)?;
        event.id = format!("tools.{server}.{revision}");
        self.voice.publish(event).await?;
        let names: Vec<&str> = news.iter().map(|held| held.name.as_str()).collect();
        let names = names[..names.len().min(NAMED_MAX)].join(", ");
        tracing::warn!(
            %server, count = news.len(), tools = names, quarantined,
            "tools are not what was approved: `weft approve` shows what they say of themselves now"
        );
        Ok(())
    }
}

/// What was read of a server, and which write it came from; 0: nobody wrote any.
struct Read {
    record: Option<Record>,
    revision: u64,
}

/// The answer to a look: what is not approved, and what nobody told the words of.
fn checked(record: &Record, asked: &ToolCheck, found: Found) -> ToolsChecked {
    let listed: BTreeSet<&str> = asked.tools.iter().map(|tool| &*tool.digest).collect();
    let missing = record
        .versions()
        .filter(|version| version.bytes == 0 && listed.contains(version.digest.as_str()));
    let wanted = missing.map(|version| version.digest.clone()).collect();
    let room = SERVER_WORDS_MAX > bytes(record);
    ToolsChecked {
        held: found.held,
        wanted: if room { wanted } else { Vec::new() },
    }
}

/// Notes which of these words are kept from now on: those of versions on record, as far as there
/// is room for them.
fn note<'a>(record: &mut Record, told: &'a [(String, String)]) -> Vec<&'a (String, String)> {
    let mut room = SERVER_WORDS_MAX.saturating_sub(bytes(record));
    let mut kept = Vec::new();
    for one in told {
        let (digest, words) = one;
        let mut versions = record.tools.values_mut().flat_map(Entry::versions_mut);
        let version = versions.find(|version| version.digest == *digest && version.bytes == 0);
        if let Some(version) = version
            && words.len() <= WORDS_MAX.min(room)
        {
            version.bytes = words.len();
            room -= words.len();
            kept.push(one);
        }
    }
    kept
}

fn bytes(record: &Record) -> usize {
    record.versions().map(|version| version.bytes).sum()
}

fn overtaken() -> Error {
    unavailable("the approvals of this server change all the time: try again")
}

fn key(server: &ServerName, digest: &str) -> String {
    format!("{server}.{digest}")
}

fn decode(stored: &Stored) -> Result<Record, Error> {
    serde_json::from_slice(&stored.value).map_err(|error| {
        let said = format!(
            "what is on record of the tools of `{}` can't be read: a newer Weft may have written it",
            stored.key
        );
        Error::new(Kind::InternalError, said).source(error)
    })
}

/// The record as it is stored; where it is too large, without what was approved before the last.
fn encode(mut record: Record) -> Result<(Record, Vec<u8>), Error> {
    let write = |record: &Record| serde_json::to_vec(record).expect("a record is JSON");
    let body = write(&record);
    if body.len() <= RECORD_MAX {
        return Ok((record, body));
    }
    for entry in record.tools.values_mut() {
        let old = entry.approved.len().saturating_sub(1);
        entry.approved.drain(..old);
    }
    let body = write(&record);
    if body.len() <= RECORD_MAX {
        return Ok((record, body));
    }
    Err(unavailable(&format!(
        "the names of the server's tools need {} bytes on record, and there is room for \
         {RECORD_MAX}: give it fewer tools, or shorter names",
        body.len()
    )))
}
