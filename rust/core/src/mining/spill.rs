//! Folding within a bound of memory: runs that do not fit go to a temporary file.
//!
//! A full folder writes its runs to the file, partitioned by a hash of their tokens, and starts again empty.
//! Equal runs always get the same partition. At the end the partitions are merged, as many at a time as fit the
//! bound, and counts and tasks add up to what they would have been in memory.
//!
//! The bound holds while runs are folded. After [`SpillingFolder::finish`] the distinct runs are in memory, as
//! four flat arrays. There the bound limits only the index that finds equal runs and the entries of
//! occurrences, by far the larger part if runs recur. After [`SpillingFolder::into_parts`] one part at a time
//! is in memory. No run is left out: one without a candidate still counts for the branching entropies.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::mining::parts::{PartsWriter, RunParts};
use crate::mining::runs::{Room, RunFolder, Runs, Trajectories};
use crate::tokens::barriers::Barriers;

pub(crate) mod file;

use file::{MOST_PARTITIONS, SpillFile};

/// Fewest partitions of the spilled runs.
const FEWEST_PARTITIONS: usize = 64;

/// Bytes of a partition that a full folder writes together: fewer would be slow to read from a disk.
const PARTITION_BYTES: usize = 1 << 18;

/// The memory of a folder is checked each time this many tokens were added, so it may exceed its bound a
/// little.
const BLOCK_TOKENS: usize = 1 << 19;

/// The bound divided by the memory that a folder may hold: its tasks are in memory twice while it is written,
/// and so is an array while it grows.
const SHARE_OF_BOUND: usize = 2;

/// The bound divided by the bytes on disk that are merged at a time: short runs need up to four times as much
/// while they are folded.
const SHARE_OF_MERGING: usize = 4;

/// A [`RunFolder`] that can be given a bound, beyond which it spills to disk.
#[derive(Default)]
pub struct SpillingFolder {
    room: Room,
    folder: RunFolder,
    bound: Option<MemoryBound>,
}

struct MemoryBound {
    bytes: usize,
    directory: PathBuf,
    spilled: Option<SpillFile>,
}

impl SpillingFolder {
    /// A folder of at most about `bytes` bytes, which spills to a temporary file in `directory`.
    ///
    /// The default has no bound and never spills.
    pub fn bounded(bytes: usize, directory: &Path) -> Self {
        let bound = MemoryBound { bytes, directory: directory.to_path_buf(), spilled: None };
        SpillingFolder { bound: Some(bound), ..SpillingFolder::default() }
    }

    /// The folder with this much room, on disk and in memory; nothing may have been added yet.
    pub fn within(self, room: Room) -> Self {
        SpillingFolder { room, folder: RunFolder::within(room), ..self }
    }

    /// Adds every run of part of a corpus.
    ///
    /// # Errors
    /// As of [`RunFolder::add`], or if runs cannot be written to disk.
    pub fn add(&mut self, part: &Trajectories<'_>, barriers: &Barriers) -> Result<()> {
        if self.bound.is_none() {
            return self.folder.add(part, barriers);
        }
        part.check()?;
        let mut first = 0;
        for last in 1..part.offsets.len() {
            let tokens = part.offsets[last] - part.offsets[first];
            if tokens >= BLOCK_TOKENS || last + 1 == part.offsets.len() {
                self.add_block(part, first, last, barriers)?;
                first = last;
            }
        }
        Ok(())
    }

    /// Adds folded runs.
    ///
    /// # Errors
    /// If there is no room for a run, or runs cannot be written to disk.
    pub fn add_runs(&mut self, runs: &Runs) -> Result<()> {
        self.folder.add_runs(runs)?;
        self.spill_if_full()
    }

    /// The distinct runs, in no particular order if some were spilled.
    ///
    /// # Errors
    /// If runs cannot be written to disk or read again, or there is no room for the merged runs.
    pub fn finish(self) -> Result<Runs> {
        let room = self.room;
        match self.into_partitions()? {
            Folded::InMemory(runs) => Ok(runs),
            Folded::OnDisk(mut partitions) => {
                let mut all = Runs::default();
                partitions.for_each_part(room, |runs| all.append(&runs, room))?;
                Ok(all)
            }
        }
    }

