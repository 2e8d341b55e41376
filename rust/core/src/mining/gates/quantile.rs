//! A quantile of values of the runs' tokens, each of which counts as often as its run occurs.

use crate::mining::runs::Runs;

/// The smallest of the `values` at or under which at least the share `share` (0 to 1) of the tokens lies.
///
/// There is one value for each token of the distinct runs, end to end, none of them negative; tokens with NaN
/// are left out. None if all are NaN. The values' bits are counted, 16 of them at a time, so nothing is sorted
/// or copied.
pub(crate) fn quantile(runs: &Runs, values: &[f32], share: f64) -> Option<f32> {
    // The bits of floats that are not negative are in the floats' own order.
    let upper = occurrences(runs, values, |bits| Some(bits >> 16));
    let total: u64 = upper.iter().sum();
    if total == 0 {
        return None;
    }
    let aim = (share * total as f64).max(1.0);
    let (high, below) = reach(&upper, 0, aim);
    let lower = occurrences(runs, values, |bits| (bits >> 16 == high).then_some(bits & 0xffff));
    let (low, _) = reach(&lower, below, aim);
    Some(f32::from_bits(high << 16 | low))
}

/// How often each `part` of a value's bits occurs.
fn occurrences(runs: &Runs, values: &[f32], part: impl Fn(u32) -> Option<u32>) -> Vec<u64> {
    let mut occurrences = vec![0; 1 << 16];
    for (range, &count) in runs.strings().offsets().windows(2).zip(runs.counts()) {
        for value in values[range[0]..range[1]].iter().filter(|value| !value.is_nan()) {
            // The sum of -0 and 0 is 0, which has other bits.
            if let Some(part) = part((value + 0.0).to_bits()) {
                occurrences[part as usize] += count;
            }
        }
    }
    occurrences
}

/// The first place at which `below` and the occurrences up to there reach `aim`, and their sum before it.
fn reach(occurrences: &[u64], mut below: u64, aim: f64) -> (u32, u64) {
    for (place, &number) in (0..).zip(occurrences) {
        if number > 0 && (below + number) as f64 >= aim {
            return (place, below);
        }
        below += number;
    }
    // Only rounding leads here: the aim is at most the sum.
    (occurrences.iter().rposition(|&number| number > 0).unwrap_or(0) as u32, below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::segments::Segments;
    use proptest::prelude::*;

    fn runs_of(counts: &[u64]) -> Runs {
        let strings: Vec<[u32; 2]> = (0..counts.len() as u32).map(|run| [run; 2]).collect();
        let strings: Segments = strings.iter().map(<[u32; 2]>::as_slice).collect();
        let tasks: Segments = counts.iter().map(|_| [0].as_slice()).collect();
        Runs::from_parts(strings, counts.to_vec(), tasks).unwrap()
    }

    #[test]
    fn without_values_there_is_none() {
        assert_eq!(quantile(&runs_of(&[3]), &[f32::NAN; 2], 0.5), None);
    }

    proptest! {
        #[test]
        fn a_quantile_is_a_value_of_the_sorted_tokens(
            parts in prop::collection::vec((1u64..9, prop::array::uniform2(0u32..6)), 1..20),
            share in 0.0..=1.0f64,
        ) {
            let runs = runs_of(&parts.iter().map(|(count, _)| *count).collect::<Vec<_>>());
            // Some values are equal, and some differ only in their lower bits.
            let value = |&number: &u32| match number {
                0 => f32::NAN,
                1 => -0.0,
                2 => 0.0,
                _ => f32::from_bits(1.5f32.to_bits() + number),
            };
            let values: Vec<f32> = parts.iter().flat_map(|(_, pair)| pair.each_ref().map(value)).collect();
            let mut tokens: Vec<f32> = parts
                .iter()
                .flat_map(|(count, pair)| pair.iter().flat_map(|number| (0..*count).map(move |_| value(number))))
                .filter(|value| !value.is_nan())
                .collect();
            tokens.sort_unstable_by(f32::total_cmp);
            let place = ((share * tokens.len() as f64).max(1.0).ceil() as usize).saturating_sub(1);
            prop_assert_eq!(quantile(&runs, &values, share), tokens.get(place).copied());
        }
    }
}
