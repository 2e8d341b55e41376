//! Mining gives the same result with its runs in memory and in parts on disk, within any bound.

use std::path::Path;
use std::sync::Arc;

use lar_core::mining::mine::{MiningOptions, Selection, mine};
use lar_core::mining::runs::Trajectories;
use lar_core::mining::runs::parts::RunParts;
use lar_core::mining::runs::spill::{MemoryBound, SpillingFolder};
use lar_core::mining::search::limits::Limits;
use lar_core::mining::search::occurrences::{as_candidates, count_occurrences};
use lar_core::tokens::barriers::Barriers;
use lar_core::tokens::bytes::TokenBytes;
use lar_core::{Result, Segments};
use proptest::prelude::*;
use tempfile::tempdir;

type Parts = Vec<(Vec<u32>, u32)>;

/// The runs of trajectories with their tasks, within so many bytes.
fn fold(parts: &Parts, bytes: Option<usize>, directory: &Path) -> Arc<RunParts> {
    let bound = bytes.map(|bytes| MemoryBound { bytes, directory: directory.to_path_buf() });
    let mut folder = SpillingFolder::within(bound);
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
    Arc::new(folder.finish().unwrap())
}

/// Segments of an even sum fail.
fn audit(selection: &Selection) -> Result<Vec<bool>> {
    Ok(selection.segments().iter().map(|segment| segment.iter().sum::<u32>() % 2 == 0).collect())
}

/// The segments that are mined, with their uses, and the pool's frequencies.
fn mined(runs: &Arc<RunParts>, size: usize) -> impl PartialEq + std::fmt::Debug {
    let bytes = TokenBytes::new(b"abcd".to_vec(), (0..=4).collect()).unwrap();
    let limits = Limits { min_count: 2, min_support: 1, max_length: 24, most: 50 };
    let selection = mine(runs, Arc::clone(runs), &bytes, &MiningOptions { size, limits }, audit).unwrap();
    (selection.segments(), selection.uses().unwrap(), selection.pool().as_ref().clone())
}

proptest! {
    #[test]
    fn parts_and_threads_change_nothing(
        parts in prop::collection::vec((prop::collection::vec(0u32..4, 0..24), 0u32..3), 0..16),
        bytes in prop_oneof![Just(0usize), 0usize..3_000],
        threads in 1usize..4,
        size in 1usize..6,
    ) {
        let scratch = tempdir().unwrap();
        let (whole, bounded) =
            (fold(&parts, None, scratch.path()), fold(&parts, Some(bytes), scratch.path()));
        prop_assert_eq!(whole.number(), 1);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        prop_assert_eq!(pool.install(|| mined(&bounded, size)), mined(&whole, size));

        let segments: Segments = [[1, 2].as_slice(), &[2, 1, 3], &[3, 3]].into_iter().collect();
        let frequencies =
            |runs: &RunParts| (count_occurrences(runs, &segments), as_candidates(runs, &segments));
        prop_assert_eq!(frequencies(&bounded), frequencies(&whole));
        drop(bounded);
        prop_assert!(std::fs::read_dir(&scratch).unwrap().next().is_none());
    }
}