    /// The distinct runs in parts that fit the bound of memory (one of 1 GiB up to 2^37 tokens); a folder that
    /// never spilled gives one part.
    ///
    /// Together they may be more than memory holds, and have more positions than there is room for in one; a
    /// folder that is to hold so many before it spills has to be [`within`](Self::within) [`Room::PARSED`]. The
    /// merged runs are written to a second temporary file, and the first ends after that.
    ///
    /// # Errors
    /// If runs cannot be written to disk or read again, or there is no room for a part.
    pub fn into_parts(self) -> Result<RunParts> {
        let room = Room { positions: self.room.positions.min(Room::SEARCHED.positions), ..self.room };
        match self.into_partitions()? {
            Folded::InMemory(runs) => Ok(RunParts::from(runs)),
            Folded::OnDisk(mut partitions) => {
                let mut parts = PartsWriter::create(partitions.file.folder())?;
                partitions.for_each_part(room, |runs| parts.write(&runs))?;
                Ok(parts.finish())
            }
        }
    }

    fn into_partitions(mut self) -> Result<Folded> {
        let runs = self.folder.finish();
        let Some(MemoryBound { bytes, spilled: Some(mut file), .. }) = self.bound.take() else {
            return Ok(Folded::InMemory(runs));
        };
        file.write(&runs)?;
        Ok(Folded::OnDisk(Partitions { file, bytes: (bytes / SHARE_OF_MERGING) as u64 }))
    }

    /// Adds trajectories `first` to `last` (exclusive) of `part`.
    fn add_block(
        &mut self,
        part: &Trajectories<'_>,
        first: usize,
        last: usize,
        barriers: &Barriers,
    ) -> Result<()> {
        let range = part.offsets[first]..part.offsets[last];
        let offsets: Vec<usize> =
            part.offsets[first..=last].iter().map(|offset| offset - range.start).collect();
        let block = Trajectories {
            tokens: &part.tokens[range.clone()],
            offsets: &offsets,
            action: &part.action[range.clone()],
            continues: part.continues.map(|may| &may[range]),
            tasks: &part.tasks[first..last],
        };
        self.folder.add(&block, barriers)?;
        self.spill_if_full()
    }

    fn spill_if_full(&mut self) -> Result<()> {
        let Some(bound) = &mut self.bound else { return Ok(()) };
        if self.folder.memory() <= bound.bytes / SHARE_OF_BOUND {
            return Ok(());
        }
        let runs = std::mem::replace(&mut self.folder, RunFolder::within(self.room)).finish();
        if bound.spilled.is_none() {
            let partitions = bound.bytes / SHARE_OF_BOUND / PARTITION_BYTES;
            let partitions = partitions.clamp(FEWEST_PARTITIONS, MOST_PARTITIONS);
            bound.spilled = Some(SpillFile::create(&bound.directory, partitions)?);
        }
        bound.spilled.as_mut().map_or(Ok(()), |file| file.write(&runs))
    }
}

/// What was folded.
enum Folded {
    InMemory(Runs),
    OnDisk(Partitions),
}

/// The spilled runs, and how many bytes of them are merged at a time.
struct Partitions {
    file: SpillFile,
    bytes: u64,
}

impl Partitions {
    /// Merges some partitions at a time, since no run is in two of them, and gives the runs away.
    fn for_each_part(&mut self, room: Room, mut visit: impl FnMut(Runs) -> Result<()>) -> Result<()> {
        // A run has more bytes on disk than positions, so this many always have room.
        let most = self.bytes.min(room.positions as u64);
        for partitions in groups_of(&self.file.sizes(), most) {
            let mut folder = RunFolder::within(room);
            let extents: Vec<_> = self.file.extents(partitions).collect();
            for extent in extents {
                self.file.read(extent, |runs| folder.add_runs(&runs))?;
            }
            visit(folder.finish())?;
        }
        Ok(())
    }
}

