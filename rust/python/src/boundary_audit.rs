//! `BoundaryAudit`.

use lar_core::tokens::barriers::Barriers;
use lar_core::vocabulary::boundary_audit::BoundaryAudit as CoreAudit;
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::arrays::{contiguous, offsets_from, segments_from, token_bytes_from};
use crate::errors::to_python;

type Counts<'py> = (Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<u64>>);

#[pyclass(module = "lar._core", frozen)]
pub struct BoundaryAudit {
    audit: CoreAudit,
}

#[pymethods]
impl BoundaryAudit {
    #[new]
    fn new(
        token_bytes: PyReadonlyArray1<'_, u8>,
        byte_offsets: PyReadonlyArray1<'_, i64>,
        barriers: PyReadonlyArray1<'_, u32>,
        tokens: PyReadonlyArray1<'_, u32>,
        offsets: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Self> {
        let bytes = token_bytes_from(&token_bytes, &byte_offsets)?;
        let segments = segments_from(&tokens, &offsets)?;
        let barriers = Barriers::new(contiguous(&barriers)?);
        let audit = CoreAudit::new(bytes, barriers, segments).map_err(to_python)?;
        Ok(BoundaryAudit { audit })
    }

    fn count<'py>(
        &self,
        py: Python<'py>,
        tokens: PyReadonlyArray1<'_, u32>,
        action: PyReadonlyArray1<'_, bool>,
        offsets: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Counts<'py>> {
        let (tokens, action) = (contiguous(&tokens)?, contiguous(&action)?);
        let offsets = offsets_from(&offsets)?;
        let counts = py.detach(|| self.audit.count(tokens, action, &offsets)).map_err(to_python)?;
        Ok((counts.found.into_pyarray(py), counts.misaligned.into_pyarray(py)))
    }
}
