//! Tokens that differ from a good one in one thing, at both doors: as the bearer of the gateway, and
//! in a message through a connection that callout let in.

use std::{io::ErrorKind, net::TcpListener};

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use nkeys::KeyPair;
use serde_json::{Value, json};
use weftbus::access::{Claims, SigningKey, now};

use super::{Mallory, all_rows, raw::Raw, spelt_text, wire};
use crate::gateway::Place;

/// A good token in its parts.
struct Good {
    header: Value,
    claims: Value,
    key: KeyPair,
}

impl Good {
    fn new(claims: &Claims, key: &SigningKey) -> Self {
        Self {
            header: json!({"alg": "EdDSA", "typ": "weft+jwt", "kid": key.kid()}),
            claims: serde_json::to_value(claims).expect("JSON"),
            key: KeyPair::from_seed(key.seed()).expect("a seed"),
        }
    }

    fn signed(&self, header: &str, claims: &str) -> String {
        let text = parts(header, claims);
        let mark = self.key.sign(text.as_bytes()).expect("a signature");
        format!("{text}.{}", BASE64URL_NOPAD.encode(&mark))
    }

    fn token(&self) -> String {
        self.signed(&self.header.to_string(), &self.claims.to_string())
    }

    /// The token of a row.
    fn forged(&self, sent: &str) -> String {
        let words: Vec<&str> = sent.splitn(3, ' ').collect();
        if words[0] == "raw" {
            return self.odd(words[1]);
        }
        let (mut header, mut claims) = (self.header.clone(), self.claims.clone());
        let part = if words[0] == "header" {
            &mut header
        } else {
            &mut claims
        };
        let part = part.as_object_mut().expect("an object");
        // Numbers and all are to stay as they are spelt.
        part.remove(words[1]);
        let value = spelt_text(words[2]);
        let add = |whole: &Value, here: bool| {
            let text = whole.to_string();
            if here && value != "-" {
                let open = text.strip_suffix('}').expect("an object");
                format!("{open},\"{}\":{value}}}", words[1])
            } else {
                text
            }
        };
        let in_header = words[0] == "header";
        self.signed(&add(&header, in_header), &add(&claims, !in_header))
    }

    fn odd(&self, name: &str) -> String {
        let (header, claims) = (self.header.to_string(), self.claims.to_string());
        let good = self.token();
        let of_alg = |alg: &str| {
            let mut header = self.header.clone();
            header["alg"] = alg.into();
            parts(&header.to_string(), &claims)
        };
        let more = |more: &str| claims.replacen('{', &format!("{{{more},"), 1);
        match name {
            "empty" => String::new(),
            "unsigned" => format!("{}.", of_alg("none")),
            "hmac-by-the-public-key" => {
                let public = BASE32_NOPAD.decode(self.key.public_key().as_bytes());
                let secret = EncodingKey::from_secret(&public.expect("base32")[1..33]);
                let text = of_alg("HS256");
                let mark = crypto::sign(text.as_bytes(), &secret, Algorithm::HS256);
                format!("{text}.{}", mark.expect("a mark"))
            }
            "expired" => {
                let mut claims = self.claims.clone();
                for (name, ago) in [("iat", 1000), ("nbf", 1000), ("exp", 500)] {
                    claims[name] = (now() - ago).into();
                }
                self.signed(&header, &claims.to_string())
            }
            "other-audience" => {
                let other = match self.claims["aud"].as_str() {
                    Some("weft:call") => "weft:connect",
                    _ => "weft:call",
                };
                let mut claims = self.claims.clone();
                claims["aud"] = other.into();
                self.signed(&header, &claims.to_string())
            }
            "twice-sub" => self.signed(&header, &more(r#""sub":"everybody""#)),
            "twice-exp" => self.signed(&header, &more(r#""exp":99999999999"#)),
            "40-kilobytes" => format!("{good}{}", "x".repeat(40_000)),
            "four-parts" => format!("{good}.x"),
            "five-parts" => format!("{good}.x.y"),
            "padded" => format!("{good}="),
            "other-signature" => {
                let (_, mark) = good.rsplit_once('.').expect("three parts");
                format!("{}.{mark}", parts(&header, &more(r#""x":1"#)))
            }
            other => panic!("no token is {other}"),
        }
    }
}

fn parts(header: &str, claims: &str) -> String {
    let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    format!("{}.{}", part(header), part(claims))
}

/// What the gateway says to it: `passes`, or the case, if all that belongs to it is there.
async fn at_the_gateway(place: &Place, token: &str) -> String {
    let said = place
        .client_with("", token)
        .ask("tools/list", json!({}))
        .await;
    let error = &said.json()["error"];
    let challenged = said.header("www-authenticate").starts_with("Bearer ");
    match (said.status, error["code"].as_i64(), challenged) {
        (200, None, _) => "passes".to_owned(),
        (401, Some(-31007), true) => {
            assert_eq!(error["data"]["weftCode"], -32007);
            error["data"]["kind"].as_str().unwrap_or("?").to_owned()
        }
        _ => format!("{} {}", said.status, said.body),
    }
}

async fn in_a_message(raw: &mut Raw, token: &str) -> String {
    let head = match token {
        "" => String::new(),
        token => format!("Authorization: Bearer {token}\r\n"),
    };
    let said = wire::call(raw, &head).await;
    said.strip_prefix("-32007 ").unwrap_or(&said).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens() {
    let place = Place::open().await;
    let mallory = Mallory::narrow(&place).await;
    let key = mallory.secrets.signing();
    let connect = Good::new(&mallory.issued.claims, key);
    let call = Good::new(&mallory.call_claims(), key);
    let mut raw = wire::enter(&place, &mallory).await;
    let trap = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = trap.local_addr().expect("an address");
    trap.set_nonblocking(true).expect("it is ours");
    assert_eq!(at_the_gateway(&place, &connect.token()).await, "passes");
    assert_eq!(in_a_message(&mut raw, &call.token()).await, "passes");
    let raw = tokio::sync::Mutex::new(raw);
    all_rows(&["token"], |row| {
        let sent = row.sent.replace("<<TRAP>>", &address.to_string());
        let (bearer, header) = (connect.forged(&sent), call.forged(&sent));
        let (raw, place) = (&raw, &place);
        async move {
            let gateway = at_the_gateway(place, &bearer).await;
            let message = in_a_message(&mut *raw.lock().await, &header).await;
            if gateway == message {
                return message;
            }
            format!("{gateway} at the gateway, {message} in a message")
        }
    })
    .await;
    // Nothing was fetched because a token said so; the twin of that is seen.
    let none = trap.accept().expect_err("nobody came");
    assert_eq!(none.kind(), ErrorKind::WouldBlock);
    let _came = std::net::TcpStream::connect(address).expect("it listens");
    assert!(trap.accept().is_ok());
    assert_eq!(at_the_gateway(&place, &connect.token()).await, "passes");
    assert_eq!(
        in_a_message(&mut *raw.lock().await, &call.token()).await,
        "passes"
    );
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_broker() {
    let place = Place::open().await;
    let mallory = Mallory::narrow(&place).await;
    let url = place.up.url();
    Raw::connect(url, Some(&mallory.issued.token))
        .await
        .map(drop)
        .expect("the twin");
    all_rows(&["connect"], |row| async move {
        let token = (row.sent != "none").then_some(row.sent);
        Raw::connect(url, token).await.map_or_else(
            |said| said.trim_start_matches("-ERR '").to_owned(),
            |_| "let in".to_owned(),
        )
    })
    .await;
    place.end().await;
}
