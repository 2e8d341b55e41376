//! Mining gives the same result for any number of threads and any order of the runs, which depends on how
//! parts of a corpus were folded.

use std::sync::Arc;

use lar_core::Segments;
use lar_core::mining::gates::ngram::ngram_entropies;
use lar_core::mining::mine::Selection;
use lar_core::mining::runs::parts::RunParts;
use lar_core::mining::runs::{RunFolder, Runs, Trajectories};
use lar_core::mining::search::candidates::Candidates;
use lar_core::mining::search::find_candidates;
use lar_core::mining::search::limits::Limits;
use lar_core::tokens::barriers::Barriers;
use proptest::prelude::*;

fn fold(parts: &[(Vec<u32>, u32)]) -> Runs {
    let mut folder = RunFolder::default();
    for (tokens, task) in parts {
        let part = Trajectories {
            tokens,
            offsets: &[0, tokens.len()],
            action: &vec![true; tokens.len()],
            continues: None,
            tasks: &[*task],
        };
        folder.add(&part, &Barriers::new(&[0]).unwrap()).unwrap();
    }
    folder.finish()
}

/// The runs in the given order.
fn reordered(runs: &Runs, order: &[usize]) -> Runs {
    let segments: Segments = order.iter().map(|&run| runs.strings().get(run)).collect();
    let tasks: Segments = order.iter().map(|&run| runs.tasks(run)).collect();
    let counts = order.iter().map(|&run| runs.count(run)).collect();
    Runs::from_parts(segments, counts, tasks).unwrap()
}

/// The candidates of the runs, and those that are chosen with their uses.
fn mined(runs: Runs, size: usize) -> (Arc<Candidates>, Vec<(usize, u64)>) {
    let runs = Arc::new(RunParts::from(runs));
    let limits = Limits { min_count: 2, min_support: 1, max_length: 24, most: 50 };
    let candidates = Arc::new(find_candidates(&runs, &limits).unwrap());
    let selection = Selection::choose(runs, Arc::clone(&candidates), size).unwrap();
    (candidates, selection.chosen().iter().copied().zip(selection.uses().unwrap()).collect())
}

/// The bits of each run's entropies, in which NaN equals itself.
fn entropies_by_run(runs: &Runs) -> Vec<Vec<u32>> {
    let bits: Vec<u32> = ngram_entropies(runs).unwrap().iter().map(|entropy| entropy.to_bits()).collect();
    runs.strings().offsets().windows(2).map(|range| bits[range[0]..range[1]].to_vec()).collect()
}

proptest! {
    #[test]
    fn the_order_of_the_runs_changes_nothing(
        (parts, seed) in (
            prop::collection::vec((prop::collection::vec(0u32..4, 0..24), 0u32..3), 0..16),
            any::<u64>(),
        ),
        size in 1usize..6,
    ) {
        let runs = fold(&parts);
        let mut order: Vec<usize> = (0..runs.len()).collect();
        order.sort_by_key(|&run| (run as u64 + 1).wrapping_mul(seed | 1).rotate_left(32));
        let other = reordered(&runs, &order);

        let entropies = entropies_by_run(&runs);
        let expected: Vec<_> = order.iter().map(|&run| entropies[run].clone()).collect();
        prop_assert_eq!(entropies_by_run(&other), expected);
        prop_assert_eq!(mined(other, size), mined(runs, size));
    }

    #[test]
    fn the_number_of_threads_changes_nothing(
        parts in prop::collection::vec((prop::collection::vec(0u32..4, 0..24), 0u32..3), 0..16),
        size in 1usize..6,
    ) {
        let mine = || (fold(&parts), mined(fold(&parts), size));
        let with = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(mine);
        prop_assert_eq!(with(1), with(3));
    }
}
