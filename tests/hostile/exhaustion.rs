//! Limits that are reached: descriptors, mappings, and the space of the directory of names.

use std::ffi::CString;
use std::fs::File;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tidegate::channel::ChannelError;
use tidegate::{AsyncReceiver, Channel, Host, ShmError, ShmMutex, ShmSemaphore};

use crate::child::{judge, say};
use crate::files::{self, directory};

const NOBODY: u32 = 65_534;
const OF_ROOT: &str = "of-root";

/// What a child does with a limit, by role.
pub(crate) fn run(of: &str) {
    if of != "another-user" {
        have_own_directory(of);
    }
    match of {
        "names" => files::what_stands_in_a_names_place_is_refused(),
        "descriptors" => of_descriptors(),
        "mappings" => of_mappings(),
        "space" => of_space(),
        "root" => as_root(),
        "another-user" => as_another_user(),
        other => panic!("unknown limit {other}"),
    }
    say("done");
}

/// Where this process's names are apart from those that other tests make meanwhile.
fn have_own_directory(of: &str) {
    let own = directory().join(format!(".{of}"));
    std::fs::DirBuilder::new().mode(0o700).create(&own).expect("a directory");
    // SAFETY: this process has one thread.
    unsafe { std::env::set_var("TIDEGATE_DIR", own) };
}

/// Whether this process may have a file system of its own, and be another user.
pub(crate) fn has_privileges() -> bool {
    rustix::process::geteuid().is_root()
        && std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
            const SYS_ADMIN: u64 = 1 << 21;
            let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
            effective
                .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
                .is_some_and(|bits| bits & SYS_ADMIN != 0)
        })
}

/// All that a program makes, one after the other; what it is refused.
fn make_all(name: &str) -> Result<(), ChannelError> {
    let channel = Channel::options().message_bytes_max(60_000).create(name)?;
    let again = Channel::open(name)?;
    let (mut sender, receiver) = (again.sender()?, channel.receiver()?);
    let mutex = ShmMutex::create(&format!("{name}-mutex"), 0u64)?;
    let semaphore = ShmSemaphore::create(&format!("{name}-semaphore"), 1)?;
    sender.try_send(b"through").expect("room");
    sender.try_send(&[3; 60_000]).expect("a block");
    let mut receiver = receiver;
    assert_eq!(*receiver.try_recv().expect("message"), *b"through");
    assert_eq!(receiver.try_recv().expect("message").len(), 60_000);
    *mutex.try_lock().expect("free") += 1;
    drop(semaphore.try_acquire().expect("free"));
    Ok(())
}

fn names() -> usize {
    std::fs::read_dir(directory()).map_or(usize::MAX, Iterator::count)
}

/// Tries with each limit from none to enough: what is refused says why, and leaves nothing.
fn raise_until_all_is_made(
    resource: Resource,
    limits: impl Iterator<Item = u64>,
    is_the_error: fn(&ChannelError) -> bool,
) {
    let (whole, descriptors) = (getrlimit(resource), || std::fs::read_dir("/proc/self/fd").expect("/proc").count());
    let (names_before, descriptors_before) = (names(), descriptors());
    let mut refused = 0;
    for (number, limit) in limits.enumerate() {
        setrlimit(resource, Rlimit { current: Some(limit), ..whole }).expect("lower");
        let outcome = make_all(&format!("limited-{number}"));
        setrlimit(resource, whole).expect("raise again");
        assert_eq!((names(), descriptors()), (names_before, descriptors_before), "{outcome:?} left something");
        match outcome {
            Ok(()) => return assert!(refused > 3, "{resource:?}: hardly a limit"),
            Err(error) => {
                assert!(is_the_error(&error), "{resource:?} of {limit}: {error:?}");
                refused += 1;
            }
        }
    }
    panic!("{resource:?}: nothing was enough");
}

fn of_descriptors() {
    let used = File::open("/dev/null").map(|file| std::os::fd::AsRawFd::as_raw_fd(&file)).expect("a descriptor");
    let too_many = |error: &ChannelError| match error {
        ChannelError::Shm(ShmError::Os { source, .. }) => source.raw_os_error() == Some(libc::EMFILE),
        _ => false,
    };
    raise_until_all_is_made(Resource::Nofile, used as u64..used as u64 + 40, too_many);
    // An asynchronous receiver needs some more.
    let channel = Channel::options().create("limited").expect("create");
    let whole = getrlimit(Resource::Nofile);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("runtime");
    let mut sender = channel.sender().expect("sender");
    let mut receiver = AsyncReceiver::from(channel.receiver().expect("receiver"));
    setrlimit(Resource::Nofile, Rlimit { current: Some(used as u64), ..whole }).expect("lower");
    let waited =
        runtime.block_on(async { tokio::time::timeout(Duration::from_millis(200), receiver.recv()).await.is_err() });
    setrlimit(Resource::Nofile, whole).expect("raise again");
    assert!(waited, "it was not empty");
    sender.try_send(b"later").expect("room");
    assert_eq!(*runtime.block_on(receiver.recv()).expect("message"), *b"later");
}

