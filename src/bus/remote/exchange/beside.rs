//! A call that goes in one message with others.

use std::sync::Arc;

use super::Exchange;
use crate::{
    bus::{
        remote::batch::{Batch, Going, Item, Key, Seat},
        wire,
    },
    error::Error,
};

impl Exchange<'_> {
    /// What it has in common with the calls that it may go with.
    pub(in crate::bus::remote) fn key(&self, reference: Option<&Arc<str>>) -> Key {
        let token = reference.cloned().or_else(|| self.bearer().cloned());
        let connection = &self.line.connection;
        Key::new(self.ticket.subject(), connection, token, self.call)
    }

    /// What goes of it in a message of several.
    pub(in crate::bus::remote) fn item(&self) -> Item {
        Item {
            call: self.call.context.id,
            body: self.call.request.body().clone(),
            deadline: self.call.context.deadline,
        }
    }

    /// Sends it alone or with others, when its turn comes.
    pub(in crate::bus::remote) async fn send_beside(
        &mut self,
        seat: &mut Seat,
        reference: Option<&Arc<str>>,
    ) -> Result<(), Error> {
        // From here on another one may send it.
        self.running = true;
        match seat.go().await {
            Going::Sent => Ok(()),
            Going::Alone => self.send(reference).await,
            Going::Leading(mut batch) => {
                if batch.settle() {
                    self.send_all(batch, reference).await
                } else {
                    self.send(reference).await
                }
            }
        }
    }

    /// Sends the calls of a batch, of which this is one.
    async fn send_all(&mut self, batch: Batch, reference: Option<&Arc<str>>) -> Result<(), Error> {
        let mut terms = wire::terms(self.call);
        terms.remaining = None;
        terms.token = reference.map(Arc::clone);
        terms.batch = Some(batch.calls());
        let bearer = self.bearer().filter(|_| reference.is_none());
        let headers = wire::request_headers(&terms, bearer.map(AsRef::as_ref))?;
        let message = self.message(self.ticket.subject().clone(), headers, batch.body());
        let sent = self.line.send(message).await;
        self.running = sent.is_ok();
        // Where it could not be sent, each of the others tries alone.
        sent?;
        let (gone, there) = batch.sent();
        for call in gone {
            self.cancel(call);
        }
        self.beside = there;
        Ok(())
    }
}
