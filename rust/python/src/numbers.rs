//! Whole numbers from Python, which may have any size.

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;

use crate::errors::OptionError;

/// A number within the range of a type of the core.
pub struct Number<T>(pub T);

impl<'a, 'py, T: FromPyObject<'a, 'py, Error = PyErr>> FromPyObject<'a, 'py> for Number<T> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        object.extract().map(Number).map_err(|error: PyErr| {
            match error.is_instance_of::<PyOverflowError>(object.py()) {
                true => OptionError::new_err(format!("the number {} is negative or too large", &*object)),
                false => error,
            }
        })
    }
}
