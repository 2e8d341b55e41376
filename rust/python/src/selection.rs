//! `Selection`.

use std::sync::Arc;

use lar_core::mining::mine::{Audited, Selection as CoreSelection};
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::arrays::{copied, flags, offsets_to};
use crate::candidates::Candidates;
use crate::errors::to_python;
use crate::threads::detached;

type SegmentArrays<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<i64>>);

type ChosenArrays<'py> = (
    Bound<'py, PyArray1<u32>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<u64>>,
    Bound<'py, PyArray1<u32>>,
    Bound<'py, PyArray1<u64>>,
);

#[pyclass(module = "lar._core", frozen)]
pub struct Selection {
    pub(crate) selection: CoreSelection,
}

#[pymethods]
impl Selection {
    fn __len__(&self) -> usize {
        self.selection.len()
    }

    #[getter]
    fn pool(&self) -> Candidates {
        Candidates { candidates: Arc::clone(self.selection.pool()) }
    }

    fn segments<'py>(&self, py: Python<'py>) -> PyResult<SegmentArrays<'py>> {
        let segments = self.selection.segments();
        Ok((copied(py, segments.tokens())?, offsets_to(py, segments.offsets())?))
    }

    fn to_arrays<'py>(&self, py: Python<'py>) -> PyResult<ChosenArrays<'py>> {
        let uses = detached(py, || self.selection.uses()).map_err(to_python)?;
        let (pool, chosen) = (self.selection.pool(), self.selection.chosen());
        let counts: Vec<u64> = chosen.iter().map(|&candidate| pool.counts()[candidate]).collect();
        let supports: Vec<u32> = chosen.iter().map(|&candidate| pool.supports()[candidate]).collect();
        let (tokens, offsets) = self.segments(py)?;
        Ok((tokens, offsets, counts.into_pyarray(py), supports.into_pyarray(py), uses.into_pyarray(py)))
    }

    fn without(&self, py: Python<'_>, dropped: PyReadonlyArray1<'_, bool>) -> PyResult<Self> {
        let dropped = flags(&dropped)?;
        let selection = detached(py, || self.selection.without(dropped)).map_err(to_python)?;
        Ok(Selection { selection })
    }

    fn audited(&self, py: Python<'_>, fails: Bound<'_, PyAny>) -> PyResult<(Self, usize, usize)> {
        let mut audited = Audited::none_of(self.selection.clone());
        // The callback runs on the calling thread: one of a pool may hold no lock while it waits, and the callback may
        // hold any.
        loop {
            let failed = ask(&fails, &audited.selection)?;
            if detached(py, || audited.add(&failed)).map_err(to_python)? {
                break;
            }
        }
        Ok((Selection { selection: audited.selection }, audited.dropped, audited.audits))
    }
}

/// Calls a Python callback with a selection; returns for each of its segments whether it fails.
fn ask(fails: &Bound<'_, PyAny>, selection: &CoreSelection) -> PyResult<Vec<bool>> {
    let answer = fails.call1((Selection { selection: selection.clone() },))?;
    let answer: PyReadonlyArray1<'_, bool> = answer.extract()?;
    Ok(flags(&answer)?.to_vec())
}