fn of_mappings() {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("/proc");
    let mapped = pages.split(' ').next().and_then(|pages| pages.parse::<u64>().ok()).expect("pages") * 4096;
    let no_memory = |error: &ChannelError| match error {
        ChannelError::Shm(ShmError::Os { source, .. }) => source.raw_os_error() == Some(libc::ENOMEM),
        ChannelError::Shm(ShmError::NoMemory { .. }) => true,
        _ => false,
    };
    // Something for the allocator, so that it is not what fails.
    let spare = 16 << 20;
    raise_until_all_is_made(Resource::As, (0..4000).map(|step| mapped + spare + (step << 20)), no_memory);
}

fn mount_small(at: &Path, bytes: u64) {
    let (kind, target) = (c"tmpfs", CString::new(at.to_str().expect("a path")).expect("a path"));
    let options = CString::new(format!("size={bytes},mode=0700")).expect("options");
    // SAFETY: strings that end with 0 and outlive the calls; this process has one thread.
    let mounted = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(
                std::ptr::null(),
                c"/".as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                std::ptr::null(),
            ) == 0
            && libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) == 0
    };
    assert!(mounted, "{}", std::io::Error::last_os_error());
}

fn of_space() {
    mount_small(&directory(), 1 << 20);
    let standing = Channel::options().message_bytes_max(60_000).create("standing").expect("create");
    let (mut sender, mut receiver) = (standing.sender().expect("sender"), standing.receiver().expect("receiver"));
    let mut others = Vec::new();
    let refused = loop {
        match Channel::options().create(&format!("filling-{}", others.len())) {
            Ok(channel) => others.push(channel),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, ChannelError::Shm(ShmError::DirectoryFull { .. })), "{refused:?}");
    assert!(others.len() > 200, "a mebibyte has 256 pages, and {} names", others.len());
    assert_eq!(names(), others.len() + 1, "something was left");
    let refused = ShmMutex::create("filling-too", 0u64).expect_err("full");
    assert!(matches!(refused, ShmError::DirectoryFull { .. }), "{refused:?}");
    // What is there goes on: rings and blocks are elsewhere.
    for _ in 0..1000 {
        sender.send(&[5; 40_000]).expect("room");
        assert_eq!(receiver.recv().expect("message").len(), 40_000);
    }
    drop(Channel::open("standing").expect("it has a place in its name's file"));
    others.pop();
    drop(Channel::options().create("one-more").expect("one is free"));
    drop(others);
    assert_eq!(Host::of_user().and_then(|host| host.entries()).expect("entries").len(), 1);
}

fn as_another_user() {
    // SAFETY: this process has one thread.
    let changed =
        unsafe { libc::setresgid(NOBODY, NOBODY, NOBODY) == 0 && libc::setresuid(NOBODY, NOBODY, NOBODY) == 0 };
    assert!(changed, "{}", std::io::Error::last_os_error());
    let untrusted = |error: ShmError| assert!(matches!(error, ShmError::Untrusted { .. }), "{error:?}");
    let not_a_channel = |error: ChannelError| match error {
        ChannelError::Shm(error) => untrusted(error),
        other => panic!("{other:?}"),
    };
    not_a_channel(Channel::open(OF_ROOT).expect_err("of another user"));
    not_a_channel(Channel::options().create(OF_ROOT).expect_err("of another user"));
    untrusted(ShmMutex::create("other", 0u64).expect_err("not there"));
    untrusted(Host::of_user().expect_err("not there"));
}

/// What root has is not another user's to use or to disturb.
fn as_root() {
    let channel = Channel::options().create(OF_ROOT).expect("create");
    let (mut sender, mut receiver) = (channel.sender().expect("sender"), channel.receiver().expect("receiver"));
    assert_eq!(judge("limit another-user"), Ok(()));
    assert_eq!(names(), 1, "something was left, or is gone");
    sender.try_send(b"still").expect("room");
    assert_eq!(*receiver.try_recv().expect("message"), *b"still");
}
