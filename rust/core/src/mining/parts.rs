//! Distinct runs in parts, of which one at a time has to be in memory. They can be read as often as needed.

use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::error::Result;
use crate::mining::runs::{Room, Runs, sum_of_occurrences};
use crate::mining::spill::file::SpillFile;

/// The distinct runs of a corpus in parts: no run is in two of them, and each has less than 2^32 positions.
pub struct RunParts {
    place: Place,
    tokens: u64,
    total_tokens: u64,
}

enum Place {
    /// The runs of each part.
    Memory(Runs, Vec<Range<usize>>),
    /// Where each part lies in the file.
    Disk(Mutex<SpillFile>, Vec<Range<u64>>),
}

impl RunParts {
    /// Number of parts; there is at least one.
    pub fn number(&self) -> usize {
        match &self.place {
            Place::Memory(_, parts) => parts.len(),
            Place::Disk(_, parts) => parts.len(),
        }
    }

    /// Tokens of the distinct runs of all parts.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Tokens in all occurrences of all runs.
    pub fn total_tokens(&self) -> u64 {
        self.total_tokens
    }

    /// Calls `visit` with the runs of each part, in the same order every time.
    ///
    /// # Errors
    /// The first error of `visit`, or if runs cannot be read from disk.
    pub fn for_each(&self, mut visit: impl FnMut(&Runs) -> Result<()>) -> Result<()> {
        match &self.place {
            Place::Memory(runs, parts) if parts.len() == 1 => visit(runs),
            Place::Memory(runs, parts) => parts.iter().try_for_each(|part| visit(&runs.slice(part.clone()))),
            Place::Disk(file, parts) => parts.iter().try_for_each(|part| visit(&read_part(file, part)?)),
        }
    }

    /// The runs in as few parts as possible of at most so many positions; a longer run is a part by itself.
    fn divided(runs: Runs, most: usize) -> Self {
        let (mut parts, mut start, offsets) = (Vec::new(), 0, runs.strings().offsets());
        for run in 0..runs.len() {
            if run > start && offsets[run + 1] - offsets[start] + run + 1 - start > most {
                parts.push(start..run);
                start = run;
            }
        }
        parts.push(start..runs.len());
        let (tokens, total_tokens) = (runs.strings().tokens().len() as u64, runs.total_tokens());
        RunParts { place: Place::Memory(runs, parts), tokens, total_tokens }
    }
}

/// Runs in memory: one part, unless there are 2^32 - 1 positions or more.
impl From<Runs> for RunParts {
    fn from(runs: Runs) -> Self {
        RunParts::divided(runs, Room::SEARCHED.positions)
    }
}

/// The file is locked while a part is read, not while it is visited.
fn read_part(file: &Mutex<SpillFile>, part: &Range<u64>) -> Result<Runs> {
    let mut runs = Runs::default();
    // A thread that panicked left no file that cannot be read: each part is sought anew.
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    file.read(part.clone(), |more| runs.append(&more, Room::PARSED))?;
    Ok(runs)
}

/// Writes parts to a temporary file.
pub(crate) struct PartsWriter {
    file: SpillFile,
    tokens: u64,
    total_tokens: u64,
}

impl PartsWriter {
    /// No parts yet, in a file in `folder`.
    pub(crate) fn create(folder: &Path) -> Result<Self> {
        Ok(PartsWriter { file: SpillFile::create(folder, 1)?, tokens: 0, total_tokens: 0 })
    }

    /// Appends a part.
    pub(crate) fn write(&mut self, runs: &Runs) -> Result<()> {
        self.total_tokens = sum_of_occurrences(self.total_tokens, Some(runs.total_tokens()))?;
        self.tokens += runs.strings().tokens().len() as u64;
        self.file.write(runs)
    }

