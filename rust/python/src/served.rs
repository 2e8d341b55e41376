//! `ServedParse`: the ids that an exported tokenizer gives a text.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use lar_core::tokens::barriers::Barriers;
use lar_core::vocabulary::served::{Joints, Plan as CorePlan, ServedParse as CoreParse};
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::arrays::{contiguous, flags, offsets_from, segments_from, token_bytes_from};
use crate::errors::to_python;
use crate::text::Text;
use crate::threads::{Threads, detached};

type Served<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<bool>>);

#[pyclass(module = "lar._core", frozen)]
pub struct ServedParse {
    parse: RwLock<CoreParse>,
}

/// Conversations that were read, and the texts that are missing to make units of them.
#[pyclass(module = "lar._core", frozen)]
pub struct ServedPlan {
    plan: CorePlan,
}

impl ServedParse {
    /// A panic cannot leave the parse half changed: what is learnt is checked first.
    fn read(&self) -> RwLockReadGuard<'_, CoreParse> {
        self.parse.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The result of `work` on the parse, which may use all threads.
    ///
    /// The calling thread locks. If one of a pool did, it could take up work that waits for the lock, while it
    /// waits for its own.
    fn on_all_threads<T: Send>(&self, py: Python<'_>, work: impl FnOnce(&CoreParse) -> T + Send) -> T {
        let threads = Threads::of(py);
        py.detach(|| {
            let parse: &CoreParse = &self.read();
            threads.run(|| work(parse))
        })
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
        Ok(ServedParse { parse: RwLock::new(parse.map_err(to_python)?) })
    }

    fn with_segments(
        &self,
        py: Python<'_>,
        tokens: PyReadonlyArray1<'_, u32>,
        offsets: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Self> {
        let segments = segments_from(&tokens, &offsets)?;
        let parse = self.on_all_threads(py, |parse| parse.with_segments(&segments));
        Ok(ServedParse { parse: RwLock::new(parse.map_err(to_python)?) })
    }

    fn plan(
        &self,
        py: Python<'_>,
        tokens: PyReadonlyArray1<'_, u32>,
        action: PyReadonlyArray1<'_, bool>,
        offsets: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<ServedPlan> {
        let (tokens, action) = (contiguous(&tokens)?, flags(&action)?);
        let offsets = offsets_from(&offsets)?;
        let plan = self.on_all_threads(py, |parse| parse.plan(tokens, action, &offsets));
        Ok(ServedPlan { plan: plan.map_err(to_python)? })
    }

    fn missing(&self, py: Python<'_>, plan: &ServedPlan) -> PyResult<Vec<String>> {
        py.detach(|| {
            let parse = self.read();
            Ok(parse.missing(&plan.plan)?.into_iter().map(String::from).collect())
        })
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
        py.detach(|| {
            let texts: Vec<&str> = texts.iter().map(|text| text.0.as_str()).collect();
            self.parse.write().unwrap_or_else(PoisonError::into_inner).learn(&texts, &ids)
        })
        .map_err(to_python)
    }

    fn units<'py>(&self, py: Python<'py>, plan: &ServedPlan) -> PyResult<Served<'py>> {
        let served = py.detach(|| self.read().units(&plan.plan)).map_err(to_python)?;
        Ok((served.units.into_pyarray(py), served.starts.into_pyarray(py), served.begins.into_pyarray(py)))
    }
}
