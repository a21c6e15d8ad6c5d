//! The frame of bar and line charts: value axis with ticks, label axis, and the plot between.

use super::{
    Area, Chart, FAINT, FONT, INK, MUTED, number,
    scale::Scale,
    svg::{Anchor, Svg, fitting, shortened, width_of},
};

/// Longest label that is drawn slanted, in letters; the tip of its mark tells it whole.
const SLANTED_CHARS: usize = 16;
/// A slanted text of this length is so much high: the sine of 40 degrees.
const SLANT_RISE: f64 = 0.643;
const GAP: f64 = 6.0;

/// The plot, with one slot of equal width for each point.
#[derive(Debug)]
pub(super) struct Plot {
    area: Area,
    scale: Scale,
    /// Width of one point's share of the label axis.
    pub(super) slot: f64,
}

impl Plot {
    /// Middle of a point's slot.
    pub(super) fn x(&self, point: usize) -> f64 {
        self.area.left + self.slot * (point as f64 + 0.5)
    }

    /// Height of a value.
    pub(super) fn y(&self, value: f64) -> f64 {
        self.area.bottom() - self.area.height * self.scale.share(value)
    }
}

/// Draws both axes into `area`. Where the picture is too small for words, only the zero line.
pub(super) fn draw(svg: &mut Svg, chart: &Chart, area: Area) -> Plot {
    let worded = area.width >= 100.0 && area.height >= 70.0;
    let scale = Scale::over(&chart.values, (area.height / 50.0).clamp(2.0, 8.0));
    if !worded {
        let plot = plot(area, scale, chart);
        zero_line(svg, &plot);
        return plot;
    }
    let widest = scale
        .ticks()
        .map(|tick| width_of(&number(tick), FONT))
        .fold(0.0, f64::max);
    let left = area.left + widest + GAP;
    let width = area.right() - left;
    let slot = width / chart.labels.len() as f64;
    let slanted = chart
        .labels
        .iter()
        .any(|label| width_of(label, FONT) > slot - GAP);
    let below = if slanted {
        let longest = chart.labels.iter().map(|label| label.chars().count()).max();
        let letters = longest.unwrap_or(0).min(SLANTED_CHARS) as f64;
        (width_of("m", FONT) * letters * SLANT_RISE + FONT + GAP).min(area.height / 2.0)
    } else {
        FONT + 2.0 * GAP
    };
    let inner = Area {
        left,
        // Half a line, so that the topmost tick's number is not cut.
        top: area.top + FONT / 2.0,
        width,
        height: area.height - below - FONT / 2.0,
    };
    let plot = plot(inner, scale, chart);
    value_axis(svg, &plot);
    label_axis(svg, &plot, chart, slanted);
    plot
}

fn plot(area: Area, scale: Scale, chart: &Chart) -> Plot {
    Plot {
        area,
        scale,
        slot: area.width / chart.labels.len() as f64,
    }
}

fn value_axis(svg: &mut Svg, plot: &Plot) {
    for tick in plot.scale.ticks() {
        let y = plot.y(tick);
        svg.stroke((plot.area.left, y), (plot.area.right(), y), FAINT);
        // A third of the letters' height puts their middle on the line.
        let at = (plot.area.left - GAP, y + FONT / 3.0);
        svg.text(at, Anchor::End, MUTED, &number(tick));
    }
    zero_line(svg, plot);
}

fn zero_line(svg: &mut Svg, plot: &Plot) {
    let y = plot.y(0.0);
    svg.stroke((plot.area.left, y), (plot.area.right(), y), INK);
}

fn label_axis(svg: &mut Svg, plot: &Plot, chart: &Chart, slanted: bool) {
    let y = plot.area.bottom() + FONT + GAP;
    // Slanted lines of text stand a line's height apart: where slots are narrower, some are left out.
    let every = if slanted {
        (FONT * 1.6 / plot.slot).ceil().max(1.0)
    } else {
        1.0
    };
    for (point, label) in chart.labels.iter().enumerate() {
        if point as f64 % every != 0.0 {
            continue;
        }
        let x = plot.x(point);
        if slanted {
            // A label must not leave the picture on the left either.
            let room = fitting((x + FONT / 3.0) / 0.766, FONT);
            let label = shortened(label, SLANTED_CHARS.min(room));
            svg.slanted((x + FONT / 3.0, y - GAP / 2.0), INK, &label);
        } else {
            svg.text((x, y), Anchor::Middle, INK, label);
        }
    }
}
