//! `Vocabulary`: encode, expand, align.

use std::sync::Arc;

use lar_core::Vocabulary as CoreVocabulary;
use lar_core::vocabulary::align::AlignedRoom;
use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::arrays::{contiguous, cut, flags, new_array, new_array_to_cut, offsets_from, segments_from};
use crate::errors::to_python;
use crate::numbers::Number;

type Aligned<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<bool>>, Bound<'py, PyArray1<i64>>);

#[pyclass(module = "lar._core", frozen)]
pub struct Vocabulary {
    pub(crate) vocabulary: Arc<CoreVocabulary>,
}

#[pymethods]
impl Vocabulary {
    #[new]
    fn new(
        py: Python<'_>,
        base_size: Number<u32>,
        tokens: PyReadonlyArray1<'_, u32>,
        offsets: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Self> {
        let segments = segments_from(&tokens, &offsets)?;
        let vocabulary = py.detach(|| CoreVocabulary::new(base_size.0, segments)).map_err(to_python)?;
        Ok(Vocabulary { vocabulary: Arc::new(vocabulary) })
    }

    fn encode<'py>(
        &self,
        py: Python<'py>,
        tokens: PyReadonlyArray1<'_, u32>,
    ) -> PyResult<Bound<'py, PyArray1<u32>>> {
        let tokens = contiguous(&tokens)?;
        let array = new_array_to_cut(py, tokens.len())?;
        let written = {
            let mut units = array.readwrite();
            let units = units.as_slice_mut()?;
            py.detach(|| self.vocabulary.encode_into(tokens, units)).map_err(to_python)?
        };
        cut(&array, written)?;
        Ok(array)
    }

    fn expand<'py>(
        &self,
        py: Python<'py>,
        units: PyReadonlyArray1<'_, u32>,
    ) -> PyResult<Bound<'py, PyArray1<u32>>> {
        let units = contiguous(&units)?;
        let length = py.detach(|| self.vocabulary.expanded_length(units)).map_err(to_python)?;
        let array = new_array(py, length)?;
        {
            let mut tokens = array.readwrite();
            let tokens = tokens.as_slice_mut()?;
            py.detach(|| self.vocabulary.expand_into(units, tokens)).map_err(to_python)?;
        }
        Ok(array)
    }

    fn align<'py>(
        &self,
        py: Python<'py>,
        tokens: PyReadonlyArray1<'_, u32>,
        action: PyReadonlyArray1<'_, bool>,
        offsets: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Aligned<'py>> {
        let (tokens, action, offsets) = (contiguous(&tokens)?, flags(&action)?, offsets_from(&offsets)?);
        let starts = new_array_to_cut(py, tokens.len() + 1)?;
        let units = new_array_to_cut(py, tokens.len())?;
        // Arbitrary bytes would be no booleans.
        let agent = PyArray1::zeros(py, tokens.len(), false);
        let written = {
            let (mut units, mut agent, mut starts) =
                (units.readwrite(), agent.readwrite(), starts.readwrite());
            let (units, action_of_units, starts) =
                (units.as_slice_mut()?, agent.as_slice_mut()?, starts.as_slice_mut()?);
            let room = AlignedRoom { units, action: action_of_units, starts };
            py.detach(|| self.vocabulary.align_into(tokens, action, &offsets, room)).map_err(to_python)?
        };
        cut(&units, written)?;
        cut(&agent, written)?;
        cut(&starts, written + 1)?;
        Ok((units, agent, starts))
    }
}
