//! `Expander`, `Stream` and `StreamBatch`.

use std::sync::Arc;

use lar_core::stream::batch::StreamBatch as CoreBatch;
use lar_core::stream::expander::Expander as CoreExpander;
use lar_core::stream::stop_strings::StopStrings;
use lar_core::stream::{Budget, Finish, Stream as CoreStream};
use numpy::PyReadonlyArray1;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use crate::arrays::{contiguous, token_bytes_from};
use crate::errors::{OptionError, to_python};
use crate::ids::{Id, Ids};
use crate::numbers::Number;
use crate::text::Text;
use crate::texts::Texts;
use crate::vocabulary::Vocabulary;

#[pyclass(module = "lar._core", frozen)]
pub struct Expander {
    expander: Arc<CoreExpander>,
    texts: Arc<Texts>,
}

#[pymethods]
impl Expander {
    #[new]
    fn new(
        py: Python<'_>,
        vocabulary: &Vocabulary,
        token_bytes: PyReadonlyArray1<'_, u8>,
        offsets: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Self> {
        let vocabulary = Arc::clone(&vocabulary.vocabulary);
        let bytes = token_bytes_from(&token_bytes, &offsets)?;
        let expander = py.detach(|| CoreExpander::new(vocabulary, bytes)).map_err(to_python)?;
        let expander = Arc::new(expander);
        Ok(Expander { texts: Arc::new(Texts::new(Arc::clone(&expander))), expander })
    }

    fn text(&self, py: Python<'_>, units: PyReadonlyArray1<'_, u32>) -> PyResult<String> {
        let units = contiguous(&units)?;
        py.detach(|| self.expander.text(units)).map_err(to_python)
    }

    #[pyo3(signature = (stop, max_units=None, max_base_tokens=None))]
    fn stream(
        &self,
        stop: Vec<Text>,
        max_units: Option<Number<u64>>,
        max_base_tokens: Option<Number<u64>>,
    ) -> PyResult<Stream> {
        let stop: Vec<String> = stop.into_iter().map(|stop| stop.0).collect();
        let stops = StopStrings::new(&stop).map_err(to_python)?;
        let stream =
            CoreStream::new(Arc::clone(&self.expander), Arc::new(stops), budget(max_units, max_base_tokens)?);
        Ok(Stream { stream, texts: Arc::clone(&self.texts), stop })
    }

    #[pyo3(signature = (requests, stop, max_units=None, max_base_tokens=None))]
    fn stream_batch(
        &self,
        requests: Number<usize>,
        stop: Vec<Text>,
        max_units: Option<Number<u64>>,
        max_base_tokens: Option<Number<u64>>,
    ) -> PyResult<StreamBatch> {
        let stream = self.stream(stop, max_units, max_base_tokens)?;
        let batch = CoreBatch::repeated(&stream.stream, requests.0).map_err(to_python)?;
        Ok(StreamBatch { batch, texts: stream.texts, stop: stream.stop })
    }
}

fn budget(max_units: Option<Number<u64>>, max_base_tokens: Option<Number<u64>>) -> PyResult<Budget> {
    match (max_units, max_base_tokens) {
        (None, None) => Ok(Budget::Unlimited),
        (Some(units), None) => Ok(Budget::Units(units.0)),
        (None, Some(tokens)) => Ok(Budget::BaseTokens(tokens.0)),
        (Some(_), Some(_)) => Err(OptionError::new_err("a budget counts units or base tokens, not both")),
    }
}

/// (why it ended, the stop string that ended it)
fn finish_reason(finish: Option<Finish>, stop: &[String]) -> (Option<&'static str>, Option<&str>) {
    match finish {
        None => (None, None),
        Some(Finish::Stop(index)) => (Some("stop"), stop.get(index).map(String::as_str)),
        Some(Finish::Length) => (Some("length"), None),
        Some(Finish::Flushed) => (Some("flushed"), None),
    }
}

#[pyclass(module = "lar._core")]
pub struct Stream {
    stream: CoreStream,
    texts: Arc<Texts>,
    stop: Vec<String>,
}

#[pymethods]
impl Stream {
    fn push<'py>(&mut self, py: Python<'py>, unit: Id) -> PyResult<Bound<'py, PyString>> {
        Ok(self.texts.of(py, self.stream.push(unit.0).map_err(to_python)?))
    }

    fn flush(&mut self) -> String {
        self.stream.flush()
    }

    #[getter]
    fn units(&self) -> u64 {
        self.stream.units()
    }

    #[getter]
    fn base_tokens(&self) -> u64 {
        self.stream.base_tokens()
    }

    #[getter]
    fn finish_reason(&self) -> Option<&'static str> {
        finish_reason(self.stream.finish(), &self.stop).0
    }

    #[getter]
    fn stop_reason(&self) -> Option<&str> {
        finish_reason(self.stream.finish(), &self.stop).1
    }
}

#[pyclass(module = "lar._core")]
pub struct StreamBatch {
    batch: CoreBatch,
    texts: Arc<Texts>,
    stop: Vec<String>,
}

#[pymethods]
impl StreamBatch {
    fn __len__(&self) -> usize {
        self.batch.streams().len()
    }

    fn push<'py>(&mut self, py: Python<'py>, units: Ids<'_>) -> PyResult<Bound<'py, PyList>> {
        let units = units.as_slice()?;
        let batch = &mut self.batch;
        let pieces = py.detach(|| batch.push(units)).map_err(to_python)?;
        PyList::new(py, pieces.into_iter().map(|piece| self.texts.of(py, piece)))
    }

    fn flush(&mut self) -> Vec<String> {
        self.batch.flush()
    }

    fn units(&self) -> Vec<u64> {
        self.batch.streams().iter().map(CoreStream::units).collect()
    }

    fn base_tokens(&self) -> Vec<u64> {
        self.batch.streams().iter().map(CoreStream::base_tokens).collect()
    }

    fn finish_reasons(&self) -> Vec<Option<&'static str>> {
        self.batch.streams().iter().map(|stream| finish_reason(stream.finish(), &self.stop).0).collect()
    }

    fn stop_reasons(&self) -> Vec<Option<String>> {
        let reason = |stream: &CoreStream| finish_reason(stream.finish(), &self.stop).1.map(str::to_owned);
        self.batch.streams().iter().map(reason).collect()
    }
}
