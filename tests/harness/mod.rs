//! What test binaries with a `main` of their own have in common.

use libtest_mimic::{Failed, Trial};
use tempfile::TempDir;

/// Has this process and its children find names in a directory of their own, apart from those of other tests and of the user,
/// for as long as what is returned lives. Call it before there is a second thread.
pub(crate) fn have_names_apart() -> TempDir {
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    let directory = tempfile::Builder::new().permissions(private).tempdir_in("/dev/shm").expect("/dev/shm");
    // SAFETY: the caller has no other thread.
    unsafe { std::env::set_var("TIDEGATE_DIR", directory.path()) };
    directory
}

/// A test that fails by a panic.
pub(crate) fn trial(name: &str, test: fn()) -> Trial {
    Trial::test(name, move || {
        test();
        Ok::<(), Failed>(())
    })
}
