//! POST: a message of a client, and the answer to it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    extract::Request as HttpRequest,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};

use super::{
    Endpoint, get,
    refuse::{Refusal, answered, no_session},
};
use crate::{
    call::Notify,
    error::{Error, Kind},
    gateway::{
        calls::UnderWay,
        door::{Door, Scope},
        event::{self, Answering, Outcome},
        fault::Answer,
        headers::{self, SESSION, VERSION},
        key,
        message::{self, Message},
        modern::{self, Listen, Stated},
        session::{self, Session},
        sessions::Open,
    },
    http::{self, Body},
    mcp::{
        Request,
        version::{Era, LEGACY},
    },
    spawn::{Failure, Tasks},
};

/// A client's request on its way: who sent it, and how.
struct Sent {
    door: Door,
    headers: HeaderMap,
    /// Whether it takes a stream for an answer.
    streams: bool,
}

impl Endpoint {
    /// Takes a message.
    pub(super) async fn post(self: Arc<Self>, scope: Scope, request: HttpRequest) -> Response {
        let taken = self.take(scope, request).await;
        taken.unwrap_or_else(Refusal::into_response)
    }

    async fn take(&self, scope: Scope, request: HttpRequest) -> Result<Response, Refusal> {
        let (head, body) = request.into_parts();
        let sent = match self.admit(scope, head.headers).await {
            Ok(sent) => sent,
            Err(refusal) => {
                http::drain(body).await;
                return Err(refusal);
            }
        };
        let body = self.bodies.read(body).await?;
        let message = Message::read(&body.bytes, self.extent).map_err(|unread| {
            let era = if headers::say_modern(&sent.headers) {
                Era::Modern
            } else {
                Era::Legacy
            };
            Refusal::to(unread.id.as_deref(), &unread.error, era)
        })?;
        let by_header = headers::say_modern(&sent.headers);
        match message {
            Message::Request(request) => {
                let id = request.id().map(str::to_owned);
                let request = key::with_header(request, &sent.headers).map_err(|error| {
                    let era = if by_header { Era::Modern } else { Era::Legacy };
                    Refusal::to(id.as_deref(), &error, era)
                })?;
                let stated = Stated::read(&request);
                if by_header || stated.is_modern() {
                    return Ok(self.modern(sent, (request, stated), body).await);
                }
                if !session::opens(&request) {
                    return self.older(sent, Message::Request(request), body).await;
                }
                Ok(self.open(&sent, &request).await)
            }
            Message::Notification(said) if by_header || Stated::read(&said).is_modern() => {
                Ok(accepted())
            }
            older => self.older(sent, older, body).await,
        }
    }

    async fn admit(&self, scope: Scope, headers: HeaderMap) -> Result<Sent, Refusal> {
        Ok(Sent {
            door: self.door(scope, &headers).await?,
            streams: taken_as(&headers)?,
            headers,
        })
    }

    /// A request of 2026-07-28: it is cancelled by closing its connection.
    async fn modern(
        &self,
        sent: Sent,
        (request, stated): (Request, Stated),
        body: Body,
    ) -> Response {
        let version = stated.version.as_deref();
        let checked = headers::check_version(&sent.headers, &request, version)
            .and_then(|()| stated.check(&request))
            .and_then(|()| headers::check(&sent.headers, &request, &sent.door));
        if let Err(answer) = checked {
            return answered(answer);
        }
        if Listen::is(&request) {
            return match Listen::read(&request) {
                Ok(listen) => get::listen(self, sent.door, &sent.headers, listen),
                Err(error) => answered(Answer::of(&error, request.id(), None, Era::Modern)),
            };
        }
        let (notify, said) = Notify::channel();
        let door = sent.door;
        let call: Answering = Box::pin(async move {
            let answer = modern::answer(&door, request, Some(notify)).await;
            drop(body);
            Some(answer)
        });
        respond(event::outcome(call, said, sent.streams).await)
    }

    /// The first request of an older client.
    async fn open(&self, sent: &Sent, request: &Request) -> Response {
        match Session::open(&sent.door, request).await {
            Err(error) => {
                let method = Some(request.method());
                answered(Answer::of(&error, request.id(), method, Era::Legacy))
            }
            Ok((session, answer)) => {
                let scope = sent.door.scope().clone();
                let open = Open { session, scope };
                let id = self.sessions.keep(sent.door.guest().identity(), open);
                let mut response = answered(answer);
                let id = HeaderValue::try_from(id).expect("it is made of letters and digits");
                response.headers_mut().insert(SESSION, id);
                response
            }
        }
    }

