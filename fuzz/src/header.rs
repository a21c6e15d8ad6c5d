//! The headers of Weft on a message: what is read of one is what it says when it is written again.

use weftbus::name::header::{Frame, Terms};

/// The value of a `Weft` or a `Weft-Frame` header.
pub fn header(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    match Terms::parse(text) {
        Ok(terms) => {
            let again = terms.encode();
            // What is written is never longer than what may be read by much: `ms` of `+0` is `0`.
            assert_eq!(Terms::parse(&again).as_ref(), Ok(&terms), "{again}");
            assert!(again.bytes().all(|byte| byte.is_ascii_graphic()), "{again}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Some(frame) = Frame::parse(text) {
        assert_eq!(Frame::parse(&frame.encode()), Some(frame));
    }
}
