//! The errors of this crate, one variant for each kind of mistake.

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An invalid argument or a limit, with its position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Offsets must start at 0, never decrease, and end at the number of items that they divide.
    #[error("offsets do not divide {length} items: entry {index} is wrong")]
    Offsets {
        /// Index of the first wrong offset.
        index: usize,
        /// Number of items that the offsets should divide.
        length: usize,
    },
    /// Two arrays that describe the same items differ in length.
    #[error("{what} has {found} entries where {expected} are needed")]
    Length {
        /// Name of the array.
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
    /// A segment contains an id that is not a base id.
    #[error("segment {segment} holds id {id}, outside the {base_size} base ids")]
    SegmentToken {
        /// Index of the segment.
        segment: usize,
        /// The wrong id.
        id: u32,
        /// Number of base ids.
        base_size: u32,
    },
    /// Two segments are equal, but each latent needs its own.
    #[error("segments {first} and {second} are equal")]
    EqualSegments {
        /// Index of the first segment.
        first: usize,
        /// Index of the second segment.
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
    /// An id is outside the ids that the call accepts.
    #[error("id {id} at position {position} is outside the {size} valid ids")]
    IdOutOfRange {
        /// The wrong id.
        id: u32,
        /// Its position.
        position: usize,
        /// Number of valid ids: 0 to `size` - 1.
        size: u32,
    },
    /// The bytes of base tokens are not the text that they were made of, or there is no such text.
    #[error("the base tokens of {text:?} are not those of its bytes")]
    OtherText {
        /// The text.
        text: String,
    },
    /// The base tokens of a text are needed, but were not given.
    #[error("the base tokens of {text:?} have not been learnt")]
    NotLearnt {
        /// The text.
        text: String,
    },
    /// A plan was read, or texts were encoded, for one parse, and another was asked to go on with them.
    #[error("the conversations or texts are those of another parse")]
    OtherParse,
    /// A gate is no number that entropies can be compared with, or no quantile.
    #[error("a gate of {found} is not {expected}")]
    Gate {
        /// The gate, as text: errors can be compared, and NaN cannot.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A limit of a search is too small.
    #[error("{what} must be at least {least}, not {found}")]
    Limit {
        /// Name of the limit.
        what: &'static str,
        /// Its value.
        found: u64,
        /// Its minimum.
        least: u64,
    },
    /// A limit of a search is too large.
    #[error("{what} must be at most {most}, not {found}")]
    LargeLimit {
        /// Name of the limit.
        what: &'static str,
        /// Its value.
        found: u64,
        /// Its maximum.
        most: u64,
    },
    /// The distinct runs have more positions than an exact search supports.
    #[error(
        "the distinct runs have {positions} positions (one for each token, and one for the end of each run), but \
         at most {most} can be numbered; mine fewer trajectories, or gate by the entropies of a teacher \
         (more memory or machines do not help)"
    )]
    TooManyPositions {
        /// Positions counted so far; there may be more.
        positions: usize,
        /// Maximum number of positions.
        most: usize,
    },
    /// One token is at more places of the distinct runs than n-gram entropies support.
    #[error(
        "one token is at {places} places of the distinct runs, but n-gram entropies support {most}; a smaller \
         bound of memory divides the runs into smaller parts, each with entropies of its own"
    )]
    TooManyPlaces {
        /// Places of that token.
        places: usize,
        /// Maximum number of places.
        most: usize,
    },
    /// Distinct runs are numbered by 32 bits.
    #[error("there are more than {most} distinct runs, the maximum; mine fewer trajectories")]
    TooManyRuns {
        /// Maximum number of runs.
        most: usize,
    },
    /// Counts are weighted as floats, which represent integers exactly only up to this size.
    #[error(
        "all occurrences of the runs together have more than {most} tokens, the most that can be counted exactly"
    )]
    TooManyOccurrences {
        /// Maximum number of tokens.
        most: u64,
    },
    /// The tables of segments number their nodes by 32 bits.
    #[error(
        "the segments have {tokens} tokens together, but at most {most} are supported; use fewer or shorter ones"
    )]
    TooManySegmentTokens {
        /// Number of tokens of all segments.
        tokens: usize,
        /// Maximum number of tokens.
        most: usize,
    },
    /// A run has at least one token, one occurrence and one task.
    #[error("run {run} has no {what}")]
    EmptyRun {
        /// Index of the run.
        run: usize,
        /// The missing part.
        what: &'static str,
    },
    /// A candidate occurs at least once, in at least one task.
    #[error("candidate {candidate} has no {what}")]
    EmptyCandidate {
        /// Index of the candidate.
        candidate: usize,
        /// The missing part.
        what: &'static str,
    },
    /// The tasks of a run must be distinct and in ascending order.
    #[error("the tasks of run {run} are not ascending")]
    UnorderedTasks {
        /// Index of the run.
        run: usize,
    },
    /// The candidates of a list must be distinct and in order, so that lists can be merged.
    #[error("candidate {candidate} does not come after the one before it")]
    UnorderedCandidates {
        /// Index of the candidate.
        candidate: usize,
    },
    /// Runs could not be written to disk when memory was full, or not read again.
    #[error("runs cannot be {step} {folder}: {reason}")]
    Spill {
        /// What was tried, with its preposition.
        step: &'static str,
        /// The folder of the temporary file.
        folder: String,
        /// The system's message.
        reason: String,
        /// The system's error number, if it has one.
        code: Option<i32>,
    },
    /// There is no memory for the streams of so many requests.
    #[error("there is no memory for the streams of {requests} requests")]
    TooManyStreams {
        /// Number of requests.
        requests: usize,
    },
    /// A stop string is empty, which would stop before the first unit.
    #[error("stop string {index} is empty")]
    EmptyStop {
        /// Index of the stop string.
        index: usize,
    },
    /// A unit was pushed to a stream that has ended.
    #[error("the stream has ended: no unit can follow a stop string, a spent budget or a flush")]
    StreamEnded,
}

/// Checks that a limit of a search is not too small.
pub(crate) fn check_least(what: &'static str, found: u64, least: u64) -> Result<()> {
    if found >= least { Ok(()) } else { Err(Error::Limit { what, found, least }) }
}

/// Checks that a limit of a search is not too large.
pub(crate) fn check_most(what: &'static str, found: u64, most: u64) -> Result<()> {
    if found <= most { Ok(()) } else { Err(Error::LargeLimit { what, found, most }) }
}
