//! `Limits`.

use lar_core::mining::search::limits::Limits as CoreLimits;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict, PyTuple};

use crate::errors::to_python;
use crate::numbers::Number;

#[pyclass(module = "lar._core", frozen, eq, hash)]
#[derive(PartialEq, Eq, Hash)]
pub struct Limits {
    pub(crate) limits: CoreLimits,
}

#[pymethods]
impl Limits {
    #[new]
    #[pyo3(signature = (*, min_count, min_support, max_length, most))]
    fn new(
        min_count: Number<u64>,
        min_support: Number<u32>,
        max_length: Number<usize>,
        most: Number<usize>,
    ) -> PyResult<Self> {
        let limits = CoreLimits {
            min_count: min_count.0,
            min_support: min_support.0,
            max_length: max_length.0,
            most: most.0,
        };
        limits.check().map_err(to_python)?;
        Ok(Limits { limits })
    }

    #[getter]
    fn min_count(&self) -> u64 {
        self.limits.min_count
    }

    #[getter]
    fn min_support(&self) -> u32 {
        self.limits.min_support
    }

    #[getter]
    fn max_length(&self) -> usize {
        self.limits.max_length
    }

    #[getter]
    fn most(&self) -> usize {
        self.limits.most
    }

    fn __repr__(&self) -> String {
        let CoreLimits { min_count, min_support, max_length, most } = self.limits;
        format!(
            "Limits(min_count={min_count}, min_support={min_support}, max_length={max_length}, most={most})"
        )
    }

    fn __getnewargs_ex__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let CoreLimits { min_count, min_support, max_length, most } = self.limits;
        let numbers = [("min_count", min_count), ("min_support", min_support.into())];
        let sizes = [("max_length", max_length), ("most", most)];
        let keywords = numbers.into_py_dict(py)?;
        sizes.into_iter().try_for_each(|(name, size)| keywords.set_item(name, size))?;
        Ok((PyTuple::empty(py), keywords))
    }
}
