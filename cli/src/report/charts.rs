//! Charts as SVG text.

use plotters::coord::Shift;
use plotters::prelude::*;

const SIZE: (u32, u32) = (640, 360);
const COLOURS: [RGBColor; 9] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(120, 120, 120),
    RGBColor(140, 86, 75),
    RGBColor(148, 103, 189),
];

/// A named line.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// What the axes say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axes {
    pub(super) x: &'static str,
    pub(super) y: &'static str,
    /// Whether both are logarithmic.
    pub(super) are_logs: bool,
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Lines with a marker at each point. Points that an axis cannot show are left out.
pub(super) fn lines(axes: Axes, lines: &[Line]) -> Result<String, String> {
    let shown: Vec<Line> = lines.iter().map(|line| line.shown(axes.are_logs)).collect();
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let drawn = if axes.are_logs { draw_logs(&root, axes, &shown) } else { draw(&root, axes, &shown) };
        drawn.and_then(|()| root.present().map_err(Into::into)).map_err(|error| error.to_string())?;
    }
    Ok(svg)
}

impl Line {
    fn shown(&self, are_logs: bool) -> Self {
        let fits = |value: f64| value.is_finite() && (!are_logs || value > 0.0);
        let points = self.points.iter().copied().filter(|(x, y)| fits(*x) && fits(*y)).collect();
        Self { name: self.name.clone(), points }
    }
}

/// The smallest and the largest of one coordinate, apart from each other.
fn range(lines: &[Line], of: fn(&(f64, f64)) -> f64) -> (f64, f64) {
    let values = || lines.iter().flat_map(|line| line.points.iter().map(of));
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    match (low.is_finite(), low < high) {
        (false, _) => (0.5, 1.0),
        (true, false) => (low * 0.5, low * 1.5 + f64::MIN_POSITIVE),
        (true, true) => (low, high),
    }
}

macro_rules! draw_on {
    ($root:expr, $axes:expr, $lines:expr, $x:expr, $y:expr) => {{
        $root.fill(&WHITE)?;
        let mut chart =
            ChartBuilder::on($root).margin(8).x_label_area_size(36).y_label_area_size(64).build_cartesian_2d($x, $y)?;
        chart.configure_mesh().x_desc($axes.x).y_desc($axes.y).light_line_style(WHITE).draw()?;
        for (line, colour) in $lines.iter().zip(COLOURS.iter().cycle().copied()) {
            chart
                .draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)).point_size(2))?
                .label(line.name.as_str())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        }
        chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.2)).draw()?;
        Ok(())
    }};
}

fn draw(root: &DrawingArea<SVGBackend<'_>, Shift>, axes: Axes, lines: &[Line]) -> Drawn {
    let ((left, right), (_, top)) = (range(lines, |point| point.0), range(lines, |point| point.1));
    draw_on!(root, axes, lines, left..right, 0.0..top * 1.05)
}

fn draw_logs(root: &DrawingArea<SVGBackend<'_>, Shift>, axes: Axes, lines: &[Line]) -> Drawn {
    let ((left, right), (bottom, top)) = (range(lines, |point| point.0), range(lines, |point| point.1));
    draw_on!(root, axes, lines, (left..right).log_scale(), (bottom..top).log_scale())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_is_drawn_of_anything() {
        let line = |points: &[(f64, f64)]| Line { name: "a & b".into(), points: points.to_vec() };
        for are_logs in [false, true] {
            let axes = Axes { x: "rows", y: "loss", are_logs };
            for points in [&[][..], &[(1.0, 2.0)], &[(1.0, 0.0), (2.0, 3.0)], &[(f64::NAN, 1.0), (5.0, f64::INFINITY)]]
            {
                let svg = lines(axes, &[line(points), line(&[(3.0, 4.0)])]).unwrap();
                assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && svg.contains("a &amp; b"), "{svg}");
            }
        }
    }
}
