//! `GuardTable` and `CanonicalGuard`.

use std::sync::Arc;

use lar_core::vocabulary::guard::{CanonicalGuard as CoreGuard, GuardTable as CoreTable};
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;

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
    fn new(py: Python<'_>, vocabulary: &Vocabulary) -> Self {
        let vocabulary = Arc::clone(&vocabulary.vocabulary);
        GuardTable { table: Arc::new(py.detach(|| CoreTable::new(vocabulary))) }
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

    #[getter]
    fn is_canonical(&self) -> bool {
        self.guard.is_canonical()
    }
}
