//! Means with their standard errors, and differences of paired runs.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// A mean of several values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// How many there are, at least 1.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// Its standard error: the sample's standard deviation over √count; none of a single value.
    pub standard_error: Option<f64>,
}

/// Mean and standard error; none of no values.
pub fn spread(values: &[f64]) -> Option<Spread> {
    let count = values.len();
    if count == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / count as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let standard_error = (count > 1).then(|| (squares / (count - 1) as f64 / count as f64).sqrt());
    Some(Spread { count, mean, standard_error })
}

/// The difference of two settings over the seeds that both have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paired {
    /// Its mean.
    pub mean: f64,
    /// Half the width of its 95 % confidence interval by Student's t with count − 1 degrees of freedom; none of one
    /// pair.
    pub half_width: Option<f64>,
    /// Pairs.
    pub count: usize,
}

impl Paired {
    /// Whether the interval leaves 0 out: what is not so is a tie.
    pub fn differs(&self) -> bool {
        self.half_width.is_some_and(|half| self.mean.abs() > half)
    }
}

/// `values` − `baseline`, both by seed; none where no seed is in both.
pub fn paired(values: &[(u64, f64)], baseline: &[(u64, f64)]) -> Option<Paired> {
    let of = |seed: u64| baseline.iter().find(|(other, _)| *other == seed).map(|(_, value)| *value);
    let differences: Vec<f64> =
        values.iter().filter_map(|(seed, value)| Some(value - of(*seed)?)).collect();
    let Spread { count, mean, standard_error } = spread(&differences)?;
    let quantile = |freedom: f64| {
        StudentsT::new(0.0, 1.0, freedom)
            .map_or(f64::NAN, |students_t| students_t.inverse_cdf(0.975))
    };
    let half_width = standard_error.map(|error| error * quantile((count - 1) as f64));
    Some(Paired { mean, half_width, count })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
    }

    #[test]
    fn a_mean_has_the_standard_error_of_the_sample() {
        let Spread { count, mean, standard_error } = spread(&[1.0, 2.0, 4.0]).unwrap();
        assert_eq!(count, 3);
        near(mean, 7.0 / 3.0);
        near(standard_error.unwrap(), 0.881_917_1);
        assert_eq!(spread(&[5.0]).unwrap().standard_error, None);
        assert_eq!(spread(&[]), None);
    }

    /// t(0.975) is 4.302653 with 2 degrees of freedom and 2.364624 with 7 (tables of Student's distribution).
    #[test]
    fn paired_differences_have_students_interval() {
        let values = [(1, 1.0), (2, 2.0), (3, 4.0), (9, 100.0)];
        let zero = [(3, 0.0), (2, 0.0), (1, 0.0)];
        let Paired { mean, half_width, count } = paired(&values, &zero).unwrap();
        assert_eq!(count, 3, "seed 9 is alone");
        near(mean, 7.0 / 3.0);
        near(half_width.unwrap(), 0.881_917_1 * 4.302_652_7);
        let eight: Vec<(u64, f64)> = (0..8).map(|seed| (seed, (seed % 2) as f64)).collect();
        let none: Vec<(u64, f64)> = (0..8).map(|seed| (seed, 0.0)).collect();
        let eight = paired(&eight, &none).unwrap();
        near(eight.half_width.unwrap(), (2.0_f64 / 7.0 / 8.0).sqrt() * 2.364_624_3);
        assert!(
            eight.differs() && !Paired { mean: 0.4, half_width: Some(0.41), count: 8 }.differs()
        );
        assert!(
            !Paired { mean: 1.0, half_width: None, count: 1 }.differs(),
            "one pair shows nothing"
        );
        assert_eq!(paired(&values, &[(7, 1.0)]), None);
    }
}
