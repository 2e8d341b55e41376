//! Text from Python, which may hold what UTF-8 cannot represent.

use pyo3::exceptions::PyUnicodeEncodeError;
use pyo3::prelude::*;

use crate::errors::OptionError;

/// A text without lone surrogates.
pub struct Text(pub String);

impl<'py> FromPyObject<'_, 'py> for Text {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        object.extract().map(Text).map_err(|error: PyErr| {
            let py = object.py();
            match error.is_instance_of::<PyUnicodeEncodeError>(py) {
                true => lone_surrogate(error.value(py)).unwrap_or_else(|other| other),
                false => error,
            }
        })
    }
}

fn lone_surrogate(error: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let at: usize = error.getattr("start")?.extract()?;
    Ok(OptionError::new_err(format!("a text has a lone surrogate at index {at}, which is no character")))
}