/// Divides numbers into ranges whose sums are at most `most`, as far as one number alone is.
fn groups_of(sizes: &[u64], most: u64) -> Vec<Range<usize>> {
    let (mut groups, mut start, mut sum) = (Vec::new(), 0, 0u64);
    for (index, &size) in sizes.iter().enumerate() {
        sum = sum.saturating_add(size);
        if sum > most && index > start {
            groups.push(start..index);
            (start, sum) = (index, size);
        }
    }
    groups.push(start..sizes.len());
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tempfile::{TempDir, tempdir};

    fn is_empty(folder: &TempDir) -> bool {
        std::fs::read_dir(folder).unwrap().next().is_none()
    }

    type Parts = Vec<(Vec<u32>, u32)>;

    fn add_all(folder: &mut SpillingFolder, parts: &Parts) -> Result<()> {
        parts.iter().try_for_each(|(tokens, task)| {
            let part = Trajectories {
                tokens,
                offsets: &[0, tokens.len()],
                action: &vec![true; tokens.len()],
                continues: None,
                tasks: &[*task],
            };
            folder.add(&part, &Barriers::new(&[0]))
        })
    }

    fn as_map(runs: &Runs) -> BTreeMap<Vec<u32>, (u64, Vec<u32>)> {
        let entry = |index: usize| {
            (runs.strings().get(index).to_vec(), (runs.count(index), runs.tasks(index).to_vec()))
        };
        (0..runs.len()).map(entry).collect()
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_a_typed_error() {
        let mut folder = SpillingFolder::bounded(0, Path::new("/nowhere/at/all"));
        let error = add_all(&mut folder, &vec![(vec![1, 2], 0)]).unwrap_err();
        assert!(matches!(error, Error::Spill { code: Some(_), .. }), "{error}");
    }

    #[test]
    fn nothing_is_left_on_disk_when_a_folder_is_dropped_half_way() {
        let scratch = tempdir().unwrap();
        let mut folder = SpillingFolder::bounded(0, scratch.path());
        add_all(&mut folder, &vec![(vec![1, 2], 0)]).unwrap();
        drop(folder);
        assert!(is_empty(&scratch));
    }

    #[test]
    fn a_part_of_many_blocks_is_spilled_on_the_way() {
        let scratch = tempdir().unwrap();
        let lengths = [BLOCK_TOKENS / 2 + 1, 7, BLOCK_TOKENS, 0, 3];
        let mut offsets = vec![0];
        offsets.extend(lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end)
        }));
        let tokens: Vec<u32> = (0..offsets[lengths.len()] as u32).map(|index| index % 97 % 13).collect();
        let part = Trajectories {
            tokens: &tokens,
            offsets: &offsets,
            action: &vec![true; tokens.len()],
            continues: Some(&tokens.iter().map(|token| token % 5 != 3).collect::<Vec<_>>()),
            tasks: &[4, 2, 0, 1, 3],
        };
        let mut spilling = SpillingFolder::bounded(0, scratch.path());
        let mut plain = SpillingFolder::default();
        for folder in [&mut spilling, &mut plain] {
            folder.add(&part, &Barriers::new(&[0])).unwrap();
        }
        assert_eq!(as_map(&spilling.finish().unwrap()), as_map(&plain.finish().unwrap()));
        assert!(is_empty(&scratch));
    }

    #[test]
    fn what_was_spilled_apart_has_no_more_room_together() {
        let scratch = tempdir().unwrap();
        let within = |positions| {
            let room = Room { positions, ..Room::SEARCHED };
            let mut folder = SpillingFolder::bounded(0, scratch.path()).within(room);
            add_all(&mut folder, &vec![(vec![1, 2, 3], 0), (vec![4, 5], 0), (vec![1, 2, 3], 1)])?;
            folder.finish()
        };
        assert_eq!(within(7).unwrap().len(), 2);
        assert_eq!(within(6), Err(Error::TooManyPositions { positions: 7, most: 6 }));
        assert!(is_empty(&scratch));
    }

    proptest! {
        #[test]
        fn spilled_equals_not_spilled(
            parts in prop::collection::vec((prop::collection::vec(0u32..5, 0..20), 0u32..4), 0..12),
            folded in prop::collection::vec((prop::collection::vec(0u32..5, 0..20), 0u32..4), 0..6),
            bytes in prop_oneof![Just(0usize), 0usize..4_000],
        ) {
            let scratch = tempdir().unwrap();
            let mut already = SpillingFolder::default();
            add_all(&mut already, &folded).unwrap();
            let already = already.finish().unwrap();
            let mut spilling = SpillingFolder::bounded(bytes, scratch.path());
            let mut plain = SpillingFolder::default();
            for folder in [&mut spilling, &mut plain] {
                add_all(folder, &parts).unwrap();
                folder.add_runs(&already).unwrap();
            }
            let (spilled, expected) = (spilling.finish().unwrap(), plain.finish().unwrap());
            prop_assert_eq!(spilled.len(), expected.len());
            prop_assert_eq!(as_map(&spilled), as_map(&expected));
            prop_assert!(is_empty(&scratch));
        }
    }
}
