//! `RunFolder` and `Runs`.

use std::path::PathBuf;
use std::sync::Arc;

use lar_core::mining::gates::ngram_gate::{Gate, gated};
use lar_core::mining::gates::{ngram, text_cuts};
use lar_core::mining::mine::Selection as CoreSelection;
use lar_core::mining::runs::parts::RunParts;
use lar_core::mining::runs::spill::{MemoryBound, SpillingFolder};
use lar_core::mining::runs::{Runs as CoreRuns, Trajectories};
use lar_core::mining::search::find_candidates;
use lar_core::mining::search::occurrences;
use lar_core::mining::select::uses::count_uses;
use lar_core::tokens::barriers::Barriers;
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::arrays::{contiguous, copied, flags, offsets_from, offsets_to, segments_from, token_bytes_from};
use crate::candidates::Candidates;
use crate::errors::{OptionError, to_python};
use crate::limits::Limits;
use crate::numbers::Number;
use crate::selection::Selection;
use crate::threads::detached;

type RunArrays<'py> = (
    Bound<'py, PyArray1<u32>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<u64>>,
    Bound<'py, PyArray1<u32>>,
    Bound<'py, PyArray1<i64>>,
);

#[pyclass(module = "lar._core")]
pub struct RunFolder {
    folder: Option<SpillingFolder>,
    barriers: Barriers,
}

#[pymethods]
impl RunFolder {
    #[new]
    #[pyo3(signature = (barriers, bound=None))]
    fn new(barriers: PyReadonlyArray1<'_, u32>, bound: Option<(Number<usize>, PathBuf)>) -> PyResult<Self> {
        let bound = bound.map(|(bytes, directory)| MemoryBound { bytes: bytes.0, directory });
        let folder = Some(SpillingFolder::within(bound));
        Ok(RunFolder { folder, barriers: Barriers::new(contiguous(&barriers)?).map_err(to_python)? })
    }

    #[pyo3(signature = (tokens, offsets, action, tasks, continues=None))]
    fn add(
        &mut self,
        py: Python<'_>,
        tokens: PyReadonlyArray1<'_, u32>,
        offsets: PyReadonlyArray1<'_, i64>,
        action: PyReadonlyArray1<'_, bool>,
        tasks: PyReadonlyArray1<'_, u32>,
        continues: Option<PyReadonlyArray1<'_, bool>>,
    ) -> PyResult<()> {
        let folder = self.folder.as_mut().ok_or_else(finished)?;
        let offsets = offsets_from(&offsets)?;
        let part = Trajectories {
            tokens: contiguous(&tokens)?,
            offsets: &offsets,
            action: flags(&action)?,
            continues: continues.as_ref().map(flags).transpose()?,
            tasks: contiguous(&tasks)?,
        };
        let barriers = &self.barriers;
        detached(py, || folder.add(&part, barriers)).map_err(to_python)
    }

    fn add_runs(&mut self, py: Python<'_>, runs: &Runs) -> PyResult<()> {
        let folder = self.folder.as_mut().ok_or_else(finished)?;
        detached(py, || folder.add_runs(&runs.runs)).map_err(to_python)
    }

    fn finish(&mut self, py: Python<'_>) -> PyResult<Runs> {
        let folder = self.folder.take().ok_or_else(finished)?;
        Ok(Runs { runs: Arc::new(detached(py, || folder.finish()).map_err(to_python)?) })
    }
}

fn finished() -> PyErr {
    OptionError::new_err("the folder is finished: its runs have been taken")
}

#[pyclass(module = "lar._core", frozen)]
pub struct Runs {
    runs: Arc<RunParts>,
}

#[pymethods]
impl Runs {
    #[staticmethod]
    fn from_arrays(
        py: Python<'_>,
        tokens: PyReadonlyArray1<'_, u32>,
        offsets: PyReadonlyArray1<'_, i64>,
        counts: PyReadonlyArray1<'_, u64>,
        tasks: PyReadonlyArray1<'_, u32>,
        task_offsets: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Self> {
        let segments = segments_from(&tokens, &offsets)?;
        let tasks = segments_from(&tasks, &task_offsets)?;
        let counts = contiguous(&counts)?.to_vec();
        let runs = detached(py, || CoreRuns::from_parts(segments, counts, tasks)).map_err(to_python)?;
        Ok(Runs { runs: Arc::new(runs.into()) })
    }

    #[staticmethod]
    fn weighted(py: Python<'_>, parts: Vec<(PyRef<'_, Runs>, Number<u64>)>) -> PyResult<Self> {
        let parts: Vec<_> = parts.iter().map(|(runs, factor)| (Arc::clone(&runs.runs), factor.0)).collect();
        let parts: Vec<_> = parts.iter().map(|(runs, factor)| (runs.as_ref(), *factor)).collect();
        Ok(Runs { runs: Arc::new(detached(py, || RunParts::weighted(&parts)).map_err(to_python)?) })
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        Ok((py.get_type::<Self>().getattr("from_arrays")?, self.to_arrays(py)?.into_pyobject(py)?))
    }

