//! What stands in a name's place, or in its file.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tidegate::channel::ChannelError;
use tidegate::{Channel, Host, ShmError, ShmMutex};

pub(crate) fn directory() -> PathBuf {
    std::env::var_os("TIDEGATE_DIR").expect("set by main").into()
}

pub(crate) fn a_name_files_bits_are_flipped() {
    let channel = Channel::options().create("flipped-name").expect("create");
    let path = directory().join("flipped-name");
    let whole = std::fs::read(&path).expect("a name file");
    // Magic, identity, and the first two holders.
    let (mut opened, mut refused) = (0, 0);
    for bit in 0..8 * 80 {
        let mut file = whole.clone();
        file[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, file).expect("write");
        match Channel::open("flipped-name") {
            Ok(again) => opened += usize::from(again.ring_bytes() == channel.ring_bytes()),
            Err(_typed) => refused += 1,
        }
        let _any = Host::of_user().map(|host| host.entries().map(|entries| entries.len()));
    }
    assert!(opened > 0 && refused > 100, "{opened} opened, {refused} refused");
    std::fs::write(&path, whole).expect("write");
    assert!(Channel::open("flipped-name").is_ok());
}

pub(crate) fn what_stands_in_a_names_place_is_refused() {
    let path = |name: &str| directory().join(name);
    let own = |path: &PathBuf| std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).expect("chmod");
    let _sound = Channel::options().create("sound").expect("create");
    std::os::unix::fs::symlink(path("sound"), path("link")).expect("symlink");
    std::fs::create_dir(path("directory")).expect("mkdir");
    rustix::fs::mknodat(rustix::fs::CWD, path("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("mkfifo");
    std::fs::write(path("short"), b"TGNAME02").expect("write");
    std::fs::write(path("other"), [7; 4096]).expect("write");
    std::fs::copy(path("sound"), path("open-to-others")).expect("copy");
    ["short", "other"].iter().for_each(|name| own(&path(name)));
    std::fs::set_permissions(path("open-to-others"), PermissionsExt::from_mode(0o644)).expect("chmod");
    let mut names = vec!["link", "directory", "fifo", "short", "other", "open-to-others"];
    if rustix::process::geteuid().is_root() {
        std::fs::copy(path("sound"), path("foreign")).expect("copy");
        std::os::unix::fs::chown(path("foreign"), Some(65_534), None).expect("chown");
        names.push("foreign");
    }
    let before = std::fs::read_dir(directory()).expect("list").count();
    for name in names {
        let refused = Channel::open(name).expect_err(name);
        assert!(matches!(refused, ChannelError::Shm(ShmError::Untrusted { .. })), "{name}: {refused:?}");
        let refused = ShmMutex::create(name, 0u64).expect_err(name);
        assert!(matches!(refused, ShmError::Untrusted { .. }), "{name}: {refused:?}");
        assert!(std::fs::symlink_metadata(path(name)).is_ok(), "{name} was removed");
    }
    assert_eq!(std::fs::read_dir(directory()).expect("list").count(), before, "something was left behind");
    ["link", "fifo", "short", "other", "open-to-others"]
        .iter()
        .for_each(|name| std::fs::remove_file(path(name)).expect("unlink"));
    std::fs::remove_dir(path("directory")).expect("rmdir");
    let _only_as_root = std::fs::remove_file(path("foreign"));
}
