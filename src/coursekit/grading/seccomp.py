"""The system calls that a sandboxed answer can't make, as a filter that the kernel runs.

Namespaces leave some ways out open: keyrings and System V memory outlive a process, and new namespaces and rarely used
calls reach parts of the kernel that an answer has no business in. The filter is built by libseccomp, which apt and
systemd bring along on nearly every Linux. We call it with ctypes, since it needs six functions: the bindings of the
distributions can't be installed with pip, and those on PyPI are no longer kept up.
"""

import ctypes
import errno
import tempfile
from functools import cache

from coursekit.core.errors import ConfigError

ALLOW, REFUSE = 0x7FFF0000, 0x00050000  # SCMP_ACT_ALLOW; SCMP_ACT_ERRNO, to which the error's number is added
EQUALS, GREATER, MASKED_EQUALS, DIFFERS = 4, 6, 7, 1  # enum scmp_compare
FOREIGN = 2  # SCMP_FLTATR_ACT_BADARCH: what happens to calls by another table, such as i386 or x32 on x86-64
# Memory in a memfd belongs to no process, so nobody could count it. The last line slows down other processes.
DENIED = """
    add_key keyctl request_key
    shmget shmat shmdt shmctl semget semop semtimedop semctl msgget msgsnd msgrcv msgctl mq_open
    unshare setns mount umount umount2 pivot_root chroot open_tree open_tree_attr move_mount fsopen fsconfig fsmount
    fspick mount_setattr statmount listmount name_to_handle_at open_by_handle_at quotactl quotactl_fd swapon swapoff
    ptrace process_vm_readv process_vm_writev process_madvise process_mrelease pidfd_getfd kcmp
    io_uring_setup io_uring_enter io_uring_register bpf perf_event_open userfaultfd fanotify_init lookup_dcookie
    init_module finit_module delete_module kexec_load kexec_file_load reboot acct syslog iopl ioperm modify_ldt
    memfd_create memfd_secret
    setpriority ioprio_set sched_setscheduler sched_setparam sched_setattr
""".split()  # noqa: SIM905
NEWER = {  # calls that an old libseccomp has no name for. Since 2019 a call has the same number on every processor.
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "clone3": 435, "pidfd_getfd": 438,
    "process_madvise": 440, "mount_setattr": 442, "quotactl_fd": 443, "memfd_secret": 447, "process_mrelease": 448,
    "statmount": 457, "listmount": 458, "open_tree_attr": 467,
}  # fmt: skip
NAMESPACES = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)  # CLONE_NEWNS and so on
SHARED_MEMORY = 0x21  # MAP_SHARED | MAP_ANONYMOUS: it can stay filled after it's unmapped, where nobody counts it
LAST_FAMILY, OTHER_FAMILIES = 10, range(3, 10)  # AF_INET6; a network namespace doesn't contain them all (AF_VSOCK)
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
MISSING = (
    "The sandbox needs libseccomp, to limit what answers can ask of the kernel: `apt install libseccomp2`, or "
    "`dnf install libseccomp`."
)


class _Comparison(ctypes.Structure):
    """A condition on an argument: struct scmp_arg_cmp."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


@cache
def program(machine: str | None = None) -> bytes:
    """Return the filter as the kernel's program, for `bwrap --seccomp`.

    Args:
        machine: kind of processor; by default this machine's.

    Raises:
        ConfigError: libseccomp isn't installed, or it can't build the filter.
    """
    library = _library()
    context = library.seccomp_init(ALLOW)
    try:
        if machine:
            _check(library.seccomp_arch_remove(context, 0))
            _check(library.seccomp_arch_add(context, ARCHITECTURES[machine]))
        _check(library.seccomp_attr_set(context, FOREIGN, REFUSE + errno.ENOSYS))
        _add_rules(library, context)
        with tempfile.TemporaryFile() as file:
            _check(library.seccomp_export_bpf(context, file.fileno()))
            file.seek(0)
            return file.read()
    finally:
        library.seccomp_release(context)


def _add_rules(library: ctypes.CDLL, context: int) -> None:
    def refuse(name: str, error: int = errno.EPERM, *condition: int) -> None:
        number = library.seccomp_syscall_resolve_name(name.encode())
        number = NEWER.get(name, number) if number == -1 else number
        if number != -1:  # otherwise neither this library nor any processor of ours knows it
            condition = (*condition, 0)[:4]
            comparison = _Comparison(*condition) if condition != (0,) else None
            _check(library.seccomp_rule_add_array(context, REFUSE + error, number, int(bool(comparison)), comparison))

    for name in DENIED:
        refuse(name)
    refuse("clone3", errno.ENOSYS)  # its flags are in memory, where a filter can't look; libraries then use clone
    for flag in NAMESPACES:
        refuse("clone", errno.EPERM, 0, MASKED_EQUALS, flag, flag)
    refuse("mmap", errno.EPERM, 3, MASKED_EQUALS, SHARED_MEMORY, SHARED_MEMORY)
    refuse("socket", errno.EAFNOSUPPORT, 0, GREATER, LAST_FAMILY)
    for family in OTHER_FAMILIES:
        refuse("socket", errno.EAFNOSUPPORT, 0, EQUALS, family)
    for name in ("prlimit64", "sched_setaffinity"):  # of another process; 0 is the caller
        refuse(name, errno.EPERM, 0, DIFFERS, 0)


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        raise ConfigError(MISSING) from None
    library.seccomp_init.argtypes, library.seccomp_init.restype = [ctypes.c_uint32], ctypes.c_void_p
    library.seccomp_release.argtypes, library.seccomp_release.restype = [ctypes.c_void_p], None
    library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    library.seccomp_arch_add.argtypes = library.seccomp_arch_remove.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(_Comparison),
    ]  # fmt: skip
    return library


def _check(result: int) -> None:
    if result < 0:
        raise ConfigError(f"libseccomp can't build the sandbox's filter ({errno.errorcode.get(-result, result)}).")
