//! SVG elements as text: escaped, with short numbers, and nothing else of the format.

use std::fmt::{self, Write as _};

use super::{FONT, TITLE_FONT};

/// Mean width of a letter of a sans-serif font, as a share of its size. Nobody can measure text
/// here, so every layout leaves room for this guess to be a little off.
const LETTER: f64 = 0.58;

/// Which end of a text stands at its point.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A document being written.
#[derive(Debug)]
pub(super) struct Svg {
    text: String,
}

impl Svg {
    /// `title` and `description` are what a screen reader says.
    pub(super) fn new(width: u32, height: u32, title: &str, description: &str) -> Self {
        let mut svg = Self {
            text: String::new(),
        };
        svg.put(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" role=\"img\" \
             font-family=\"system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif\">\n\
             <title>{}</title>\n<desc>{}</desc>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
            Escaped(title),
            Escaped(description)
        ));
        svg
    }

    /// The document, closed.
    pub(super) fn finished(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    /// One line of text; its point is on the baseline.
    pub(super) fn text(&mut self, at: (f64, f64), anchor: Anchor, fill: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.put(format_args!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\" font-size=\"{FONT}\" fill=\"{fill}\">{}</text>
",
            Px(at.0), Px(at.1), Escaped(text)
        ));
    }

    /// The bold line above a chart.
    pub(super) fn heading(&mut self, at: (f64, f64), fill: &str, text: &str) {
        self.put(format_args!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" font-size=\"{TITLE_FONT}\" font-weight=\"600\" fill=\"{fill}\">{}</text>
",
            Px(at.0), Px(at.1), Escaped(text)
        ));
    }

    /// A text that rises to its end point, for labels without room to lie flat.
    pub(super) fn slanted(&mut self, end: (f64, f64), fill: &str, text: &str) {
        let (x, y) = (Px(end.0), Px(end.1));
        self.put(format_args!(
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\" font-size=\"{FONT}\" fill=\"{fill}\" transform=\"rotate(-40 {x} {y})\">{}</text>
",
            Escaped(text)
        ));
    }

    /// A straight stroke of one pixel.
    pub(super) fn stroke(&mut self, from: (f64, f64), to: (f64, f64), colour: &str) {
        self.put(format_args!(
            "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" stroke=\"{colour}\"/>\n",
            Px(from.0),
            Px(from.1),
            Px(to.0),
            Px(to.1)
        ));
    }

    /// A filled rectangle; with a `tip` it is a mark of the data.
    pub(super) fn rect(&mut self, at: (f64, f64), size: (f64, f64), fill: &str, tip: Option<&str>) {
        let class = if tip.is_some() { "class=\"bar\" " } else { "" };
        self.put(format_args!(
            "<rect {class}x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{fill}\"",
            Px(at.0),
            Px(at.1),
            Px(size.0),
            Px(size.1)
        ));
        self.tipped("rect", tip);
    }

    /// A filled circle, centre and radius, with its tip.
    pub(super) fn circle(
        &mut self,
        class: &str,
        (centre, radius): ((f64, f64), f64),
        fill: &str,
        tip: &str,
    ) {
        self.put(format_args!(
            "<circle class=\"{class}\" cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{fill}\"",
            Px(centre.0),
            Px(centre.1),
            Px(radius)
        ));
        self.tipped("circle", Some(tip));
    }

    /// A line through all points.
    pub(super) fn polyline(&mut self, points: &[(f64, f64)], colour: &str) {
        self.text.push_str("<polyline points=\"");
        for (x, y) in points {
            self.put(format_args!("{},{} ", Px(*x), Px(*y)));
        }
        self.put(format_args!(
            "\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-linejoin=\"round\"/>\n"
        ));
    }

    /// A filled outline, parted from its neighbours by a white edge.
    pub(super) fn slice(&mut self, path: fmt::Arguments<'_>, fill: &str, tip: &str) {
        self.put(format_args!(
            "<path class=\"slice\" d=\"{path}\" fill=\"{fill}\" stroke=\"#ffffff\""
        ));
        self.tipped("path", Some(tip));
    }

    fn tipped(&mut self, element: &str, tip: Option<&str>) {
        match tip {
            Some(tip) => self.put(format_args!(
                "><title>{}</title></{element}>\n",
                Escaped(tip)
            )),
            None => self.text.push_str("/>\n"),
        }
    }

    fn put(&mut self, text: fmt::Arguments<'_>) {
        self.text
            .write_fmt(text)
            .expect("a String takes every write");
    }
}

/// About how wide a text of this size is.
pub(super) fn width_of(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * LETTER
}

/// How many letters of this size fit into a width.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a picture is at most 4096 pixels wide, and the cast saturates below 0"
)]
pub(super) fn fitting(width: f64, size: f64) -> usize {
    (width / (size * LETTER)) as usize
}

/// At most `chars_max` characters, the last one an ellipsis where something is missing.
pub(super) fn shortened(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// A coordinate: a hundredth of a pixel is enough, and the text half as long.
#[derive(Debug)]
pub(super) struct Px(pub(super) f64);

impl fmt::Display for Px {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Adding 0 turns -0 into 0.
        write!(out, "{}", (self.0 * 100.0).round() / 100.0 + 0.0)
    }
}

/// Text that cannot end its element or attribute, without the characters that XML 1.0 forbids.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => out.write_str("&amp;")?,
                '<' => out.write_str("&lt;")?,
                '>' => out.write_str("&gt;")?,
                '"' => out.write_str("&quot;")?,
                '\'' => out.write_str("&#39;")?,
                '\t' | '\n' | '\r' => out.write_char(' ')?,
                '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.write_char('\u{fffd}')?,
                _ => out.write_char(c)?,
            }
        }
        Ok(())
    }
}
