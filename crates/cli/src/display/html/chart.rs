//! A line chart over the time of a run as inline SVG, with axes, units and a legend.

use super::escape;
use crate::display::words;
use std::fmt::Write;
use windlass_engine::series::Point;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 40.0;
/// How many steps an axis should have, about.
const TICKS: f64 = 5.0;

struct Curve {
    name: &'static str,
    class: &'static str,
    filled: bool,
    values: Vec<Option<f64>>,
}

/// A chart that is being put together.
pub(super) struct Chart<'a> {
    title: &'static str,
    unit: &'static str,
    /// The end of the time axis.
    seconds: f64,
    points: &'a [Point],
    curves: Vec<Curve>,
    marks: Option<(&'static str, Vec<u64>)>,
}

impl<'a> Chart<'a> {
    pub(super) fn new(
        title: &'static str,
        unit: &'static str,
        seconds: f64,
        points: &'a [Point],
    ) -> Self {
        let last = points.last().map_or(0.0, |point| point.seconds);
        let seconds = seconds.max(last).max(1.0);
        Self { title, unit, seconds, points, curves: Vec::new(), marks: None }
    }

    pub(super) fn line(
        self,
        name: &'static str,
        class: &'static str,
        value: impl Fn(&Point) -> Option<f64>,
    ) -> Self {
        self.with_curve(name, class, false, value)
    }

    pub(super) fn area(
        self,
        name: &'static str,
        class: &'static str,
        value: impl Fn(&Point) -> Option<f64>,
    ) -> Self {
        self.with_curve(name, class, true, value)
    }

    fn with_curve(
        mut self,
        name: &'static str,
        class: &'static str,
        filled: bool,
        value: impl Fn(&Point) -> Option<f64>,
    ) -> Self {
        let values = self.points.iter().map(value).collect();
        self.curves.push(Curve { name, class, filled, values });
        self
    }

    pub(super) fn marks(mut self, name: &'static str, count: impl Fn(&Point) -> u64) -> Self {
        let counts: Vec<u64> = self.points.iter().map(count).collect();
        if counts.iter().any(|count| *count > 0) {
            self.marks = Some((name, counts));
        }
        self
    }

    pub(super) fn svg(&self) -> String {
        let highest = self.curves.iter().flat_map(|curve| curve.values.iter().flatten());
        let highest = highest.fold(0.0, |highest: f64, value| highest.max(*value));
        let step = nice(highest.max(0.001) / TICKS);
        let top = ((highest / step).ceil() * step).max(step);
        let mut svg = String::new();
        self.axes(&mut svg, step, top);
        for curve in &self.curves {
            self.curve(&mut svg, curve, top);
        }
        if let Some((name, counts)) = &self.marks {
            self.mark(&mut svg, name, counts);
        }
        format!(
            "<figure>\n<figcaption><h2>{}</h2>{}</figcaption>\n<div class=\"wide\">\
             <svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{} over time, in {}\">\n{svg}</svg></div>\n</figure>\n",
            escape(self.title),
            self.keys(),
            escape(self.title),
            escape(self.unit)
        )
    }

    fn x(&self, seconds: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (seconds / self.seconds).clamp(0.0, 1.0)
    }

    /// Where the middle of a point's bin is; the last bin may be cut short.
    fn middle(&self, point: &Point) -> f64 {
        let width = self.points.get(1).map_or(self.seconds, |second| second.seconds);
        let end = (point.seconds + width).min(self.seconds);
        self.x(f64::midpoint(point.seconds, end))
    }

    fn axes(&self, svg: &mut String, step: f64, top: f64) {
        let (right, floor) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let mut value = 0.0;
        while value <= top + step / 2.0 {
            let y = height(value, top);
            let class = if value == 0.0 { "axis" } else { "grid" };
            draw(
                svg,
                format_args!(
                    "<line class=\"{class}\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" \
                     y2=\"{y:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                    LEFT - 6.0,
                    y + 4.0,
                    tick(value, step)
                ),
            );
            value += step;
        }
        draw(svg, format_args!("<text x=\"4\" y=\"12\">{}</text>\n", escape(self.unit)));
        let (unit, name) = time_unit(self.seconds);
        let step = nice(self.seconds / unit / TICKS);
        let mut time = 0.0;
        while time * unit <= self.seconds {
            let x = self.x(time * unit);
            draw(
                svg,
                format_args!(
                    "<line class=\"axis\" x1=\"{x:.1}\" y1=\"{floor}\" x2=\"{x:.1}\" y2=\"{}\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                    floor + 4.0,
                    floor + 18.0,
                    tick(time, step)
                ),
            );
            time += step;
        }
        draw(
            svg,
            format_args!(
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{name} since the run \
                 began</text>\n",
                (LEFT + right) / 2.0,
                HEIGHT - 4.0
            ),
        );
    }