    fn __len__(&self) -> usize {
        self.runs.len()
    }

    #[getter]
    fn distinct_tokens(&self) -> u64 {
        self.runs.tokens()
    }

    #[getter]
    fn total_tokens(&self) -> u64 {
        self.runs.total_tokens()
    }

    fn to_arrays<'py>(&self, py: Python<'py>) -> PyResult<RunArrays<'py>> {
        let runs = detached(py, || self.runs.whole()).map_err(to_python)?;
        let (segments, tasks) = (runs.strings(), runs.task_sets());
        Ok((
            copied(py, segments.tokens())?,
            offsets_to(py, segments.offsets())?,
            copied(py, runs.counts())?,
            copied(py, tasks.tokens())?,
            offsets_to(py, tasks.offsets())?,
        ))
    }

    fn ngram_entropies<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let entropies = || ngram::ngram_entropies(&*self.runs.whole()?);
        Ok(detached(py, entropies).map_err(to_python)?.into_pyarray(py))
    }

    fn gated_by_ngrams(&self, py: Python<'_>, most: f64, is_quantile: bool) -> PyResult<(Runs, Option<f32>)> {
        let gate = if is_quantile { Gate::Quantile(most) } else { Gate::Nats(most as f32) };
        let (runs, nats) = detached(py, || gated(&self.runs, gate)).map_err(to_python)?;
        Ok((Runs { runs: Arc::new(runs) }, nats))
    }

    #[pyo3(signature = (most, token_bytes=None))]
    fn sample(
        &self,
        py: Python<'_>,
        most: Number<u64>,
        token_bytes: Option<(PyReadonlyArray1<'_, u8>, PyReadonlyArray1<'_, i64>)>,
    ) -> PyResult<Runs> {
        let bytes = token_bytes.map(|(bytes, offsets)| token_bytes_from(&bytes, &offsets)).transpose()?;
        let draw = || match &bytes {
            Some(bytes) => self.runs.sample_text(most.0, bytes),
            None => self.runs.sample(most.0),
        };
        let runs = detached(py, draw).map_err(to_python)?;
        Ok(Runs { runs: Arc::new(runs.into()) })
    }

    fn cut_after(
        &self,
        py: Python<'_>,
        token_bytes: PyReadonlyArray1<'_, u8>,
        byte_offsets: PyReadonlyArray1<'_, i64>,
        text: &[u8],
    ) -> PyResult<Runs> {
        let bytes = token_bytes_from(&token_bytes, &byte_offsets)?;
        let cut = detached(py, || text_cuts::cut_after(&self.runs, &bytes, text)).map_err(to_python)?;
        Ok(Runs { runs: cut.map_or_else(|| Arc::clone(&self.runs), Arc::new) })
    }

    fn candidates(&self, py: Python<'_>, limits: &Limits) -> PyResult<Candidates> {
        let find = || find_candidates(&self.runs, &limits.limits);
        Ok(Candidates { candidates: Arc::new(detached(py, find).map_err(to_python)?) })
    }

    fn count_occurrences<'py>(
        &self,
        py: Python<'py>,
        tokens: PyReadonlyArray1<'_, u32>,
        offsets: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Bound<'py, PyArray1<u64>>> {
        let segments = segments_from(&tokens, &offsets)?;
        let counts = detached(py, || occurrences::count_occurrences(&self.runs, &segments));
        Ok(counts.map_err(to_python)?.into_pyarray(py))
    }

    fn count_uses<'py>(
        &self,
        py: Python<'py>,
        tokens: PyReadonlyArray1<'_, u32>,
        offsets: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Bound<'py, PyArray1<u64>>> {
        let segments = segments_from(&tokens, &offsets)?;
        let uses = detached(py, || count_uses(&self.runs, &segments)).map_err(to_python)?;
        Ok(uses.into_pyarray(py))
    }

    fn as_candidates(
        &self,
        py: Python<'_>,
        tokens: PyReadonlyArray1<'_, u32>,
        offsets: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Candidates> {
        let segments = segments_from(&tokens, &offsets)?;
        let found = detached(py, || occurrences::as_candidates(&self.runs, &segments)).map_err(to_python)?;
        Ok(Candidates { candidates: Arc::new(found) })
    }

    #[pyo3(signature = (candidates, size, held=None))]
    fn select(
        &self,
        py: Python<'_>,
        candidates: &Candidates,
        size: Number<usize>,
        held: Option<PyReadonlyArray1<'_, bool>>,
    ) -> PyResult<Selection> {
        let (runs, pool) = (Arc::clone(&self.runs), Arc::clone(&candidates.candidates));
        let held = match &held {
            Some(held) => flags(held)?.to_vec(),
            None => vec![false; pool.len()],
        };
        let choose = || CoreSelection::choose_holding(runs, pool, held, size.0);
        Ok(Selection { selection: detached(py, choose).map_err(to_python)? })
    }
}
