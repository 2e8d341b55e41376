//! `ServedParse`: the ids that an exported tokenizer gives a text.

use std::sync::RwLock;

use lar_core::tokens::barriers::Barriers;
use lar_core::tokens::bytes::TokenBytes;
use lar_core::vocabulary::served::{Joints, Plan as CorePlan, ServedParse as CoreParse};
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::arrays::{contiguous, offsets_from, segments_from};
use crate::errors::to_python;

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

#[pymethods]
impl ServedParse {
    #[new]
    fn new(
        token_bytes: PyReadonlyArray1<'_, u8>,
        byte_offsets: PyReadonlyArray1<'_, i64>,
        barriers: PyReadonlyArray1<'_, u32>,
        joints: (bool, bool, bool),
        tokens: PyReadonlyArray1<'_, u32>,
        offsets: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Self> {
        let bytes = TokenBytes::new(contiguous(&token_bytes)?.to_vec(), offsets_from(&byte_offsets)?);
        let segments = segments_from(&tokens, &offsets)?;
        let barriers = Barriers::new(contiguous(&barriers)?);
        let joints = Joints { space: joints.0, newline: joints.1, punctuation: joints.2 };
        let parse = CoreParse::new(bytes.map_err(to_python)?, barriers, joints, &segments);
        Ok(ServedParse { parse: RwLock::new(parse.map_err(to_python)?) })
    }

    fn plan(
        &self,
        py: Python<'_>,
        tokens: PyReadonlyArray1<'_, u32>,
        action: PyReadonlyArray1<'_, bool>,
        offsets: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<ServedPlan> {
        let (tokens, action) = (contiguous(&tokens)?, contiguous(&action)?);
        let offsets = offsets_from(&offsets)?;
        let plan = py.detach(|| self.parse.read().unwrap_or_else(|e| e.into_inner()).plan(tokens, action, &offsets));
        Ok(ServedPlan { plan: plan.map_err(to_python)? })
    }

    fn missing(&self, py: Python<'_>, plan: &ServedPlan) -> PyResult<Vec<String>> {
        py.detach(|| {
            let parse = self.parse.read().unwrap_or_else(|e| e.into_inner());
            Ok(parse.missing(&plan.plan)?.into_iter().map(String::from).collect())
        })
        .map_err(to_python)
    }

    fn learn(
        &self,
        texts: Vec<String>,
        ids: PyReadonlyArray1<'_, u32>,
        offsets: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<()> {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let ids = segments_from(&ids, &offsets)?;
        self.parse.write().unwrap_or_else(|e| e.into_inner()).learn(&texts, &ids).map_err(to_python)
    }

    fn units<'py>(&self, py: Python<'py>, plan: &ServedPlan) -> PyResult<Served<'py>> {
        let served = py
            .detach(|| self.parse.read().unwrap_or_else(|e| e.into_inner()).units(&plan.plan))
            .map_err(to_python)?;
        Ok((served.units.into_pyarray(py), served.starts.into_pyarray(py), served.begins.into_pyarray(py)))
    }
}