    /// Points stand in the middle of their bins; where there is no value the line is broken.
    fn curve(&self, svg: &mut String, curve: &Curve, top: f64) {
        let mut pieces: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
        for (point, value) in self.points.iter().zip(&curve.values) {
            match (value, pieces.last_mut()) {
                (Some(value), Some(piece)) => {
                    piece.push((self.middle(point), height(*value, top)));
                }
                _ => pieces.push(Vec::new()),
            }
        }
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            let path: Vec<String> = piece.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
            let path = path.join(" L");
            if let (true, Some(first), Some(last)) = (curve.filled, piece.first(), piece.last()) {
                let floor = HEIGHT - BOTTOM;
                draw(
                    svg,
                    format_args!(
                        "<path class=\"area {}\" d=\"M{:.1} {floor} L{path} L{:.1} {floor} Z\"/>\n",
                        curve.class, first.0, last.0
                    ),
                );
            }
            // A lone point has no line, but a round cap shows where it is.
            let end = piece.last().map_or(0.0, |(x, _)| *x);
            draw(
                svg,
                format_args!("<path class=\"line {}\" d=\"M{path} H{end:.1}\"/>\n", curve.class),
            );
        }
    }

    fn mark(&self, svg: &mut String, name: &str, counts: &[u64]) {
        let marked = self.points.iter().zip(counts).filter(|(_, count)| **count > 0);
        for (point, count) in marked {
            let x = self.middle(point);
            draw(
                svg,
                format_args!(
                    "<path class=\"mark\" d=\"M{:.1} {TOP} h10 l-5 9 Z\">\
                     <title>{} × {} at {}</title>\
                 </path>\n",
                    x - 5.0,
                    words::count(*count),
                    escape(name),
                    words::latency(point.seconds * 1000.0)
                ),
            );
        }
    }

    fn keys(&self) -> String {
        let curve = |curve: &Curve| {
            format!(
                "<span class=\"key\"><svg viewBox=\"0 0 32 16\"><path class=\"line {}\" \
                 d=\"M2 8 H30\"/></svg> {}</span>",
                curve.class,
                escape(curve.name)
            )
        };
        let mut keys: String = self.curves.iter().map(curve).collect();
        if let Some((name, counts)) = &self.marks {
            keys.push_str(&format!(
                "<span class=\"key\"><svg viewBox=\"0 0 32 16\"><path class=\"mark\" \
                 d=\"M11 4 h10 l-5 9 Z\"/></svg> {} × {}</span>",
                words::count(counts.iter().sum()),
                escape(name)
            ));
        }
        keys
    }
}

/// Writing to a string does not fail.
fn draw(svg: &mut String, shape: std::fmt::Arguments<'_>) {
    let _ = svg.write_fmt(shape);
}

fn height(value: f64, top: f64) -> f64 {
    let floor = HEIGHT - BOTTOM;
    floor - (floor - TOP - 12.0) * (value / top).clamp(0.0, 1.0)
}

/// The next higher of 1, 2 and 5 times a power of ten.
fn nice(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= step * 0.999);
    factor.unwrap_or(10.0) * power
}

/// As many decimals as the step of the axis has.
fn tick(value: f64, step: f64) -> String {
    if step >= 1.0 {
        return words::count(value.round() as u64);
    }
    let decimals = (-step.log10().floor()).clamp(1.0, 6.0) as usize;
    format!("{value:.decimals$}")
}

fn time_unit(seconds: f64) -> (f64, &'static str) {
    if seconds <= 180.0 {
        (1.0, "seconds")
    } else if seconds <= 3.0 * 3600.0 {
        (60.0, "minutes")
    } else {
        (3600.0, "hours")
    }
}
