//! Many measurements of one thing.

/// Measurements in ascending order.
#[derive(Debug, Clone)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// `None` if there are none.
    pub(crate) fn new(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        (!values.is_empty()).then_some(Self(values))
    }

    /// How many.
    pub(crate) fn n(&self) -> usize {
        self.0.len()
    }

    /// The value that `percent` of all do not exceed (nearest rank).
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0
            .get(rank - 1)
            .or(self.0.last())
            .copied()
            .unwrap_or(f64::NAN)
    }

    /// The median.
    pub(crate) fn p50(&self) -> f64 {
        self.percentile(50)
    }

    /// The value that one in a hundred exceeds.
    pub(crate) fn p99(&self) -> f64 {
        self.percentile(99)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A percentile off by one rank would judge a goal by a value nobody measured.
    #[test]
    fn percentiles_are_measured_values_at_the_nearest_rank() {
        let samples = Samples::new((1..=200).rev().map(f64::from).collect()).unwrap();
        assert_eq!(
            (samples.p50(), samples.p99(), samples.n()),
            (100.0, 198.0, 200)
        );
        let one = Samples::new(vec![7.0]).unwrap();
        assert_eq!((one.p50(), one.p99()), (7.0, 7.0));
        assert!(Samples::new(Vec::new()).is_none());
    }
}
