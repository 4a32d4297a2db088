//! A report as one HTML file: a table and three plots, without scripts and without anything from elsewhere.

use std::error::Error;
use std::ops::Range;

use plotters::prelude::*;

use super::report::{Latency, Report, Slice};

/// Size of a plot in pixels; the page scales it.
const SIZE: (u32, u32) = (900, 300);
const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#222}\
table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #ddd}\
th:first-child,td:first-child{text-align:left}svg{width:100%;height:auto}.errors{color:#b00}";

/// What a plot could not be drawn for.
type Drawn = Result<(), Box<dyn Error>>;

/// The page of a report.
pub fn page(report: &Report) -> String {
    let rate = svg(|area| rate_plot(area, &report.slices));
    let latency = svg(|area| latency_plot(area, &report.slices));
    let curve = svg(|area| curve_plot(area, &report.curve));
    let run = &report.run;
    let what = format!(
        "{} to {}, {}, {}, {} connections × {} at a time, {} terminals each, {}",
        run.mti,
        run.target,
        run.dialect,
        run.speech,
        run.connections,
        run.pipeline,
        run.terminals,
        match run.rate {
            Some(rate) => format!("open loop, {rate} requests a second"),
            None => "closed loop".to_owned(),
        },
    );
    let mut rows = vec![("as measured", &report.latency)];
    rows.extend(report.corrected.as_ref().map(|latency| ("corrected for coordinated omission", latency)));
    rows.extend(report.lag.as_ref().map(|latency| ("of it: sent late", latency)));
    let rows: String = rows.iter().map(|(name, latency)| row(name, latency)).collect();
    let codes: String = report.codes.iter().map(|(code, count)| count_row(code, *count)).collect();
    let errors: String = report.errors.iter().map(|(cause, count)| count_row(cause, *count)).collect();
    let errors = match errors.is_empty() {
        true => "<p>No errors: each answer had the message type, STAN, TID and amount of its request.</p>"
            .to_owned(),
        false => format!("<h2>Errors</h2><table class=\"errors\">{errors}</table>"),
    };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>socketqueue bench</title><style>{STYLE}</style>\n\
         <h1>{:.0} transactions a second</h1>\n<p>{}. Begun {}; measured for {:.1} s after {} s of warm-up. \
         {} sent, {} answered.</p>\n{errors}\n<h2>Latency (ms)</h2>\n<table><tr><th></th><th>min</th><th>mean</th><th>p50</th>\
         <th>p90</th><th>p99</th><th>p99.9</th><th>p99.99</th><th>max</th></tr>{rows}</table>\n{curve}\n\
         <h2>Answers a second</h2>\n{rate}\n<h2>Latency over time</h2>\n{latency}\n\
         <h2>Response codes</h2>\n<table>{codes}</table>\n</html>\n",
        report.per_second,
        escape(&what),
        escape(&run.begun),
        report.seconds,
        run.warmup_s,
        report.sent,
        report.answered,
    )
}

fn row(name: &str, latency: &Latency) -> String {
    let Latency { min_us, mean_us, p50_us, p90_us, p99_us, p999_us, p9999_us, max_us } = *latency;
    let us = [
        min_us as f64,
        mean_us,
        p50_us as f64,
        p90_us as f64,
        p99_us as f64,
        p999_us as f64,
        p9999_us as f64,
    ];
    let cells: String =
        us.iter().chain(&[max_us as f64]).map(|us| format!("<td>{:.3}</td>", us / 1000.0)).collect();
    format!("<tr><td>{name}</td>{cells}</tr>")
}

fn count_row(name: &str, count: u64) -> String {
    format!("<tr><td>{}</td><td>{count}</td></tr>", escape(name))
}

/// Response codes are a peer's text.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

type Area<'s> = DrawingArea<SVGBackend<'s>, plotters::coord::Shift>;

/// A plot as an element of the page; empty if there is nothing to draw.
fn svg(draw: impl FnOnce(&Area<'_>) -> Drawn) -> String {
    let mut text = String::new();
    let drawn = {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        draw(&area).and_then(|()| Ok(area.present()?))
    };
    if drawn.is_ok() { text } else { String::new() }
}

fn rate_plot(area: &Area<'_>, slices: &[Slice]) -> Drawn {
    let points: Vec<(f64, f64)> = slices.iter().map(|slice| (slice.at_s, slice.per_second)).collect();
    let top = points.iter().fold(1.0_f64, |top, (_, rate)| top.max(*rate)) * 1.05;
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d(seconds(slices), 0.0..top)?;
    chart.configure_mesh().max_light_lines(1).x_desc("s").y_desc("answers a second").draw()?;
    chart.draw_series(LineSeries::new(points, BLUE))?;
    Ok(())
}

fn latency_plot(area: &Area<'_>, slices: &[Slice]) -> Drawn {
    let (mut low, mut high) = (f64::MAX, 0.0_f64);
    for slice in slices.iter().filter(|slice| slice.max_us > 0) {
        low = low.min(ms(slice.p50_us.max(1)));
        high = high.max(ms(slice.max_us));
    }
    if high == 0.0 {
        return Err("nothing was measured".into());
    }
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d(seconds(slices), (low * 0.8..high * 1.2).log_scale())?;
    chart.configure_mesh().max_light_lines(1).y_labels(20).x_desc("s").y_desc("ms").draw()?;
    let mut line = |name, color: RGBColor, of: fn(&Slice) -> u64| -> Drawn {
        let drawn = slices.iter().filter(|slice| slice.max_us > 0);
        let points = drawn.map(|slice| (slice.at_s, ms(of(slice).max(1))));
        chart
            .draw_series(LineSeries::new(points, color))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color));
        Ok(())
    };
    line("p50", BLUE, |slice| slice.p50_us)?;
    line("p99", GREEN, |slice| slice.p99_us)?;
    line("max", RED, |slice| slice.max_us)?;
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()?;
    Ok(())
}

/// Latency by quantile; across, the number of nines: 1 is p90, 2 is p99.
fn curve_plot(area: &Area<'_>, curve: &[(f64, u64)]) -> Drawn {
    let points: Vec<(f64, f64)> =
        curve.iter().map(|(quantile, us)| (-(1.0 - quantile).log10(), ms((*us).max(1)))).collect();
    let (Some((_, low)), Some((right, high))) = (points.first(), points.last()) else {
        return Err("nothing was measured".into());
    };
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d(0.0..right.ceil().max(1.0), (low * 0.8..high * 1.2).log_scale())?;
    chart
        .configure_mesh()
        .max_light_lines(1)
        .x_labels(right.ceil() as usize + 1)
        .x_desc("of the requests")
        .y_desc("ms")
        .x_label_formatter(&|nines| {
            format!("{:.*} %", (nines - 1.0).max(0.0) as usize, 100.0 - 10_f64.powf(2.0 - nines))
        })
        .draw()?;
    chart.draw_series(LineSeries::new(points, BLUE))?;
    Ok(())
}

fn seconds(slices: &[Slice]) -> Range<f64> {
    0.0..slices.last().map_or(1.0, |last| last.at_s.max(0.1))
}

fn ms(us: u64) -> f64 {
    us as f64 / 1000.0
}
