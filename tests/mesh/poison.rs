//! Messages that end the connection of whoever is sent them, written by hand: no library would.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

/// Headers with a bare CR in a value.
pub(crate) const BARE_CR: &str = "NATS/1.0\r\nX: a\rb\r\n\r\n";

/// Publishes one message with these headers, byte by byte; the broker has it when this returns.
/// Without a token for brokers that ask for none.
pub(crate) fn poison(
    mut socket: TcpStream,
    token: Option<&str>,
    (subject, reply): (&str, &str),
    headers: &str,
) {
    let (head, all) = (headers.len(), headers.len() + 2);
    let token = token.map_or_else(String::new, |token| format!(r#""auth_token":"{token}","#));
    let text = format!(
        "CONNECT {{{token}\"verbose\":false,\"headers\":true,\"pedantic\":false,\"no_responders\":true}}\r\n\
         HPUB {subject} {reply} {head} {all}\r\n{headers}{{}}\r\nPING\r\n"
    );
    socket.write_all(text.as_bytes()).expect("connected");
    let mut heard = Vec::new();
    let mut piece = [0; 1024];
    while !heard.windows(4).any(|four| four == b"PONG") {
        let count = socket.read(&mut piece).expect("connected");
        assert!(count > 0, "{}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&piece[..count]);
    }
}
