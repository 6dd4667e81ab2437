//! A picture of a report: bars of the ratios.

use std::path::Path;

use anyhow::anyhow;
use plotters::prelude::*;

use crate::report::{Report, ReportRow};
use crate::rounds::Quantity;

const ROW_PIXELS: u32 = 18;
const WIDTH_PIXELS: u32 = 1100;
const LABEL_PIXELS: u32 = 520;

/// Draws the median ratio of each case's times, with its spread, as an SVG.
///
/// # Errors
/// The file cannot be written.
pub fn draw(report: &Report, path: &Path) -> anyhow::Result<()> {
    let timed = |row: &&ReportRow| {
        !matches!(row.row.key.quantity, Quantity::Cpu | Quantity::CpuRoundTrip) && row.ratio.is_some()
    };
    let rows: Vec<&ReportRow> = report.rows.iter().filter(timed).collect();
    let ratios = || rows.iter().filter_map(|row| row.ratio);
    let low = ratios().map(|ratio| ratio.min).fold(0.5, f64::min);
    let high = ratios().map(|ratio| ratio.max).fold(2.0, f64::max);
    let height = ROW_PIXELS * (rows.len() as u32 + 4);
    let root = SVGBackend::new(path, (WIDTH_PIXELS, height)).into_drawing_area();
    let drawing = |e: &dyn std::fmt::Display| anyhow!("drawing {}: {e}", path.display());
    root.fill(&WHITE).map_err(|e| drawing(&e))?;
    let caption = format!("{}: time as a ratio to {} (left of 1 is faster)", report.benchmark, report.ratios_to);
    let mut chart = ChartBuilder::on(&root)
        .caption(caption, ("sans-serif", 16))
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(LABEL_PIXELS)
        .build_cartesian_2d((low..high).log_scale(), 0..rows.len())
        .map_err(|e| drawing(&e))?;
    let label = |row: &usize| rows.get(rows.len().wrapping_sub(row + 1)).map_or_else(String::new, |row| row.label());
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(rows.len())
        .y_label_formatter(&label)
        .draw()
        .map_err(|e| drawing(&e))?;
    let bars = rows.iter().rev().enumerate().filter_map(|(at, row)| Some((at, row.ratio?)));
    for (at, ratio) in bars {
        let color = if ratio.median <= 1.0 { BLUE.mix(0.6) } else { RED.mix(0.5) };
        let bar = Rectangle::new([(1.0, at), (ratio.median, at + 1)], color.filled());
        let spread = PathElement::new([(ratio.min, at), (ratio.max, at)], BLACK);
        chart.draw_series([bar]).map_err(|e| drawing(&e))?;
        chart.draw_series([spread]).map_err(|e| drawing(&e))?;
    }
    root.present().map_err(|e| drawing(&e))
}
