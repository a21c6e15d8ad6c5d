//! Slices clockwise from the top, in the order of the data, with a legend beside them.

use std::f64::consts::TAU;

use super::{
    Area, Chart, FONT, INK, colour, number,
    svg::{Anchor, Px, Svg, fitting, shortened},
};

/// More slices than this cannot be told apart: the smallest become one.
const SLICES_MAX: usize = 12;
const ROW: f64 = FONT * 1.7;
const SWATCH: f64 = 12.0;
const OTHERS_COLOUR: &str = "#8f99a3";

struct Slice {
    label: String,
    value: f64,
    /// Of the whole, from 0 to 1.
    share: f64,
    colour: &'static str,
}

impl Slice {
    fn tip(&self) -> String {
        format!("{}: {} ({}%)", self.label, self.value, self.percent())
    }

    fn percent(&self) -> String {
        number((self.share * 1000.0).round() / 10.0)
    }
}

/// Draws slices, and a legend where there is room, into `area`. At least one value is above 0.
pub(super) fn draw(svg: &mut Svg, chart: &Chart, area: Area) {
    let slices = sliced(chart);
    let (pie, legend) = parted(area, slices.len() as f64 * ROW);
    let radius = pie.width.min(pie.height) / 2.0;
    let centre = (pie.left + pie.width / 2.0, pie.top + pie.height / 2.0);
    let mut begun = 0.0;
    for slice in slices.iter().filter(|slice| slice.share > 0.0) {
        drawn(svg, slice, (centre, radius), begun);
        begun += slice.share;
    }
    for (row, slice) in slices.iter().enumerate() {
        let Some(legend) = legend else { return };
        let y = legend.top + ROW * (row as f64 + 0.5);
        let swatch = (legend.left, y - SWATCH / 2.0);
        svg.rect(swatch, (SWATCH, SWATCH), slice.colour, None);
        let share = format!(" ({}%)", slice.percent());
        let room = fitting(legend.width - SWATCH * 1.5, FONT);
        let label = shortened(&slice.label, room.saturating_sub(share.len()));
        let at = (legend.left + SWATCH * 1.5, y + FONT / 3.0);
        svg.text(at, Anchor::Start, INK, &format!("{label}{share}"));
    }
}

/// Where the slices go, and where a legend of this height: beside them in a wide picture, below
/// them in a tall one, nowhere in one too small for words.
fn parted(area: Area, legend: f64) -> (Area, Option<Area>) {
    if area.width >= area.height && area.width >= 220.0 && area.height >= legend {
        let half = Area {
            width: area.width * 0.55,
            ..area
        };
        let beside = Area {
            left: half.right() + SWATCH,
            top: area.top + (area.height - legend) / 2.0,
            width: area.right() - half.right() - SWATCH,
            height: legend,
        };
        (half, Some(beside))
    } else if area.width >= 120.0 && area.height >= legend * 1.5 {
        let upper = Area {
            height: area.height - legend - SWATCH,
            ..area
        };
        let below = Area {
            top: upper.bottom() + SWATCH,
            height: legend,
            ..area
        };
        (upper, Some(below))
    } else {
        (area, None)
    }
}

fn drawn(svg: &mut Svg, slice: &Slice, (centre, radius): ((f64, f64), f64), begun: f64) {
    // An arc that ends where it begins is no arc: the whole is a circle.
    if slice.share > 0.9999 {
        return svg.circle("slice", (centre, radius), slice.colour, &slice.tip());
    }
    let on_rim = |share: f64| {
        let (sine, cosine) = (share * TAU).sin_cos();
        (Px(centre.0 + radius * sine), Px(centre.1 - radius * cosine))
    };
    let (from, to) = (on_rim(begun), on_rim(begun + slice.share));
    let path = format_args!(
        "M{} {} L{} {} A{r} {r} 0 {} 1 {} {} Z",
        Px(centre.0),
        Px(centre.1),
        from.0,
        from.1,
        u8::from(slice.share > 0.5),
        to.0,
        to.1,
        r = Px(radius),
    );
    svg.slice(path, slice.colour, &slice.tip());
}

fn sliced(chart: &Chart) -> Vec<Slice> {
    let sum: f64 = chart.values.iter().sum();
    let mut kept: Vec<usize> = (0..chart.values.len()).collect();
    if kept.len() > SLICES_MAX {
        kept.sort_by(|a, b| chart.values[*b].total_cmp(&chart.values[*a]));
        kept.truncate(SLICES_MAX - 1);
        kept.sort_unstable();
    }
    let mut slices: Vec<Slice> = kept
        .iter()
        .enumerate()
        .map(|(place, point)| Slice {
            label: chart.labels[*point].clone(),
            value: chart.values[*point],
            share: chart.values[*point] / sum,
            colour: colour(place),
        })
        .collect();
    let folded = chart.values.len() - kept.len();
    if folded > 0 {
        let value = sum - slices.iter().map(|slice| slice.value).sum::<f64>();
        slices.push(Slice {
            label: format!("{folded} others"),
            value,
            share: value / sum,
            colour: OTHERS_COLOUR,
        });
    }
    slices
}
