//! `Expander`, `Stream` and `StreamBatch`.

use std::sync::Arc;

use lar_core::expand::{
    Budget, Expander as CoreExpander, Finish, StopStrings, Stream as CoreStream, StreamBatch as CoreBatch,
};
use numpy::PyReadonlyArray1;
use pyo3::prelude::*;

use crate::arrays::{contiguous, offsets_from};
use crate::errors::{OptionError, to_python};
use crate::vocabulary::Vocabulary;

#[pyclass(module = "lar._core", frozen)]
pub struct Expander {
    expander: Arc<CoreExpander>,
}

#[pymethods]
impl Expander {
    #[new]
    fn new(
        vocabulary: &Vocabulary,
        token_bytes: PyReadonlyArray1<'_, u8>,
        offsets: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Self> {
        let bytes = contiguous(&token_bytes)?.to_vec();
        let expander = CoreExpander::new(Arc::clone(&vocabulary.vocabulary), bytes, offsets_from(&offsets)?);
        Ok(Expander { expander: Arc::new(expander.map_err(to_python)?) })
    }

    fn text(&self, py: Python<'_>, units: PyReadonlyArray1<'_, u32>) -> PyResult<String> {
        let units = contiguous(&units)?;
        py.detach(|| self.expander.text(units)).map_err(to_python)
    }

    #[pyo3(signature = (stop, max_units=None, max_base_tokens=None))]
    fn stream(
        &self,
        stop: Vec<String>,
        max_units: Option<u64>,
        max_base_tokens: Option<u64>,
    ) -> PyResult<Stream> {
        let stops = StopStrings::new(&stop).map_err(to_python)?;
        let stream =
            CoreStream::new(Arc::clone(&self.expander), Arc::new(stops), budget(max_units, max_base_tokens)?);
        Ok(Stream { stream, stop })
    }

    #[pyo3(signature = (requests, stop, max_units=None, max_base_tokens=None))]
    fn stream_batch(
        &self,
        requests: usize,
        stop: Vec<String>,
        max_units: Option<u64>,
        max_base_tokens: Option<u64>,
    ) -> PyResult<StreamBatch> {
        let stream = self.stream(stop, max_units, max_base_tokens)?;
        Ok(StreamBatch { batch: CoreBatch::new(vec![stream.stream; requests]), stop: stream.stop })
    }
}

fn budget(max_units: Option<u64>, max_base_tokens: Option<u64>) -> PyResult<Budget> {
    match (max_units, max_base_tokens) {
        (None, None) => Ok(Budget::Unlimited),
        (Some(units), None) => Ok(Budget::Units(units)),
        (None, Some(tokens)) => Ok(Budget::BaseTokens(tokens)),
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
    stop: Vec<String>,
}

#[pymethods]
impl Stream {
    fn push(&mut self, unit: u32) -> PyResult<String> {
        let mut text = String::new();
        self.stream.push(unit, &mut text).map_err(to_python)?;
        Ok(text)
    }

    fn flush(&mut self) -> String {
        let mut text = String::new();
        self.stream.flush(&mut text);
        text
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
    stop: Vec<String>,
}

#[pymethods]
impl StreamBatch {
    fn __len__(&self) -> usize {
        self.batch.streams().len()
    }

    fn push(&mut self, py: Python<'_>, units: PyReadonlyArray1<'_, u32>) -> PyResult<Vec<String>> {
        let units = contiguous(&units)?;
        let mut texts = Vec::with_capacity(units.len());
        let batch = &mut self.batch;
        py.detach(|| batch.push(units, &mut texts)).map_err(to_python)?;
        Ok(texts)
    }

    fn flush(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        self.batch.flush(&mut texts);
        texts
    }

    #[getter]
    fn units(&self) -> Vec<u64> {
        self.batch.streams().iter().map(CoreStream::units).collect()
    }

    #[getter]
    fn base_tokens(&self) -> Vec<u64> {
        self.batch.streams().iter().map(CoreStream::base_tokens).collect()
    }

    #[getter]
    fn finish_reasons(&self) -> Vec<Option<&'static str>> {
        self.batch.streams().iter().map(|stream| finish_reason(stream.finish(), &self.stop).0).collect()
    }

    #[getter]
    fn stop_reasons(&self) -> Vec<Option<String>> {
        let reason = |stream: &CoreStream| finish_reason(stream.finish(), &self.stop).1.map(str::to_owned);
        self.batch.streams().iter().map(reason).collect()
    }
}
