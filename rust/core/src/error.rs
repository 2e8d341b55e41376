//! Everything that can go wrong in this crate, one variant per kind of mistake.

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What was wrong with an argument, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Offsets must start at 0, never fall, and end at the length of what they divide.
    #[error("offsets do not divide {length} items: entry {index} is wrong")]
    Offsets {
        /// Index of the first offending offset.
        index: usize,
        /// Number of items that the offsets should divide.
        length: usize,
    },
    /// Two arrays that describe the same things differ in length.
    #[error("{what} has {found} entries where {expected} are needed")]
    Length {
        /// Which array.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length that it should have.
        expected: usize,
    },
    /// A segment of fewer than two tokens saves nothing.
    #[error("segment {segment} has {length} tokens; a segment needs at least 2")]
    ShortSegment {
        /// Index of the segment.
        segment: usize,
        /// Its length in tokens.
        length: usize,
    },
    /// A segment holds an id that is no base token.
    #[error("segment {segment} holds id {id}, outside the {base_size} base ids")]
    SegmentToken {
        /// Index of the segment.
        segment: usize,
        /// The offending id.
        id: u32,
        /// Number of base ids.
        base_size: u32,
    },
    /// Two latents would stand for the same segment.
    #[error("segments {first} and {second} are equal")]
    EqualSegments {
        /// Index of the first of them.
        first: usize,
        /// Index of the second.
        second: usize,
    },
    /// Base ids and latents together must fit 32 bits.
    #[error("{base_size} base ids and {latents} latents do not fit 32-bit ids")]
    TooManyIds {
        /// Number of base ids.
        base_size: u32,
        /// Number of latents.
        latents: usize,
    },
    /// An id lies outside the ids that the call accepts.
    #[error("id {id} at position {position} is outside the {size} ids of the vocabulary")]
    IdOutOfRange {
        /// The offending id.
        id: u32,
        /// Where it stands.
        position: usize,
        /// Number of valid ids: 0 to `size` - 1.
        size: u32,
    },
    /// A number that limits what is searched for is too small to find anything sensible.
    #[error("{what} must be at least {least}, not {found}")]
    Limit {
        /// Which of the limits.
        what: &'static str,
        /// What it is.
        found: u64,
        /// The least that it can be.
        least: u64,
    },
    /// The distinct runs have more positions than candidates can be searched in.
    #[error(
        "the distinct runs have {positions} positions (a token each, and the end of each run), more than the \
         {most} that can be searched; mine fewer trajectories, or gate more strictly by a teacher's \
         entropies, which makes runs shorter and more of them equal (more memory or machines do not help)"
    )]
    TooManyPositions {
        /// Positions so far: there may be more to come.
        positions: usize,
        /// How many can be searched.
        most: usize,
    },
    /// Distinct runs are numbered by 32 bits.
    #[error(
        "there are more than {most} distinct runs, which is as many as can be numbered; mine fewer trajectories"
    )]
    TooManyRuns {
        /// How many can be numbered.
        most: usize,
    },
    /// Counts are weighed as floats, which do not hold larger whole numbers exactly.
    #[error(
        "the occurrences of all runs hold more than {most} tokens, which is as many as can be counted exactly"
    )]
    TooManyOccurrences {
        /// How many can be counted.
        most: u64,
    },
    /// The tables of segments number their nodes by 32 bits.
    #[error(
        "the segments hold {tokens} tokens, more than the {most} that can be looked up; use fewer or shorter ones"
    )]
    TooManySegmentTokens {
        /// Tokens of all segments.
        tokens: usize,
        /// How many can be looked up.
        most: usize,
    },
    /// A run has at least one token, one occurrence and one task.
    #[error("run {run} has no {what}")]
    EmptyRun {
        /// Index of the run.
        run: usize,
        /// What is missing.
        what: &'static str,
    },
    /// A candidate occurs at least once, in at least one task.
    #[error("candidate {candidate} has no {what}")]
    EmptyCandidate {
        /// Index of the candidate.
        candidate: usize,
        /// What is missing.
        what: &'static str,
    },
    /// The tasks of a run are a set, held in ascending order.
    #[error("the tasks of run {run} are not ascending")]
    UnorderedTasks {
        /// Index of the run.
        run: usize,
    },
    /// The candidates of a list are unlike one another and in order, so that parts can be put together.
    #[error("candidate {candidate} does not come after the one before it")]
    UnorderedCandidates {
        /// Index of the candidate.
        candidate: usize,
    },
    /// Runs that had no room in memory could not be written to disk, or not be read again.
    #[error("runs cannot be spilled to {folder}: {reason}")]
    Spill {
        /// The folder of the temporary file.
        folder: String,
        /// What the system says.
        reason: String,
        /// The system's number for it, where it has one.
        code: Option<i32>,
    },
    /// A stop string without text would stop before the first unit.
    #[error("stop string {index} is empty")]
    EmptyStop {
        /// Index of the stop string.
        index: usize,
    },
    /// A stream that has ended takes no further units.
    #[error("the stream has ended: no unit can follow a stop string, a spent budget or a flush")]
    StreamEnded,
}

/// Checks that a limit of a search is not too small.
pub(crate) fn check_least(what: &'static str, found: u64, least: u64) -> Result<()> {
    if found >= least { Ok(()) } else { Err(Error::Limit { what, found, least }) }
}
