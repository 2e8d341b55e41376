//! How often the token parse uses each segment of a vocabulary.

use rayon::prelude::*;

use crate::error::Result;
use crate::mining::runs::Runs;
use crate::mining::runs::parts::RunParts;
use crate::mining::select::marginals::{RUNS_A_TASK, add};
use crate::tokens::segments::Segments;
use crate::vocabulary::Vocabulary;

/// How often the token parse of all runs, with these segments as the vocabulary, uses each segment.
///
/// # Errors
/// If the segments are no vocabulary; see [`Vocabulary::new`].
pub fn count_uses(runs: &RunParts, segments: &Segments) -> Result<Vec<u64>> {
    let mut uses = vec![0; segments.len()];
    runs.for_each(|part| {
        uses = add(std::mem::take(&mut uses), uses_in(part, segments)?);
        Ok(())
    })?;
    Ok(uses)
}

fn uses_in(runs: &Runs, segments: &Segments) -> Result<Vec<u64>> {
    let (tokens, offsets) = (runs.strings().tokens(), runs.strings().offsets());
    let largest = tokens.par_iter().chain(segments.tokens()).max();
    let base_size = largest.map_or(0, |largest| largest.saturating_add(1));
    let vocabulary = Vocabulary::new(base_size, segments.clone())?;
    let none = || vec![0; segments.len()];
    let counted = |(mut uses, mut units): (Vec<u64>, Vec<u32>), run: usize| {
        for &unit in vocabulary.encode_part(tokens, offsets[run]..offsets[run + 1], &mut units) {
            if unit >= base_size {
                uses[(unit - base_size) as usize] += runs.count(run);
            }
        }
        (uses, units)
    };
    let indices = (0..runs.len()).into_par_iter().with_min_len(RUNS_A_TASK);
    Ok(indices.fold(|| (none(), Vec::new()), counted).map(|(uses, _)| uses).reduce(none, add))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mining::search::occurrences::tests::{parts, runs_of, segments};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn uses_are_those_of_the_parse(parts in parts(), segments in segments()) {
            let list: Segments = segments.iter().map(Vec::as_slice).collect();
            let vocabulary = Vocabulary::new(3, list.clone()).unwrap();
            let mut expected = vec![0; list.len()];
            for (run, count, _) in &parts {
                for unit in vocabulary.encode(run).unwrap() {
                    if unit >= 3 {
                        expected[unit as usize - 3] += count;
                    }
                }
            }
            prop_assert_eq!(count_uses(&runs_of(&parts), &list).unwrap(), expected);
        }
    }
}
