//! A line through the points, and a dot at each while they can be told apart.

use super::{Area, Chart, axes, colour, svg::Svg};

/// Dots nearer to each other than this make a caterpillar of the line.
const DOTS_APART: f64 = 8.0;

/// Draws axes, line and dots into `area`.
pub(super) fn draw(svg: &mut Svg, chart: &Chart, area: Area) {
    let plot = axes::draw(svg, chart, area);
    let points: Vec<(f64, f64)> = chart
        .values
        .iter()
        .enumerate()
        .map(|(point, value)| (plot.x(point), plot.y(*value)))
        .collect();
    svg.polyline(&points, colour(0));
    // A single point has no line to be seen by.
    if plot.slot < DOTS_APART && points.len() > 1 {
        return;
    }
    for (at, (label, value)) in points.iter().zip(chart.points()) {
        let tip = format!("{label}: {value}");
        svg.circle("point", (*at, 3.5), colour(0), &tip);
    }
}
