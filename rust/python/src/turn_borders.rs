//! `crossing_texts`.

use lar_core::mining::turn_borders::crossing;
use lar_core::tokens::barriers::Barriers;
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::arrays::{contiguous, offsets_from, token_bytes_from};
use crate::errors::to_python;

#[pyfunction]
#[pyo3(signature = (texts, tokens, action, offsets, *, barriers, token_bytes, byte_offsets))]
#[allow(clippy::too_many_arguments)]
pub fn crossing_texts<'py>(
    py: Python<'py>,
    texts: Vec<Vec<u8>>,
    tokens: PyReadonlyArray1<'_, u32>,
    action: PyReadonlyArray1<'_, bool>,
    offsets: PyReadonlyArray1<'_, i64>,
    barriers: PyReadonlyArray1<'_, u32>,
    token_bytes: PyReadonlyArray1<'_, u8>,
    byte_offsets: PyReadonlyArray1<'_, i64>,
) -> PyResult<Bound<'py, PyArray1<bool>>> {
    let (tokens, action, offsets) = (contiguous(&tokens)?, contiguous(&action)?, offsets_from(&offsets)?);
    let barriers = Barriers::new(contiguous(&barriers)?);
    let bytes = token_bytes_from(&token_bytes, &byte_offsets)?;
    let find = || crossing(&texts, tokens, action, &offsets, &barriers, &bytes);
    Ok(py.detach(find).map_err(to_python)?.into_pyarray(py))
}
