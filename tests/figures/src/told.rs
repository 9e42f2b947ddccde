//! Numbers that a guest told.

use drawbridge_bench::Report;

use crate::Failure;
use crate::samples::Samples;

/// The samples that the guest told under `name`, each divided by `by`; there must be `count`.
pub(crate) fn samples(
    report: &Report,
    name: &str,
    by: f64,
    count: usize,
) -> Result<Samples, Failure> {
    numbers(report.text(name), name, by, count)
}

fn numbers(text: &str, name: &str, by: f64, count: usize) -> Result<Samples, Failure> {
    let told: Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
    let told: Vec<f64> = told?.into_iter().map(|one: f64| one / by).collect();
    if told.len() != count {
        return Err(format!("{name}: {} samples of {count}", told.len()).into());
    }
    Ok(Samples::new(told).ok_or("no sample")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards: a guest that gave up half way, and a percentile of what it had by then.
    #[test]
    fn fewer_or_other_samples_than_wanted_are_no_figure() {
        let told = numbers("1500 2500 500", "x", 1e3, 3).unwrap();
        assert_eq!((told.p50(), told.n()), (1.5, 3));
        assert!(numbers("1500 2500", "x", 1e3, 3).is_err());
        assert!(numbers("1500 FAILED 500", "x", 1e3, 3).is_err());
        assert!(numbers("", "x", 1e3, 0).is_err());
    }
}
