//! A page of metrics, in the form that the scraper asks for: the Prometheus text format 0.0.4, or OpenMetrics 1.0.

use std::fmt::{Display, Write};

use crate::mux::{BOUNDS_US, Histogram};

/// The form of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// What every scraper reads, and `promtool check metrics` checks.
    Prometheus,
    /// What Prometheus asks for in its `Accept`.
    OpenMetrics,
}

/// Labels of one sample: names of ours, and values from bounded sets.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

/// A page being written.
pub(super) struct Page {
    form: Form,
    text: String,
}

/// The samples of one metric being written.
pub(super) struct Samples<'a> {
    text: &'a mut String,
    name: String,
}

impl Form {
    /// The form for a request with this `Accept`.
    pub(super) fn for_accept(accept: &str) -> Form {
        match accept.contains("application/openmetrics-text") {
            true => Form::OpenMetrics,
            false => Form::Prometheus,
        }
    }

    /// Its content type.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Form::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Form::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Page {
    pub(super) fn new(form: Form) -> Page {
        Page { form, text: String::with_capacity(32 * 1024) }
    }

    /// A counter; `name` without `_total`.
    pub(super) fn counter(&mut self, name: &str, help: &str) -> Samples<'_> {
        let sampled = format!("{name}_total");
        let family = if self.form == Form::OpenMetrics { name } else { &sampled };
        head(&mut self.text, family, help, "counter");
        Samples { text: &mut self.text, name: sampled }
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str) -> Samples<'_> {
        head(&mut self.text, name, help, "gauge");
        Samples { text: &mut self.text, name: name.to_owned() }
    }

    /// A histogram in seconds.
    pub(super) fn histogram(&mut self, name: &str, help: &str) -> Samples<'_> {
        head(&mut self.text, name, help, "histogram");
        Samples { text: &mut self.text, name: name.to_owned() }
    }

    pub(super) fn finish(mut self) -> String {
        if self.form == Form::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

// Writing to a String cannot fail.
fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

impl Samples<'_> {
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl Display) -> &mut Self {
        self.write("", labels, None, value);
        self
    }

    /// A duration as seconds.
    pub(super) fn seconds(&mut self, labels: Labels<'_>, value: std::time::Duration) -> &mut Self {
        self.sample(labels, decimal(value.as_secs_f64()))
    }

    pub(super) fn buckets(&mut self, labels: Labels<'_>, histogram: &Histogram) {
        let bounds = BOUNDS_US.map(|bound| bound as f64 / 1e6);
        self.buckets_of(labels, &histogram.buckets, &bounds, histogram.sum.as_secs_f64());
    }

    /// Counts that are not cumulated, by the upper `bounds` of their buckets; one more count has the rest.
    pub(super) fn buckets_of(&mut self, labels: Labels<'_>, counts: &[u64], bounds: &[f64], sum: f64) {
        let mut below = 0;
        for (count, bound) in counts.iter().zip(bounds) {
            below += count;
            self.write("_bucket", labels, Some(&decimal(*bound)), below);
        }
        let count: u64 = counts.iter().sum();
        self.write("_bucket", labels, Some("+Inf"), count);
        self.write("_sum", labels, None, decimal(sum));
        self.write("_count", labels, None, count);
    }

    fn write(&mut self, suffix: &str, labels: Labels<'_>, le: Option<&str>, value: impl Display) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        let all = labels.iter().copied().chain(le.map(|le| ("le", le)));
        for (n, (label, value)) in all.enumerate() {
            let _ = write!(self.text, "{}{label}=\"", if n == 0 { "{" } else { "," });
            for letter in value.chars() {
                match letter {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    other => self.text.push(other),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() || le.is_some() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

/// A float as both forms want it: never without a point.
fn decimal(value: f64) -> String {
    let text = value.to_string();
    if text.contains('.') { text } else { format!("{text}.0") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(form: Form) -> String {
        let mut page = Page::new(form);
        page.counter("a_b", "Help.").sample(&[("x", "1\"\\\n"), ("y", "")], 7).sample(&[], 8);
        page.gauge("g_seconds", "Help.").seconds(&[], std::time::Duration::from_millis(1500));
        page.finish()
    }

    /// Written by hand after the two specifications.
    #[test]
    fn both_forms_are_those_of_their_specification() {
        let prometheus = "# HELP a_b_total Help.\n# TYPE a_b_total counter\na_b_total{x=\"1\\\"\\\\\\n\",y=\"\"} 7\na_b_total 8\n# HELP g_seconds Help.\n# TYPE g_seconds gauge\ng_seconds 1.5\n";
        assert_eq!(page(Form::Prometheus), prometheus);
        let open = prometheus.replace("HELP a_b_total", "HELP a_b").replace("TYPE a_b_total", "TYPE a_b");
        assert_eq!(page(Form::OpenMetrics), open + "# EOF\n");
    }

    #[test]
    fn buckets_are_cumulated_and_end_with_all() {
        let mut histogram = Histogram::default();
        histogram.buckets[0] = 2;
        histogram.buckets[4] = 3;
        histogram.buckets[BOUNDS_US.len()] = 1;
        histogram.sum = std::time::Duration::from_secs(90);
        let mut page = Page::new(Form::Prometheus);
        page.histogram("h", "Help.").buckets(&[("u", "v")], &histogram);
        let text = page.finish();
        for line in [
            "h_bucket{u=\"v\",le=\"0.00005\"} 2\n",
            "h_bucket{u=\"v\",le=\"0.0005\"} 2\n",
            "h_bucket{u=\"v\",le=\"0.001\"} 5\n",
            "h_bucket{u=\"v\",le=\"1.0\"} 5\n",
            "h_bucket{u=\"v\",le=\"60.0\"} 5\n",
            "h_bucket{u=\"v\",le=\"+Inf\"} 6\nh_sum{u=\"v\"} 90.0\nh_count{u=\"v\"} 6\n",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
