//! Bars from the zero line, above it or below.

use super::{
    Area, Chart, FONT, INK, axes, colour, number,
    svg::{Anchor, Svg, width_of},
};

/// The share of its slot that a bar fills.
const FILLED: f64 = 0.72;
/// Beyond this a bar is a block.
const WIDTH_MAX: f64 = 120.0;

/// Draws axes and bars into `area`.
pub(super) fn draw(svg: &mut Svg, chart: &Chart, area: Area) {
    let plot = axes::draw(svg, chart, area);
    let width = (plot.slot * FILLED).min(WIDTH_MAX);
    let labelled = area.height >= 70.0
        && chart
            .values
            .iter()
            .all(|value| width_of(&number(*value), FONT) <= plot.slot);
    let zero = plot.y(0.0);
    for (point, (label, value)) in chart.points().enumerate() {
        let (x, y) = (plot.x(point), plot.y(value));
        let tip = format!("{label}: {value}");
        let at = (x - width / 2.0, y.min(zero));
        svg.rect(at, (width, (zero - y).abs()), colour(0), Some(&tip));
        if labelled {
            let baseline = if value < 0.0 {
                y + FONT
            } else {
                y - FONT / 3.0
            };
            svg.text((x, baseline), Anchor::Middle, INK, &number(value));
        }
    }
}
