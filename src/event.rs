//! Events: what happened, told once and kept, in order for each who tells.
//!
//! [`Event`] is what travels, [`catalogue`] what everybody knows, [`Types`] what there is besides,
//! and [`Publisher`] hands events to their streams.

pub mod catalogue;
mod declared;
mod durable;
mod envelope;
mod key;
mod kind;
mod letter;
mod publisher;
mod reach;
mod wish;

pub use self::{
    catalogue::EventData,
    declared::{DOMAINS_MAX, Declared, Types},
    durable::{
        ConsumerEntry, ConsumerMend, ConsumerMended, ConsumerNamed, ConsumerOpen, ConsumerOpened,
        ConsumerPage, ConsumerRemoved, DURABLES_MAX, DurableName, Handing, UNNAMED_GONE_AFTER,
        consumer_name, consumer_parts,
    },
    envelope::{BYTES_MAX, Event},
    key::EventKey,
    kind::{Domain, EventType, STREAMS},
    letter::{
        LETTERS_MAX, Letter, LetterEntry, LetterFailed, LetterGet, LetterList, LetterPage,
        LetterShown, LettersDone, LettersNamed, REASON_MAX, ReplayDeliver, ReplayDelivered,
    },
    publisher::{Published, Publisher, Receipt, message},
    wish::{From, Open, Opened, PATTERNS_MAX, Sieve, Wish, domains_of, streams_with},
};
