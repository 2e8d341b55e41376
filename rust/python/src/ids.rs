//! Ids as Python gives them: integers, lists of them, or arrays.

use numpy::PyReadonlyArray1;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes};

use crate::arrays::contiguous;
use crate::errors::VocabularyError;

/// One id.
pub struct Id(pub u32);

impl<'py> FromPyObject<'_, 'py> for Id {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        // Python takes its bools for integers.
        if object.is_instance_of::<PyBool>() {
            return Err(PyTypeError::new_err("an id is an integer, not a bool"));
        }
        object.extract().map(Id).map_err(|error| too_large(object.py(), error))
    }
}

/// Several ids: a uint32 array, which is read in place, or any sequence of integers.
pub enum Ids<'py> {
    Array(PyReadonlyArray1<'py, u32>),
    Sequence(Vec<u32>),
}

impl Ids<'_> {
    pub fn as_slice(&self) -> PyResult<&[u32]> {
        match self {
            Ids::Array(array) => contiguous(array),
            Ids::Sequence(ids) => Ok(ids),
        }
    }
}

impl<'py> FromPyObject<'_, 'py> for Ids<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match object.extract() {
            Ok(array) => Ok(Ids::Array(array)),
            // Python takes bytes for a sequence of integers.
            Err(_) if object.is_instance_of::<PyBytes>() || object.is_instance_of::<PyByteArray>() => {
                Err(PyTypeError::new_err("ids are a list of integers or an array, not bytes"))
            }
            Err(_) => {
                let ids: Vec<Id> = object.extract()?;
                Ok(Ids::Sequence(ids.into_iter().map(|id| id.0).collect()))
            }
        }
    }
}

/// An integer that does not fit 32 bits is no id of any vocabulary.
fn too_large(py: Python<'_>, error: PyErr) -> PyErr {
    match error.is_instance_of::<PyOverflowError>(py) {
        true => VocabularyError::new_err("an id is negative or does not fit 32 bits"),
        false => error,
    }
}
