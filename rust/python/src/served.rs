//! `ServedParse`: the ids that an exported tokenizer gives a text.

use std::sync::{Mutex, MutexGuard, PoisonError};

use lar_core::tokens::barriers::Barriers;
use lar_core::vocabulary::served::{Joints, Plan as CorePlan, ServedParse as CoreParse};
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::arrays::{contiguous, flags, offsets_from, segments_from, token_bytes_from};
use crate::errors::to_python;
use crate::text::Text;
use crate::threads::detached;

type Served<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<bool>>);

#[pyclass(module = "lar._core", frozen)]
pub struct ServedParse {
    parse: Mutex<CoreParse>,
}

/// Conversations that were read, and the texts that are missing to make units of them.
#[pyclass(module = "lar._core", frozen)]
pub struct ServedPlan {
    plan: CorePlan,
}

impl ServedParse {
    /// Only for threads that are attached to the interpreter, and that do not call it while they hold the lock:
    /// Python does not fork while another thread is attached (free-threaded, it stops them where they are not in
    /// here), so the lock is free in a process that was forked.
    ///
    /// A panic cannot leave the parse half changed: what is learnt is checked first.
    fn lock<'a>(&'a self, _attached: Python<'a>) -> MutexGuard<'a, CoreParse> {
        self.parse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The parse as it is now, to work with while others learn.
    fn now(&self, py: Python<'_>) -> CoreParse {
        self.lock(py).clone()
    }
}

#[pymethods]
impl ServedParse {
    #[new]
    fn new(
        py: Python<'_>,
        token_bytes: PyReadonlyArray1<'_, u8>,
        byte_offsets: PyReadonlyArray1<'_, i64>,
        barriers: PyReadonlyArray1<'_, u32>,
        joints: (bool, bool, bool),
        tokens: PyReadonlyArray1<'_, u32>,
        offsets: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Self> {
        let bytes = token_bytes_from(&token_bytes, &byte_offsets)?;
        let segments = segments_from(&tokens, &offsets)?;
        let barriers = Barriers::new(contiguous(&barriers)?).map_err(to_python)?;
        let joints = Joints { space: joints.0, newline: joints.1, punctuation: joints.2 };
        let parse = detached(py, || CoreParse::new(bytes, barriers, joints, &segments));
        Ok(ServedParse { parse: Mutex::new(parse.map_err(to_python)?) })
    }

    fn with_segments(
        &self,
        py: Python<'_>,
        tokens: PyReadonlyArray1<'_, u32>,
        offsets: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Self> {
        let segments = segments_from(&tokens, &offsets)?;
        let now = self.now(py);
        let parse = detached(py, move || now.with_segments(&segments));
        Ok(ServedParse { parse: Mutex::new(parse.map_err(to_python)?) })
    }

    fn plan(
        &self,
        py: Python<'_>,
        tokens: PyReadonlyArray1<'_, u32>,
        action: PyReadonlyArray1<'_, bool>,
        offsets: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<ServedPlan> {
        let (tokens, action) = (contiguous(&tokens)?, flags(&action)?);
        let (offsets, now) = (offsets_from(&offsets)?, self.now(py));
        let plan = detached(py, move || now.plan(tokens, action, &offsets));
        Ok(ServedPlan { plan: plan.map_err(to_python)? })
    }

    fn missing(&self, py: Python<'_>, plan: &ServedPlan) -> PyResult<Vec<String>> {
        let now = self.now(py);
        py.detach(move || Ok(now.missing(&plan.plan)?.into_iter().map(String::from).collect()))
            .map_err(to_python)
    }

    fn learn(
        &self,
        py: Python<'_>,
        texts: Vec<Text>,
        ids: PyReadonlyArray1<'_, u32>,
        offsets: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<()> {
        let ids = segments_from(&ids, &offsets)?;
        let now = self.now(py);
        let encoded = py.detach(move || {
            let texts: Vec<&str> = texts.iter().map(|text| text.0.as_str()).collect();
            now.encoded(&texts, &ids)
        });
        encoded.and_then(|encoded| self.lock(py).cache(encoded)).map_err(to_python)
    }

    fn units<'py>(&self, py: Python<'py>, plan: &ServedPlan) -> PyResult<Served<'py>> {
        let now = self.now(py);
        let served = py.detach(move || now.units(&plan.plan)).map_err(to_python)?;
        Ok((served.units.into_pyarray(py), served.starts.into_pyarray(py), served.begins.into_pyarray(py)))
    }
}
