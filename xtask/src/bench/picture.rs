//! `docs/benchmarks.svg`: how many times faster Whimbrel is than the best peer, and how many times
//! less it works.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::figures::{Figures, Ratio};
use super::workload::{Kind, Workload};

const WIDTH: f64 = 1020.0;
const LABEL_WIDTH: f64 = 490.0;
const BAR_HEIGHT: f64 = 14.0;
const ROW_HEIGHT: f64 = 44.0;
const TOP: f64 = 70.0;
/// Right of the bars, for their numbers.
const RIGHT: f64 = 130.0;
const TICKS: [f64; 9] = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0];

/// The lengths of bars go with the logarithm.
struct Scale {
    least: f64,
    most: f64,
}

impl Scale {
    fn of(rows: &[(String, Vec<Ratio>)]) -> Self {
        let medians = rows.iter().flat_map(|(_, ratios)| ratios).map(|ratio| ratio.spread.median);
        let (mut least, mut most) = (0.5, 2.0_f64);
        for median in medians {
            least = f64::min(least, median);
            most = most.max(median);
        }
        let least = TICKS.iter().rev().find(|tick| **tick <= least).unwrap_or(&TICKS[0]);
        let most = TICKS.iter().find(|tick| **tick >= most).unwrap_or(&TICKS[8]);
        Self { least: *least, most: *most }
    }

    fn place(&self, ratio: f64) -> f64 {
        let ratio = ratio.clamp(self.least, self.most);
        let share = (ratio / self.least).ln() / (self.most / self.least).ln();
        LABEL_WIDTH + share * (WIDTH - LABEL_WIDTH - RIGHT)
    }
}

/// Writing to a text cannot fail.
macro_rules! add {
    ($($all:tt)*) => { let _ = writeln!($($all)*); };
}

/// The picture.
pub fn draw(chosen: &[(&'static Workload, &Value)]) -> String {
    let mut rows = Vec::new();
    for (workload, line) in chosen {
        for figures in Figures::of(workload, line) {
            let mut ratios = figures.ratios();
            ratios.retain(|ratio| ratio.beside.is_peer());
            if !ratios.is_empty() {
                rows.push((label(&figures, line), ratios));
            }
        }
    }
    let scale = Scale::of(&rows);
    let height = TOP + rows.len() as f64 * ROW_HEIGHT + 20.0;
    let mut svg = String::new();
    add!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
        font-family=\"sans-serif\" font-size=\"13\">"
    );
    add!(svg, "<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>");
    add!(
        svg,
        "<text x=\"20\" y=\"26\" font-size=\"16\" fill=\"#1a1a1a\">Whimbrel beside the best peer: \
        times as fast (blue), times less CPU or calls (green)</text>"
    );
    draw_axis(&mut svg, &scale, height);
    for (index, (label, ratios)) in rows.iter().enumerate() {
        let top = TOP + index as f64 * ROW_HEIGHT;
        let y = top + 19.0;
        add!(svg, "<text x=\"20\" y=\"{y}\" fill=\"#1a1a1a\">{label}</text>");
        for (bar, ratio) in ratios.iter().enumerate() {
            draw_bar(&mut svg, &scale, ratio, top + bar as f64 * (BAR_HEIGHT + 2.0));
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn label(figures: &Figures<'_>, line: &Value) -> String {
    let phase = match (figures.workload.kind, figures.phase) {
        (Kind::Again, "nothing") => ", unchanged",
        (Kind::Again | Kind::Live, _) => ", 0.1 % changed",
        (Kind::Copy | Kind::Events | Kind::Calls, _) => "",
    };
    let small = if line["call"]["small"] == json!(true) { " (small run)" } else { "" };
    let title = figures.workload.title;
    format!("{title}{phase}{small}")
}

fn draw_axis(svg: &mut String, scale: &Scale, height: f64) {
    let bottom = height - 14.0;
    for tick in TICKS.iter().filter(|tick| (scale.least..=scale.most).contains(tick)) {
        let x = scale.place(*tick);
        let color = if *tick == 1.0 { "#1a1a1a" } else { "#d8d8d8" };
        add!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"58\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"{color}\"/>"
        );
        add!(
            svg,
            "<text x=\"{x:.1}\" y=\"52\" fill=\"#555555\" text-anchor=\"middle\">{tick}</text>"
        );
    }
}

fn draw_bar(svg: &mut String, scale: &Scale, ratio: &Ratio, y: f64) {
    let (one, end) = (scale.place(1.0), scale.place(ratio.spread.median));
    let (x, width) = (one.min(end), (end - one).abs().max(1.0));
    let color = if ratio.what == "speed" { "#2f6fb0" } else { "#3f9a56" };
    add!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR_HEIGHT}\" fill=\"{color}\"/>"
    );
    let (text_x, text_y) = (one.max(end) + 6.0, y + 11.5);
    add!(
        svg,
        "<text x=\"{text_x:.1}\" y=\"{text_y}\" font-size=\"11\" fill=\"#555555\">{:.2} {}</text>",
        ratio.spread.median,
        ratio.beside.name()
    );
}