    /// Whatever an older client sends in its session.
    async fn older(&self, sent: Sent, message: Message, body: Body) -> Result<Response, Refusal> {
        let open = self.session(&sent)?;
        match message {
            Message::Request(request) => {
                let (notify, said) = Notify::channel();
                let under_way = match open.session.begin(&request) {
                    Ok(under_way) => under_way,
                    Err(answer) => return Ok(answered(answer)),
                };
                let begun = (request, under_way);
                let call = self.in_session(&open, &sent.door, (begun, notify), body);
                Ok(respond(event::outcome(call, said, sent.streams).await))
            }
            Message::Notification(notification) => {
                open.session.hear(&notification);
                Ok(accepted())
            }
            Message::Answer => Ok(accepted()),
            Message::Batch(array) if open.session.takes_batches() => {
                let answers =
                    message::batch(&open.session, &sent.door, (&array, self.extent)).await;
                let answers = answers.map_err(|error| Refusal::of(&error))?;
                Ok(answers.map_or_else(accepted, |body| answered(Answer::carried(body))))
            }
            Message::Batch(_) => Err(Refusal::of(&Error::new(
                Kind::InvalidRequest,
                format!(
                    "several messages in one array are not taken in {}: send each alone",
                    open.session.revision()
                ),
            ))),
        }
    }

    /// The session that a request names.
    fn session(&self, sent: &Sent) -> Result<Arc<Open>, Refusal> {
        if let Some(version) = headers::one(&sent.headers, VERSION)
            && !LEGACY.contains(&version)
        {
            let shown: String = version.chars().take(40).collect();
            let said = format!("`{shown}` in the header `MCP-Protocol-Version` is not spoken here");
            return Err(Refusal::of(&Error::new(Kind::InvalidRequest, said)));
        }
        let Some(id) = headers::one(&sent.headers, SESSION) else {
            return Err(Refusal::of(&Error::new(
                Kind::InvalidRequest,
                "the header `Mcp-Session-Id` is missing: open a session with `initialize`, or say \
                 in `_meta` of each request that it is of 2026-07-28",
            )));
        };
        let (who, scope) = (sent.door.guest().identity(), sent.door.scope());
        self.sessions.find(who, id, scope).ok_or_else(no_session)
    }

    /// A request of an older client goes on when its connection breaks (2025-11-25,
    /// basic/transports): it is taken back by a notification.
    fn in_session(
        &self,
        open: &Arc<Open>,
        door: &Door,
        (begun, notify): ((Request, UnderWay), Notify),
        body: Body,
    ) -> Answering {
        let (open, door) = (Arc::clone(open), door.clone());
        let call: Answering = Box::pin(async move {
            let answer = open.session.answer(&door, begun, Some(notify)).await;
            drop(body);
            answer
        });
        Box::pin(Outliving {
            call: Some(call),
            tasks: self.tasks.clone(),
        })
    }
}

/// A call that goes on when nobody waits for it any more: then a task of its own takes it over.
struct Outliving {
    call: Option<Answering>,
    tasks: Tasks,
}

impl Future for Outliving {
    type Output = Option<Answer>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Answer>> {
        let Some(call) = &mut self.call else {
            return Poll::Ready(None);
        };
        let answer = call.as_mut().poll(context);
        if answer.is_ready() {
            self.call = None;
        }
        answer
    }
}

impl Drop for Outliving {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            let rest = async move { drop(call.await) };
            self.tasks.spawn("call of a session", Failure::Logged, rest);
        }
    }
}

fn respond(outcome: Outcome) -> Response {
    match outcome {
        Outcome::Stream(response) => response,
        Outcome::Answered(Some(answer)) => answered(answer),
        Outcome::Answered(None) => event::nothing(),
    }
}

fn accepted() -> Response {
    StatusCode::ACCEPTED.into_response()
}

/// Whether the client takes a stream for an answer.
fn taken_as(headers: &HeaderMap) -> Result<bool, Refusal> {
    let media = |name| {
        headers::one(headers, name)
            .unwrap_or_default()
            .to_ascii_lowercase()
    };
    let sent = media(header::CONTENT_TYPE.as_str());
    if sent.split(';').next().map(str::trim) != Some("application/json") {
        return Err(Refusal::at(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            &Error::new(
                Kind::InvalidRequest,
                "`Content-Type` must be `application/json`",
            ),
        ));
    }
    let packed = media(header::CONTENT_ENCODING.as_str());
    if !matches!(packed.as_str(), "" | "identity") {
        return Err(Refusal::at(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            &Error::new(
                Kind::InvalidRequest,
                "bodies are taken as they are, without `Content-Encoding`: nothing is unpacked here",
            ),
        ));
    }
    let accepts = media(header::ACCEPT.as_str());
    let any = accepts.is_empty() || accepts.contains("*/*");
    if any || accepts.contains("application/json") {
        return Ok(any || accepts.contains("text/event-stream"));
    }
    Err(Refusal::at(
        StatusCode::NOT_ACCEPTABLE,
        &Error::new(
            Kind::InvalidRequest,
            "`Accept` must have `application/json`, and `text/event-stream` for what is told meanwhile",
        ),
    ))
}
