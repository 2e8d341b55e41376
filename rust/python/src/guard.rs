//! `GuardTable` and `CanonicalGuard`.

use std::sync::Arc;

use lar_core::tokens::barriers::Barriers;
use lar_core::vocabulary::guard::{CanonicalGuard as CoreGuard, GuardTable as CoreTable};
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::arrays::{contiguous, token_bytes_from};
use crate::errors::to_python;
use crate::ids::Id;
use crate::vocabulary::Vocabulary;

#[pyclass(module = "lar._core", frozen)]
pub struct GuardTable {
    table: Arc<CoreTable>,
}

#[pymethods]
impl GuardTable {
    #[new]
    fn new(
        py: Python<'_>,
        vocabulary: &Vocabulary,
        token_bytes: PyReadonlyArray1<'_, u8>,
        byte_offsets: PyReadonlyArray1<'_, i64>,
        barriers: PyReadonlyArray1<'_, u32>,
    ) -> PyResult<Self> {
        let vocabulary = Arc::clone(&vocabulary.vocabulary);
        let bytes = token_bytes_from(&token_bytes, &byte_offsets)?;
        let barriers = Barriers::new(contiguous(&barriers)?).map_err(to_python)?;
        let table = py.detach(|| CoreTable::new(vocabulary, bytes, barriers)).map_err(to_python)?;
        Ok(GuardTable { table: Arc::new(table) })
    }

    fn guard(&self) -> CanonicalGuard {
        CanonicalGuard { guard: CoreGuard::new(Arc::clone(&self.table)) }
    }
}

#[pyclass(module = "lar._core")]
pub struct CanonicalGuard {
    guard: CoreGuard,
}

#[pymethods]
impl CanonicalGuard {
    fn push(&mut self, unit: Id) -> PyResult<()> {
        self.guard.push(unit.0).map_err(to_python)
    }

    fn excluded<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u32>> {
        self.guard.excluded().into_pyarray(py)
    }

    fn reset(&mut self) {
        self.guard.reset();
    }

    #[getter]
    fn units(&self) -> usize {
        self.guard.units()
    }

    #[getter]
    fn overtaken(&self) -> usize {
        self.guard.overtaken()
    }
}
