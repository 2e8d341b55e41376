//! One Python exception for each kind of core error.

use lar_core::Error;
use pyo3::PyErr;
use pyo3::exceptions::PyOSError;
use pyo3::import_exception;

import_exception!(lar.errors, OptionError);
import_exception!(lar.errors, StreamError);
import_exception!(lar.errors, VocabularyError);

/// The Python exception for a core error.
pub fn to_python(error: Error) -> PyErr {
    let message = error.to_string();
    match error {
        Error::Offsets { .. }
        | Error::Length { .. }
        | Error::UnorderedTasks { .. }
        | Error::UnorderedCandidates { .. }
        | Error::EmptyRun { .. }
        | Error::EmptyCandidate { .. }
        | Error::Limit { .. }
        | Error::LargeLimit { .. }
        | Error::OtherParse
        | Error::Gate { .. }
        | Error::EmptyStop { .. }
        | Error::TooManyPositions { .. }
        | Error::TooManyPlaces { .. }
        | Error::TooManyStreams { .. }
        | Error::TooManyRuns { .. }
        | Error::TooManyOccurrences { .. } => OptionError::new_err(message),
        Error::ShortSegment { .. }
        | Error::SegmentToken { .. }
        | Error::EqualSegments { .. }
        | Error::TooManyIds { .. }
        | Error::TooManySegmentTokens { .. }
        | Error::OtherText { .. }
        | Error::NotLearnt { .. }
        | Error::IdOutOfRange { .. } => VocabularyError::new_err(message),
        // With the system's number Python picks the kind: FileNotFoundError, PermissionError, ...
        Error::Spill { code: Some(code), .. } => PyOSError::new_err((code, message)),
        Error::Spill { .. } => PyOSError::new_err(message),
        Error::StreamEnded => StreamError::new_err(message),
    }
}
