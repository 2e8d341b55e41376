//! The units that a segment is expected to save on an unseen task.

/// The share of a segment's occurrences that is expected to recur on an unseen task.
///
/// For a segment in s tasks it is (s - 1) / s, by leaving one task out. A segment of a single task still has
/// some worth: on real logs about 0.3 of a pair's occurrences recur in other tasks, 0.1 of those of eight
/// tokens and 0.03 of those of sixteen, which is about the length to the power of -1.4.
pub fn trust(support: u32, length: usize) -> f64 {
    match support {
        0 => 0.0,
        1 => (length as f64).powf(-1.4).min(0.3),
        _ => f64::from(support - 1) / f64::from(support),
    }
}

/// The largest [`trust`] of a segment in at most so many tasks.
pub(crate) fn most_trust(support: u32) -> f64 {
    trust(support, 2)
}

/// Units that a segment alone is expected to save: all but one of its tokens at each occurrence.
pub fn expected_savings(count: u64, support: u32, length: usize) -> f64 {
    most_savings(count, length) * trust(support, length)
}

/// Units that a segment would save if all its occurrences recurred.
///
/// A float does not overflow. Its product is monotonic even with rounding, so it bounds the saving of
/// extensions.
pub(crate) fn most_savings(count: u64, length: usize) -> f64 {
    count as f64 * length.saturating_sub(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_grows_with_support_and_one_task_is_trusted_least() {
        for length in 2..100 {
            let trusts: Vec<f64> = (0..50).map(|support| trust(support, length)).collect();
            assert!(trusts.is_sorted() && trusts[49] < 1.0, "{length}: {trusts:?}");
        }
    }

    #[test]
    fn savings_count_the_unit_that_stays() {
        assert_eq!(expected_savings(10, 2, 3), 10.0);
    }
}
