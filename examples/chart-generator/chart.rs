//! A chart is data and a size; drawing it is a pure function to an SVG text.

mod axes;
mod bar;
mod line;
mod pie;
mod scale;
mod svg;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use scale::number;
use svg::{Anchor, Svg};

const FONT: f64 = 12.0;
const TITLE_FONT: f64 = 18.0;
const MARGIN: f64 = 16.0;
const INK: &str = "#1f2933";
const FAINT: &str = "#d9dee4";
const MUTED: &str = "#52606d";
/// One for each slice of a pie, all to be seen on white.
const COLOURS: [&str; 12] = [
    "#2563a8", "#d9730d", "#2e8b57", "#b5338a", "#8a6d00", "#5b4bb5", "#0f8b8d", "#c23b3b",
    "#6b8e23", "#7a4419", "#d1618f", "#3d4f66",
];

/// The form of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Kind {
    // Plain comments keep the schema an `enum`, whose refusal lists what is allowed.
    Bar,
    Line,
    Pie,
}

impl Kind {
    /// The word for it in arguments and texts.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bar => "bar",
            Self::Line => "line",
            Self::Pie => "pie",
        }
    }
}

/// Everything that decides the picture. The caller has checked it: as many labels as values,
/// finite values, none of them negative in a pie.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) kind: Kind,
    pub(crate) title: String,
    pub(crate) labels: Vec<String>,
    pub(crate) values: Vec<f64>,
    /// Pixels.
    pub(crate) width: u32,
    /// Pixels.
    pub(crate) height: u32,
}

impl Chart {
    /// Label and value of each point, in order.
    fn points(&self) -> impl Iterator<Item = (&str, f64)> {
        let labels = self.labels.iter().map(String::as_str);
        labels.zip(self.values.iter().copied())
    }

    /// What the chart is called, also when nobody named it.
    pub(crate) fn name(&self) -> String {
        if self.title.trim().is_empty() {
            format!("{} chart", capitalised(self.kind.name()))
        } else {
            self.title.clone()
        }
    }

    /// One sentence for those who do not see the picture.
    pub(crate) fn summary(&self) -> String {
        let by_value = |a: &(&str, f64), b: &(&str, f64)| a.1.total_cmp(&b.1);
        let (Some(least), Some(most)) = (
            self.points().min_by(by_value),
            // The first of several equals, as a reader would name it.
            self.points().reduce(|a, b| if b.1 > a.1 { b } else { a }),
        ) else {
            return format!("{} chart without data", capitalised(self.kind.name()));
        };
        format!(
            "{} chart of {} point{}; greatest: {} ({}), least: {} ({}), sum: {}",
            capitalised(self.kind.name()),
            self.values.len(),
            if self.values.len() == 1 { "" } else { "s" },
            svg::shortened(most.0, 60),
            number(most.1),
            svg::shortened(least.0, 60),
            number(least.1),
            number(self.values.iter().sum()),
        )
    }
}

/// A rectangle of the picture, in pixels.
#[derive(Clone, Copy, Debug)]
struct Area {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Area {
    fn right(&self) -> f64 {
        self.left + self.width
    }

    fn bottom(&self) -> f64 {
        self.top + self.height
    }
}

/// The whole picture as an SVG document.
pub(crate) fn draw(chart: &Chart) -> String {
    let mut svg = Svg::new(chart.width, chart.height, &chart.name(), &chart.summary());
    let area = headed(&mut svg, chart);
    if chart.values.is_empty()
        || (chart.kind == Kind::Pie && chart.values.iter().all(|v| *v == 0.0))
    {
        let middle = (area.left + area.width / 2.0, area.top + area.height / 2.0);
        svg.text(middle, Anchor::Middle, MUTED, "No data");
        return svg.finished();
    }
    match chart.kind {
        Kind::Bar => bar::draw(&mut svg, chart, area),
        Kind::Line => line::draw(&mut svg, chart, area),
        Kind::Pie => pie::draw(&mut svg, chart, area),
    }
    svg.finished()
}

/// The title where there is room for one, and the area that is left below it. A picture of a few
/// pixels keeps its data and loses its words.
fn headed(svg: &mut Svg, chart: &Chart) -> Area {
    let (width, height) = (f64::from(chart.width), f64::from(chart.height));
    let margin = MARGIN.min(width.min(height) / 16.0);
    let roomy = width >= 120.0 && height >= 90.0 && !chart.title.trim().is_empty();
    let top = if roomy {
        let room = svg::fitting(width - 2.0 * margin, TITLE_FONT);
        let title = svg::shortened(chart.title.trim(), room);
        let at = (width / 2.0, margin + TITLE_FONT);
        svg.heading(at, INK, &title);
        margin + TITLE_FONT * 1.9
    } else {
        margin
    };
    Area {
        left: margin,
        top,
        width: width - 2.0 * margin,
        height: height - top - margin,
    }
}

fn colour(number: usize) -> &'static str {
    COLOURS[number % COLOURS.len()]
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(kind: Kind, values: &[f64]) -> Chart {
        Chart {
            kind,
            title: "T".to_owned(),
            labels: (1..=values.len()).map(|n| format!("L{n}")).collect(),
            values: values.to_vec(),
            width: 640,
            height: 360,
        }
    }