    /// The parts.
    pub(crate) fn finish(self) -> RunParts {
        let PartsWriter { file, tokens, total_tokens } = self;
        let parts = file.extents(0..1).collect();
        RunParts { place: Place::Disk(Mutex::new(file), parts), tokens, total_tokens }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::mining::spill::SpillingFolder;
    use crate::tokens::segments::Segments;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tempfile::tempdir;

    type Counted = BTreeMap<Vec<u32>, (u64, Vec<u32>)>;

    fn runs_of(counted: &Counted) -> Runs {
        let strings: Segments = counted.keys().map(Vec::as_slice).collect();
        let counts = counted.values().map(|(count, _)| *count).collect();
        let tasks: Segments = counted.values().map(|(_, tasks)| tasks.as_slice()).collect();
        Runs::from_parts(strings, counts, tasks).unwrap()
    }

    /// All runs of all parts; a run that is in two of them fails the test.
    fn counted(parts: &RunParts) -> Counted {
        let mut all = Counted::new();
        let visit = |runs: &Runs| {
            for (run, tokens) in runs.strings().iter().enumerate() {
                let entry = (runs.count(run), runs.tasks(run).to_vec());
                assert_eq!(all.insert(tokens.to_vec(), entry), None);
            }
            Ok(())
        };
        parts.for_each(visit).unwrap();
        all
    }

    fn corpus() -> impl Strategy<Value = Counted> {
        let tasks = prop::collection::btree_set(0u32..6, 1..4).prop_map(|set| set.into_iter().collect());
        let run = prop::collection::vec(0u32..4, 1..12);
        prop::collection::btree_map(run, (1u64..5, tasks), 0..30)
    }

    #[test]
    fn no_runs_are_one_empty_part() {
        let (parts, mut sizes) = (RunParts::from(Runs::default()), Vec::new());
        let visit = |runs: &Runs| {
            sizes.push(runs.len());
            Ok(())
        };
        parts.for_each(visit).unwrap();
        assert_eq!((parts.number(), parts.tokens(), sizes), (1, 0, vec![0]));
    }

    #[test]
    fn an_error_of_a_visit_ends_the_visits() {
        let runs = || runs_of(&[(vec![1], (1, vec![0])), (vec![2], (1, vec![0]))].into());
        let scratch = tempdir().unwrap();
        let mut folder = SpillingFolder::bounded(0, scratch.path());
        folder.add_runs(&runs()).unwrap();
        for parts in [RunParts::divided(runs(), 2), folder.into_parts().unwrap()] {
            assert!(parts.number() > 1);
            let (refused, mut visits) = (Error::TooManyRuns { most: 0 }, 0);
            let visit = |_: &Runs| {
                visits += 1;
                Err(refused.clone())
            };
            assert_eq!(parts.for_each(visit), Err(refused.clone()));
            assert_eq!(visits, 1);
        }
    }

    #[test]
    fn parts_that_cannot_be_written_are_a_typed_error() {
        let scratch = tempdir().unwrap();
        let mut folder = SpillingFolder::bounded(0, scratch.path());
        folder.add_runs(&runs_of(&[(vec![1], (1, vec![0]))].into())).unwrap();
        scratch.close().unwrap();
        let error = folder.into_parts().err().unwrap();
        assert!(matches!(error, Error::Spill { code: Some(_), .. }), "{error}");
    }

    proptest! {
        #[test]
        fn parts_of_any_bound_hold_what_is_folded_in_memory(
            corpora in prop::collection::vec(corpus(), 0..4),
            bytes in prop_oneof![Just(0usize), 0usize..20_000],
        ) {
            let scratch = tempdir().unwrap();
            let mut bounded = SpillingFolder::bounded(bytes, scratch.path());
            let mut plain = SpillingFolder::default();
            for folder in [&mut bounded, &mut plain] {
                corpora.iter().for_each(|corpus| folder.add_runs(&runs_of(corpus)).unwrap());
            }
            let (expected, parts) = (plain.into_parts().unwrap(), bounded.into_parts().unwrap());
            prop_assert_eq!(expected.number(), 1);
            prop_assert_eq!((parts.tokens(), parts.total_tokens()), (expected.tokens(), expected.total_tokens()));
            prop_assert_eq!(counted(&parts), counted(&expected));
            prop_assert_eq!(counted(&parts), counted(&parts));
            drop(parts);
            prop_assert!(std::fs::read_dir(&scratch).unwrap().next().is_none());
        }

        #[test]
        fn parts_in_memory_are_no_larger_than_they_may_be(corpus in corpus(), most in 1usize..40) {
            let parts = RunParts::divided(runs_of(&corpus), most);
            prop_assert_eq!(counted(&parts), corpus);
            let (mut total_tokens, mut positions) = (0, Vec::new());
            parts.for_each(|runs| {
                total_tokens += runs.total_tokens();
                positions.push((runs.len(), runs.strings().tokens().len() + runs.len()));
                Ok(())
            }).unwrap();
            prop_assert_eq!(positions.len(), parts.number());
            prop_assert_eq!(total_tokens, parts.total_tokens());
            prop_assert!(positions.iter().all(|&(runs, positions)| runs <= 1 || positions <= most));
            let joined = |pair: &[(usize, usize)]| pair[0].1 + pair[1].1;
            prop_assert!(positions.windows(3).all(|parts| joined(&parts[..2]) > most || joined(&parts[1..]) > most));
        }
    }
}
