//! Work of several threads without the interpreter's lock, also in a forked process.
//!
//! A fork copies rayon's pool but none of its threads, so work that is given to that pool would wait for ever. A
//! forked process has a pool of its own, made when it is needed first. `multiprocessing` forks, and so does a data
//! loader with workers.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::IntoPyDict;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Forks between the process that has loaded the module and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// The pool of a forked process, with its number of forks. It is locked only by threads that are attached to the
/// interpreter, and Python does not fork while another one is: so it is free in a process that was forked again.
static POOL: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);

/// Asks Python to count its forks, where the system has them.
pub fn count_forks(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let os = module.py().import("os")?;
    if !os.hasattr("register_at_fork")? {
        return Ok(());
    }
    let options = [("after_in_child", wrap_pyfunction!(after_fork, module)?)].into_py_dict(module.py())?;
    os.call_method("register_at_fork", (), Some(&options)).map(drop)
}

#[pyfunction]
fn after_fork() {
    FORKS.fetch_add(1, Relaxed);
}

/// The result of `work`, which may use all threads; other Python threads go on meanwhile.
///
/// A thread of a pool that waits for its work takes up other work meanwhile. So `work` must take no lock that other
/// work holds while it uses all threads.
pub fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> T {
    let pool = match FORKS.load(Relaxed) {
        0 => None,
        forks => Some(pool_after(py, forks)),
    };
    py.detach(|| match pool {
        None => work(),
        Some(pool) => pool.install(work),
    })
}

/// The pool after so many forks. The calling thread is attached, see [`POOL`].
fn pool_after(_attached: Python<'_>, forks: u32) -> Arc<ThreadPool> {
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((of, found)) = &*pool
        && *of == forks
    {
        return Arc::clone(found);
    }
    // Where there are none, rayon's own pool panics as well.
    let new = ThreadPoolBuilder::new().build().expect("the system has no more threads");
    let new = Arc::new(new);
    // A pool of the process before has no threads here that could be told to end.
    std::mem::forget(pool.replace((forks, Arc::clone(&new))));
    new
}