    /// Every element is closed, in order; no number is missing or infinite.
    fn assert_well_formed(svg: &str) {
        let mut open = Vec::new();
        for tag in svg.split('<').skip(1) {
            let (tag, text) = tag.split_once('>').expect("every tag ends");
            assert!(!text.contains('&') || text.contains(';'), "{text}");
            let name = tag.split([' ', '/']).find(|word| !word.is_empty());
            let name = name.expect("every tag has a name");
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name));
            } else if !tag.ends_with('/') {
                open.push(name);
            }
            assert!(!tag.contains("NaN") && !tag.contains("inf"), "{tag}");
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn every_kind_draws_at_every_size_and_range() {
        let many: Vec<f64> = (0..200).map(f64::from).collect();
        let ranges: [&[f64]; 7] = [
            &[],
            &[0.0],
            &[5.0],
            &[0.0, 0.0],
            &[1e15, 1e-9, 3.0],
            &[1.0; 12],
            &many,
        ];
        for kind in [Kind::Bar, Kind::Line, Kind::Pie] {
            for values in ranges {
                for (width, height) in [(16, 16), (640, 360), (4096, 16), (16, 4096)] {
                    let mut chart = chart(kind, values);
                    (chart.width, chart.height) = (width, height);
                    assert_well_formed(&draw(&chart));
                }
            }
        }
    }

    #[test]
    fn bars_and_points_are_one_for_each_value() {
        let values = [3.0, -2.0, 5.5];
        let bars = draw(&chart(Kind::Bar, &values));
        assert_well_formed(&bars);
        assert_eq!(bars.matches("class=\"bar\"").count(), 3);
        let line = draw(&chart(Kind::Line, &values));
        assert_well_formed(&line);
        assert_eq!(line.matches("class=\"point\"").count(), 3);
    }

    #[test]
    fn a_pie_folds_its_smallest_slices_into_one() {
        let values: Vec<f64> = (1..=30).map(f64::from).collect();
        let pie = draw(&chart(Kind::Pie, &values));
        assert_eq!(pie.matches("class=\"slice\"").count(), 12);
        assert!(pie.contains("19 others"));
    }

    #[test]
    fn a_pie_of_one_value_is_a_whole_circle() {
        let pie = draw(&chart(Kind::Pie, &[0.0, 7.0]));
        assert_eq!(pie.matches("<circle class=\"slice\"").count(), 1);
        assert!(pie.contains("L2: 7 (100%)"));
    }

    #[test]
    fn words_of_the_caller_cannot_leave_their_place() {
        let mut chart = chart(Kind::Bar, &[1.0]);
        chart.title = "</title><script>alert('x')</script>".to_owned();
        chart.labels = vec!["\"<&>\u{0}\u{b}".to_owned()];
        let svg = draw(&chart);
        assert_well_formed(&svg);
        assert!(!svg.contains("<script"));
        assert!(svg.contains("&quot;&lt;&amp;&gt;\u{fffd}\u{fffd}"));
    }

    #[test]
    fn no_data_is_said() {
        assert!(draw(&chart(Kind::Line, &[])).contains("No data"));
        assert!(draw(&chart(Kind::Pie, &[0.0, 0.0])).contains("No data"));
        assert_eq!(chart(Kind::Bar, &[]).summary(), "Bar chart without data");
    }

    #[test]
    fn the_summary_names_the_ends() {
        assert_eq!(
            chart(Kind::Bar, &[2.0, 9.0, 9.0]).summary(),
            "Bar chart of 3 points; greatest: L2 (9), least: L1 (2), sum: 20"
        );
    }
}
