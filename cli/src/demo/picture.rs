//! A picture of the adaptive run: arrivals, capacity, backlog and forecast over time.

use plotters::prelude::*;
use tidegate::control::{History, HistoryPoint};

use crate::failure::Failure;
use crate::whole_file::WholeFile;

const SIZE: (u32, u32) = (1000, 520);
/// Points drawn: each is the largest of the ticks it stands for.
const POINTS: usize = 500;

/// One line of the picture.
type Curve = (&'static str, RGBColor, fn(&HistoryPoint) -> u64);

const CURVES: [Curve; 4] = [
    ("capacity", RGBColor(0, 114, 178), |p| p.ring_bytes),
    ("forecast", RGBColor(213, 94, 0), |p| p.forecast_bytes),
    ("backlog", RGBColor(0, 158, 115), |p| p.backlog_bytes),
    ("arrivals a ms", RGBColor(150, 150, 150), |p| p.arrived_bytes * 1_000_000 / p.span_ns.max(1)),
];

/// Draws `history` as SVG into `output`.
pub(crate) fn draw(output: WholeFile, history: &History) -> Result<(), Failure> {
    let mut svg = String::new();
    plot(&mut svg, history).map_err(|e| Failure::Environment(format!("cannot draw the picture: {e}")))?;
    output.fill(&svg)
}

fn plot(svg: &mut String, history: &History) -> Result<(), Box<dyn std::error::Error>> {
    let points: Vec<HistoryPoint> = history.points().collect();
    let first_ns = points.first().map_or(0, |p| p.at_ns);
    let seconds = |p: &HistoryPoint| (p.at_ns - first_ns) as f64 / 1e9;
    let end = points.last().map_or(1.0, seconds);
    let top = points.iter().flat_map(|p| CURVES.map(|(_, _, value)| value(p))).max().unwrap_or(1).max(1024);
    let stride = points.len().div_ceil(POINTS).max(1);
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption("Adaptive run: what came, what was forecast, what was provided", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..end, (0.5f64..top as f64 / 1024.0 * 1.5).log_scale())?;
    chart.configure_mesh().x_desc("seconds").y_desc("KiB (log)").light_line_style(WHITE).draw()?;
    for (name, colour, value) in CURVES {
        let largest = |ticks: &[HistoryPoint]| ticks.iter().map(value).max().unwrap_or(0) as f64 / 1024.0;
        let line = points.chunks(stride).map(|ticks| (seconds(&ticks[0]), largest(ticks).max(0.5)));
        chart
            .draw_series(LineSeries::new(line, colour.stroke_width(1)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.9)).border_style(BLACK.mix(0.3)).draw()?;
    root.present()?;
    Ok(())
}
