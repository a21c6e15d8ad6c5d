//! Telling again what is stored: from where one says to what is the end when it begins.

use super::{
    Begin, Beside, Mesh, Told,
    tail::{Lanes, Reach, read, streams},
};
use crate::{
    error::{Error, Kind},
    event::{From, Wish},
};

/// Stored events, one after the other, to their end. Dropping it ends it.
#[derive(Debug)]
pub struct Replay {
    lanes: Lanes,
    _beside: Beside,
}

impl Replay {
    pub(super) async fn open(
        mesh: &Mesh,
        wish: &Wish,
        begin: &[Begin],
        until: Option<u64>,
    ) -> Result<Self, Error> {
        let begins = |stream: &str| {
            if begin.is_empty() {
                return Some(From::Start);
            }
            let begin = begin.iter().find(|begin| begin.is_for(stream))?;
            Some(begin.from)
        };
        let streams = streams(mesh, wish).await?.into_iter();
        let streams: Vec<_> = streams
            .filter_map(|stream| Some((begins(&stream)?, stream)))
            .collect();
        if streams.is_empty() {
            let named: Vec<_> = begin.iter().filter_map(|one| one.stream.clone()).collect();
            let said = format!("no event of these types is kept by {}", named.join(", "));
            return Err(Error::new(Kind::InvalidParams, said));
        }
        let reach = Reach::Stored(until.unwrap_or(u64::MAX));
        let (lanes, beside) = read(mesh, wish, streams, reach).await?;
        Ok(Self {
            lanes,
            _beside: beside,
        })
    }

    /// What comes next; `None` behind the last.
    ///
    /// # Errors
    /// What ended it before: the permission was lost, a stream withholds events, or this member
    /// left.
    pub async fn next(&mut self) -> Result<Option<Told>, Error> {
        self.lanes.next().await
    }
}
