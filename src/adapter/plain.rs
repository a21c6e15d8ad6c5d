//! A server's own words, where they are shown to people.

/// Bytes of a server as text that can stand in a log: one line, no control characters.
pub(super) fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    for c in text.trim_end().chars() {
        if c.is_control() && c != '\t' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_server_moves_the_cursor_of_a_terminal() {
        assert_eq!(plain(b"a\x1b[31mb\r\n"), "a\\u{1b}[31mb");
        assert_eq!(plain(b"a\rb\xff\tc\n"), "a\\rb\u{fffd}\tc");
    }
}
