//! Flat arrays across the border.

use lar_core::Segments;
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::errors::{OptionError, to_python};

/// The offsets of a ragged array: int64 in Python, `usize` in Rust.
pub fn offsets_from(array: &PyReadonlyArray1<'_, i64>) -> PyResult<Vec<usize>> {
    let negative = |_| OptionError::new_err("offsets cannot be negative");
    array.as_array().iter().map(|&offset| usize::try_from(offset).map_err(negative)).collect()
}

/// Token strings from flat arrays.
pub fn segments_from(
    tokens: &PyReadonlyArray1<'_, u32>,
    offsets: &PyReadonlyArray1<'_, i64>,
) -> PyResult<Segments> {
    Segments::from_flat(contiguous(tokens)?.to_vec(), offsets_from(offsets)?).map_err(to_python)
}

/// Offsets as an int64 array.
pub fn offsets_to<'py>(py: Python<'py>, offsets: &[usize]) -> Bound<'py, PyArray1<i64>> {
    offsets.iter().map(|&offset| offset as i64).collect::<Vec<_>>().into_pyarray(py)
}

/// A contiguous view; numpy says where the array is not.
pub fn contiguous<'a, T: numpy::Element>(array: &'a PyReadonlyArray1<'_, T>) -> PyResult<&'a [T]> {
    array.as_slice().map_err(|error| OptionError::new_err(error.to_string()))
}
