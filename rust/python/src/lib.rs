//! Python bindings of `lar-core`: arguments in, the interpreter released, errors out. No logic.
#![allow(missing_docs)] // The public face is documented in python/lar/_core.pyi.

mod arrays;
mod boundary_audit;
mod canonical;
mod errors;
mod ids;
mod mining;
mod numbers;
mod streaming;
mod texts;
mod vocabulary;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<mining::RunFolder>()?;
    module.add_class::<mining::Runs>()?;
    module.add_class::<mining::Candidates>()?;
    module.add_class::<boundary_audit::BoundaryAudit>()?;
    module.add_class::<vocabulary::Vocabulary>()?;
    module.add_class::<streaming::Expander>()?;
    module.add_class::<streaming::Stream>()?;
    module.add_class::<streaming::StreamBatch>()?;
    module.add_class::<canonical::GuardTable>()?;
    module.add_class::<canonical::CanonicalGuard>()?;
    module.add_function(wrap_pyfunction!(mining::check_limits, module)?)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}
