//! `Candidates`.

use std::sync::Arc;

use lar_core::mining::search::candidates::Candidates as CoreCandidates;
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::arrays::{contiguous, copied, flags, offsets_to, segments_from, token_bytes_from};
use crate::errors::to_python;
use crate::numbers::Number;
use crate::threads::detached;

type CandidateArrays<'py> = (
    Bound<'py, PyArray1<u32>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<u64>>,
    Bound<'py, PyArray1<u32>>,
);

#[pyclass(module = "lar._core", frozen)]
pub struct Candidates {
    pub(crate) candidates: Arc<CoreCandidates>,
}

#[pymethods]
impl Candidates {
    #[staticmethod]
    fn from_arrays(
        py: Python<'_>,
        tokens: PyReadonlyArray1<'_, u32>,
        offsets: PyReadonlyArray1<'_, i64>,
        counts: PyReadonlyArray1<'_, u64>,
        supports: PyReadonlyArray1<'_, u32>,
    ) -> PyResult<Self> {
        let segments = segments_from(&tokens, &offsets)?;
        let (counts, supports) = (contiguous(&counts)?.to_vec(), contiguous(&supports)?.to_vec());
        let candidates =
            detached(py, || CoreCandidates::from_parts(segments, counts, supports)).map_err(to_python)?;
        Ok(Candidates { candidates: Arc::new(candidates) })
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        Ok((py.get_type::<Self>().getattr("from_arrays")?, self.to_arrays(py)?.into_pyobject(py)?))
    }

    fn __len__(&self) -> usize {
        self.candidates.len()
    }

    fn to_arrays<'py>(&self, py: Python<'py>) -> PyResult<CandidateArrays<'py>> {
        let segments = self.candidates.segments();
        Ok((
            copied(py, segments.tokens())?,
            offsets_to(py, segments.offsets())?,
            copied(py, self.candidates.counts())?,
            copied(py, self.candidates.supports())?,
        ))
    }

    #[staticmethod]
    fn best(py: Python<'_>, parts: Vec<PyRef<'_, Candidates>>, most: Number<usize>) -> Candidates {
        let parts: Vec<_> = parts.iter().map(|part| Arc::clone(&part.candidates)).collect();
        let best = || CoreCandidates::best(parts.iter().map(Arc::as_ref), most.0);
        Candidates { candidates: Arc::new(detached(py, best)) }
    }

    fn union(&self, py: Python<'_>, other: &Candidates) -> Candidates {
        Candidates { candidates: Arc::new(detached(py, || self.candidates.union(&other.candidates))) }
    }

    fn are_whole_characters<'py>(
        &self,
        py: Python<'py>,
        token_bytes: PyReadonlyArray1<'_, u8>,
        byte_offsets: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Bound<'py, PyArray1<bool>>> {
        let bytes = token_bytes_from(&token_bytes, &byte_offsets)?;
        let whole = detached(py, || self.candidates.are_whole_characters(&bytes)).map_err(to_python)?;
        Ok(whole.into_pyarray(py))
    }

    fn filter(&self, py: Python<'_>, keep: PyReadonlyArray1<'_, bool>) -> PyResult<Candidates> {
        let keep = flags(&keep)?;
        let kept = detached(py, || self.candidates.filter(keep)).map_err(to_python)?;
        Ok(Candidates { candidates: Arc::new(kept) })
    }
}
