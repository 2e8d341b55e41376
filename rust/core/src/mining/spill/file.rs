//! The temporary file of spilled runs: blocks of runs, one after another, each of one partition.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::hash;
use crate::mining::runs::Runs;
use crate::tokens::segments::Segments;

/// Bytes that are written or read at a time.
const BUFFER: usize = 1 << 18;

/// A file without a name, which ends with this object, and with the process, even with one that is killed.
pub struct SpillFile {
    /// The folder of the file, for messages.
    folder: PathBuf,
    file: File,
    length: u64,
    /// For each partition, where its blocks begin.
    blocks: Vec<Vec<u64>>,
}

impl SpillFile {
    /// An empty file in `folder`.
    pub fn create(folder: &Path, partitions: usize) -> Result<Self> {
        let file = tempfile::tempfile_in(folder).map_err(|error| failure(folder, &error))?;
        Ok(SpillFile { folder: folder.into(), file, length: 0, blocks: vec![Vec::new(); partitions] })
    }

    /// Writes runs out, one block for each partition that has some of them.
    pub fn write(&mut self, runs: &Runs) -> Result<()> {
        let groups = by_partition(runs, self.blocks.len());
        self.write_blocks(runs, &groups).map_err(|error| failure(&self.folder, &error))
    }

    /// Reads the blocks of a partition back, in the order in which they were written.
    pub fn for_each_block(
        &mut self,
        partition: usize,
        mut visit: impl FnMut(Runs) -> Result<()>,
    ) -> Result<()> {
        for &start in &self.blocks[partition] {
            let runs = read_block(&self.file, start).map_err(|error| failure(&self.folder, &error))?;
            visit(runs?)?;
        }
        Ok(())
    }

    fn write_blocks(&mut self, runs: &Runs, groups: &[Vec<u32>]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.length))?;
        let mut out = BufWriter::with_capacity(BUFFER, &self.file);
        for (partition, group) in groups.iter().enumerate().filter(|(_, group)| !group.is_empty()) {
            self.blocks[partition].push(self.length);
            self.length += write_block(&mut out, runs, group)?;
        }
        out.flush()
    }
}

fn failure(folder: &Path, error: &io::Error) -> Error {
    Error::Spill {
        folder: folder.display().to_string(),
        reason: error.to_string(),
        code: error.raw_os_error(),
    }
}

/// The indices of the runs of each partition.
fn by_partition(runs: &Runs, partitions: usize) -> Vec<Vec<u32>> {
    let mut groups = vec![Vec::new(); partitions];
    for (index, run) in runs.strings().iter().enumerate() {
        groups[partition_of(run, partitions)].push(index as u32);
    }
    groups
}

/// The partition of a run, by another hash than that of a folder's index. Runs that agreed in bits of the
/// index's hash would make a slow index when their partition is merged.
fn partition_of(run: &[u32], partitions: usize) -> usize {
    (hash::of_tokens(run) % partitions as u64) as usize
}

/// One block: the number of runs; then for each its lengths in tokens and tasks, its count, and both. A run
/// that is only parsed may be longer than 32 bits can count.
fn write_block(out: &mut impl Write, runs: &Runs, group: &[u32]) -> io::Result<u64> {
    let mut bytes = size_of::<u64>();
    out.write_all(&(group.len() as u64).to_le_bytes())?;
    for &index in group {
        let (run, tasks) = (runs.strings().get(index as usize), runs.tasks(index as usize));
        for number in [run.len() as u64, tasks.len() as u64, runs.count(index as usize)] {
            out.write_all(&number.to_le_bytes())?;
        }
        for word in run.iter().chain(tasks) {
            out.write_all(&word.to_le_bytes())?;
        }
        bytes += 3 * size_of::<u64>() + (run.len() + tasks.len()) * size_of::<u32>();
    }
    Ok(bytes as u64)
}

fn read_block(mut file: &File, start: u64) -> io::Result<Result<Runs>> {
    file.seek(SeekFrom::Start(start))?;
    let mut source = BufReader::with_capacity(BUFFER, file);
    let (mut segments, mut counts, mut tasks) = (Segments::default(), Vec::new(), Segments::default());
    let mut words = Vec::new();
    for _ in 0..read_u64(&mut source)? {
        let (run_length, task_length) = (read_u64(&mut source)?, read_u64(&mut source)?);
        counts.push(read_u64(&mut source)?);
        for (length, list) in [(run_length, &mut segments), (task_length, &mut tasks)] {
            words.clear();
            for _ in 0..length {
                words.push(read_u32(&mut source)?);
            }
            list.push(&words);
        }
    }
    Ok(Runs::from_parts(segments, counts, tasks))
}

fn read_u32(source: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    source.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn read_u64(source: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    source.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}
