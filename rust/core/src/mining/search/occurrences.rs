//! How often given segments occur in the runs of a corpus, and in how many tasks.

use crate::error::Result;
use crate::mining::runs::parts::RunParts;
use crate::mining::search::candidates::Candidates;
use crate::mining::search::counting::Counter;
use crate::tokens::segments::Segments;

/// The occurrences of each segment in all runs, overlapping ones included.
///
/// Of equal segments, the first has all occurrences; segments of less than two tokens have none.
///
/// # Errors
/// If the segments hold more tokens than can be looked up or an id that no run can have, or runs cannot be read
/// from disk.
pub fn count_occurrences(runs: &RunParts, segments: &Segments) -> Result<Vec<u64>> {
    Ok(count(runs, segments, 0)?.0)
}

/// The segments that occur in the runs as candidates, ascending, with their occurrences and supports.
///
/// Segments may be equal, and be in any order; those that occur nowhere are left out.
///
/// # Errors
/// As of [`count_occurrences`].
pub fn as_candidates(runs: &RunParts, segments: &Segments) -> Result<Candidates> {
    let (counts, supports) = count(runs, segments, u32::MAX)?;
    let mut order: Vec<usize> = (0..segments.len()).filter(|&index| counts[index] > 0).collect();
    order.sort_unstable_by_key(|&index| segments.get(index));
    Ok(order.into_iter().map(|index| (segments.get(index), counts[index], supports[index])).collect())
}

/// The occurrences of each segment, and its tasks up to `most_tasks`.
fn count(runs: &RunParts, segments: &Segments, most_tasks: u32) -> Result<(Vec<u64>, Vec<u32>)> {
    let mut counter = Counter::new(segments, most_tasks)?;
    runs.for_each(|part| {
        counter.add(part);
        Ok(())
    })?;
    Ok(counter.finish())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::mining::runs::Runs;
    use crate::mining::search::find_candidates;
    use crate::mining::search::limits::Limits;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn an_id_that_no_run_can_have_is_refused() {
        let segments = Segments::from_flat(vec![1, u32::MAX], vec![0, 2]).unwrap();
        let found = count_occurrences(&runs_of(&[(vec![1, 2], 1, 0)]), &segments);
        assert!(matches!(found, Err(crate::error::Error::IdOutOfRange { id: u32::MAX, .. })));
    }

    pub(crate) fn runs_of(parts: &[(Vec<u32>, u64, u32)]) -> RunParts {
        let strings = parts.iter().map(|(run, ..)| run.as_slice()).collect();
        let tasks = parts.iter().map(|(_, _, task)| [*task]).collect::<Vec<_>>();
        let tasks = tasks.iter().map(<[u32; 1]>::as_slice).collect();
        Runs::from_parts(strings, parts.iter().map(|part| part.1).collect(), tasks).unwrap().into()
    }

    pub(crate) fn parts() -> impl Strategy<Value = Vec<(Vec<u32>, u64, u32)>> {
        prop::collection::vec((prop::collection::vec(0u32..3, 1..20), 1u64..5, 0u32..4), 0..8)
    }

    pub(crate) fn segments() -> impl Strategy<Value = BTreeSet<Vec<u32>>> {
        prop::collection::btree_set(prop::collection::vec(0u32..3, 2..5), 0..8)
    }

    proptest! {
        #[test]
        fn occurrences_and_tasks_are_those_of_a_search(parts in parts(), segments in segments()) {
            let list: Segments = segments.iter().rev().map(Vec::as_slice).collect();
            let expected: Vec<(Vec<u32>, u64, u32)> = segments
                .iter()
                .map(|segment| {
                    let times = |run: &[u32]| run.windows(segment.len()).filter(|part| part == segment).count();
                    let count = parts.iter().map(|(run, count, _)| times(run) as u64 * count).sum();
                    let holds = |part: &&(Vec<u32>, u64, u32)| times(&part.0) > 0;
                    let tasks: BTreeSet<u32> = parts.iter().filter(holds).map(|part| part.2).collect();
                    (segment.clone(), count, tasks.len() as u32)
                })
                .filter(|&(_, count, _)| count > 0)
                .collect();
            let found = as_candidates(&runs_of(&parts), &list).unwrap();
            let found: Vec<_> =
                (0..found.len()).map(|i| found.get(i)).map(|(s, c, t)| (s.to_vec(), c, t)).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn found_candidates_have_their_own_frequencies(parts in parts()) {
            let runs = runs_of(&parts);
            let limits = Limits { min_count: 1, min_support: 1, max_length: 6, most: 1000 };
            let candidates = find_candidates(&runs, &limits).unwrap();
            prop_assert_eq!(as_candidates(&runs, candidates.segments()).unwrap(), candidates);
        }
    }
}
