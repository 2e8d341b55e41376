//! Python bindings of `lar-core`: arguments in, the interpreter released, errors out. No logic.
#![allow(missing_docs)] // The public face is documented in python/lar/_core.pyi.

mod arrays;
mod candidates;
mod chat_lines;
mod errors;
mod guard;
mod ids;
mod limits;
mod numbers;
mod runs;
mod selection;
mod served;
mod stream;
mod text;
mod texts;
mod threads;
mod turn_borders;
mod vocabulary;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    threads::count_forks(module)?;
    module.add_class::<runs::RunFolder>()?;
    module.add_class::<runs::Runs>()?;
    module.add_class::<limits::Limits>()?;
    module.add_class::<candidates::Candidates>()?;
    module.add_class::<selection::Selection>()?;
    module.add_class::<turn_borders::TurnBorders>()?;
    module.add_class::<served::ServedParse>()?;
    module.add_class::<served::ServedPlan>()?;
    module.add_class::<vocabulary::Vocabulary>()?;
    module.add_class::<stream::Expander>()?;
    module.add_class::<stream::Stream>()?;
    module.add_class::<stream::StreamBatch>()?;
    module.add_class::<guard::GuardTable>()?;
    module.add_class::<guard::CanonicalGuard>()?;
    module.add_function(wrap_pyfunction!(chat_lines::count_lines, module)?)?;
    module.add_function(wrap_pyfunction!(chat_lines::read_chat_lines, module)?)?;
    module.add("REPLACING_AUDITS", lar_core::mining::mine::REPLACING_AUDITS)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}
