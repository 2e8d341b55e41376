//! `TurnBorders`.

use lar_core::mining::gates::turn_borders::TurnBorders as CoreTurnBorders;
use lar_core::tokens::barriers::Barriers;
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::arrays::{contiguous, flags, offsets_from, token_bytes_from};
use crate::errors::to_python;
use crate::threads::detached;

#[pyclass(module = "lar._core", frozen)]
pub struct TurnBorders {
    borders: CoreTurnBorders,
}

#[pymethods]
impl TurnBorders {
    #[new]
    fn new(
        barriers: PyReadonlyArray1<'_, u32>,
        token_bytes: PyReadonlyArray1<'_, u8>,
        byte_offsets: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Self> {
        let bytes = token_bytes_from(&token_bytes, &byte_offsets)?;
        Ok(TurnBorders {
            borders: CoreTurnBorders::new(Barriers::new(contiguous(&barriers)?).map_err(to_python)?, bytes),
        })
    }

    fn crossed_by<'py>(
        &self,
        py: Python<'py>,
        texts: Vec<Vec<u8>>,
        tokens: PyReadonlyArray1<'_, u32>,
        action: PyReadonlyArray1<'_, bool>,
        offsets: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Bound<'py, PyArray1<bool>>> {
        let (tokens, action, offsets) = (contiguous(&tokens)?, flags(&action)?, offsets_from(&offsets)?);
        let find = || self.borders.crossed_by(&texts, tokens, action, &offsets);
        Ok(detached(py, find).map_err(to_python)?.into_pyarray(py))
    }
}
