//! `Vocabulary`: encode, expand, align.

use std::sync::Arc;

use lar_core::{Segments, Vocabulary as CoreVocabulary};
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::arrays::{contiguous, offsets_from};
use crate::errors::to_python;

type Aligned<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<bool>>, Bound<'py, PyArray1<i64>>);

#[pyclass(module = "lar._core", frozen)]
pub struct Vocabulary {
    pub(crate) vocabulary: Arc<CoreVocabulary>,
}

#[pymethods]
impl Vocabulary {
    #[new]
    fn new(
        base_size: u32,
        tokens: PyReadonlyArray1<'_, u32>,
        offsets: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Self> {
        let segments = Segments::from_flat(contiguous(&tokens)?.to_vec(), offsets_from(&offsets)?);
        let vocabulary = CoreVocabulary::new(base_size, segments.map_err(to_python)?).map_err(to_python)?;
        Ok(Vocabulary { vocabulary: Arc::new(vocabulary) })
    }

    fn encode<'py>(
        &self,
        py: Python<'py>,
        tokens: PyReadonlyArray1<'_, u32>,
    ) -> PyResult<Bound<'py, PyArray1<u32>>> {
        let tokens = contiguous(&tokens)?;
        Ok(py.detach(|| self.vocabulary.encode(tokens)).map_err(to_python)?.into_pyarray(py))
    }

    fn expand<'py>(
        &self,
        py: Python<'py>,
        units: PyReadonlyArray1<'_, u32>,
    ) -> PyResult<Bound<'py, PyArray1<u32>>> {
        let units = contiguous(&units)?;
        Ok(py.detach(|| self.vocabulary.expand(units)).map_err(to_python)?.into_pyarray(py))
    }

    fn align<'py>(
        &self,
        py: Python<'py>,
        tokens: PyReadonlyArray1<'_, u32>,
        action: PyReadonlyArray1<'_, bool>,
        offsets: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Aligned<'py>> {
        let (tokens, action, offsets) = (contiguous(&tokens)?, contiguous(&action)?, offsets_from(&offsets)?);
        let aligned = py.detach(|| self.vocabulary.align(tokens, action, &offsets)).map_err(to_python)?;
        Ok((aligned.units.into_pyarray(py), aligned.action.into_pyarray(py), aligned.starts.into_pyarray(py)))
    }
}
