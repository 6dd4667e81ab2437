//! Tidegate's channels in Python. What Python code sees of it is `lib/tidegate`.

mod array;
mod attached;
mod codec;
mod endpoint;
mod errors;
mod memory;
mod process;
mod queue;
mod recording;
mod signals;
mod tokens;
mod training;
mod transfer;
mod waiting;
mod wakes;

use pyo3::prelude::*;

#[pymodule]
fn _tidegate(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<queue::Queue>()?;
    module.add_class::<memory::Memory>()?;
    module.add_class::<tokens::Tokens>()?;
    module.add_class::<signals::Waiters>()?;
    module.add_class::<signals::Waiter>()?;
    module.add_class::<signals::Flag>()?;
    module.add_class::<wakes::Wakes>()?;
    module.add_class::<endpoint::Endpoint>()?;
    module.add_class::<recording::Recording>()?;
    module.add_function(wrap_pyfunction!(training::train, module)?)?;
    module.add_function(wrap_pyfunction!(process::forked, module)?)?;
    module.add_function(wrap_pyfunction!(memory::pin_all, module)?)?;
    module.add("PeerDied", module.py().get_type::<errors::PeerDied>())?;
    module.add("TidegateError", module.py().get_type::<errors::TidegateError>())
}
