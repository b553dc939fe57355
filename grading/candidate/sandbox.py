"""The wall: what the operating system itself refuses to a candidate, by Landlock and seccomp (Linux only).

A candidate computes and answers on a channel that it already has. It reads the interpreter, installed packages
and shared libraries, writes no file, starts no process, opens no socket and signals nobody but itself. A refused
system call fails with EPERM or EACCES, so that Python raises at the learner's own line.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
import tempfile
from collections.abc import Iterator

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38


def confine() -> tuple[str, ...]:
    """Confine this process, its threads and its children for good; the names of the fences that hold."""
    if sys.platform != "linux":
        return ()
    libc = ctypes.CDLL(None, use_errno=True)
    # no reading of this process by others; and without "no new privileges" an ordinary user may not confine itself
    _call(libc.prctl, _PR_SET_DUMPABLE, 0, 0, 0, 0)
    if _call(libc.prctl, _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return ()
    # late imports (torch.utils.checkpoint, torch.optim) want a folder for a cache: one that is there already, for
    # nothing can be made or written any more
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.tempdir = os.getcwd()
    fences = {"landlock": _landlock, "seccomp": _seccomp}
    return tuple(name for name, fence in fences.items() if fence(libc.syscall))


def _call(function: ctypes._NamedFuncPointer, *arguments: int | ctypes.Array[ctypes.c_char] | None) -> int:
    # variadic: a bare int would go as 32 bits
    return int(function(*(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)))


# ------------------------------------------------------------------------------------------------ landlock

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many of the file system's rights the kernel knows


def _landlock(syscall: ctypes._NamedFuncPointer) -> bool:
    abi = _call(syscall, _CREATE_RULESET, None, 0, 1)
    if abi < 1:
        return False
    every_right = (1 << _RIGHTS_BY_ABI[min(abi, 5)]) - 1
    # ABI 4 adds TCP (bind, connect), ABI 6 abstract sockets and signals: all handled, none allowed
    attributes = struct.pack("=QQQ", every_right, 0b11, 0b11)[: 8 if abi < 4 else 16 if abi < 6 else 24]
    ruleset = _call(
        syscall, _CREATE_RULESET, ctypes.create_string_buffer(attributes, len(attributes)), len(attributes), 0
    )
    if ruleset < 0:
        return False
    for path in dict.fromkeys(map(os.path.realpath, readable())):
        _allow_reading(syscall, ruleset, path)
    failed = _call(syscall, _RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return not failed


def _allow_reading(syscall: ctypes._NamedFuncPointer, ruleset: int, path: str) -> None:
    try:
        descriptor = os.open(path, getattr(os, "O_PATH", 0) | os.O_CLOEXEC)
    except OSError:
        return
    rights = _READ_FILE | (_READ_DIR if os.path.isdir(path) else 0)
    rule = struct.pack("=Qi", rights, descriptor)
    _call(syscall, _ADD_RULE, ruleset, 1, ctypes.create_string_buffer(rule, len(rule)), 0)
    os.close(descriptor)


def readable() -> Iterator[str]:
    """What Python and PyTorch may want late: never a prefix as a whole, for the repository may lie beneath one."""
    yield os.path.dirname(os.__file__)
    for path in sys.path:
        if os.path.basename(path) in ("site-packages", "dist-packages", "lib-dynload"):
            yield path
    yield from (os.path.join(prefix, "lib") for prefix in (sys.base_prefix, sys.base_exec_prefix))
    yield from ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/nix/store")
    yield from ("/etc/localtime", "/usr/share/zoneinfo", "/dev/null", "/dev/urandom")
    yield from ("/sys/devices/system/cpu", "/proc/cpuinfo")  # half precision looks up what the processor can do


# ------------------------------------------------------------------------------------------------- seccomp

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_NEWEST_KNOWN = 462
# name, number on x86_64, number on aarch64
_REFUSED = """
    socket 41 198  socketpair 53 199  connect 42 203  accept 43 202  accept4 288 242  bind 49 200  listen 50 201
    sendmsg 46 211  recvmsg 47 212  sendmmsg 307 269  recvmmsg 299 243
    execve 59 221  execveat 322 281  fork 57 -  vfork 58 -  setsid 112 157  setpgid 109 154
    ptrace 101 117  process_vm_readv 310 270  process_vm_writev 311 271  kcmp 312 272  process_madvise 440 440
    process_mrelease 448 448  pidfd_open 434 434  pidfd_getfd 438 438  pidfd_send_signal 424 424
    tkill 200 130  rt_sigqueueinfo 129 138  rt_tgsigqueueinfo 297 240
    io_uring_setup 425 425  io_uring_enter 426 426  io_uring_register 427 427
    add_key 248 217  request_key 249 218  keyctl 250 219  memfd_create 319 279  memfd_secret 447 447
    mount 165 40  umount2 166 39  pivot_root 155 41  chroot 161 51  unshare 272 97  setns 308 268
    open_tree 428 428  move_mount 429 429  fsopen 430 430  fsconfig 431 431  fsmount 432 432  fspick 433 433
    mount_setattr 442 442  bpf 321 280  perf_event_open 298 241  userfaultfd 323 282  fanotify_init 300 262
    personality 135 92  name_to_handle_at 303 264  open_by_handle_at 304 265  lookup_dcookie 212 18  quotactl 179 60
    quotactl_fd 443 443  init_module 175 105  finit_module 313 273  delete_module 176 106  kexec_load 246 104
    kexec_file_load 320 294  reboot 169 142  swapon 167 224  swapoff 168 225  acct 163 89  syslog 103 116
    vhangup 153 58  settimeofday 164 170  clock_settime 227 112  adjtimex 159 171  clock_adjtime 305 266
    sethostname 170 161  setdomainname 171 162  iopl 172 -  ioperm 173 -  modify_ldt 154 -  uselib 134 -
    shmget 29 194  shmat 30 196  shmctl 31 195  semget 64 190  semctl 66 191  msgget 68 186  msgctl 71 187
    mq_open 240 180  mq_unlink 241 181
    setrlimit 160 164  setpriority 141 140  ioprio_set 251 30  sched_setscheduler 144 119  sched_setparam 142 118
    sched_setattr 314 274
    creat 85 -  truncate 76 45  mkdir 83 -  mkdirat 258 34  rmdir 84 -  unlink 87 -  unlinkat 263 35  rename 82 -
    renameat 264 38  renameat2 316 276  link 86 -  linkat 265 37  symlink 88 -  symlinkat 266 36  mknod 133 -
    mknodat 259 33  chmod 90 -  fchmod 91 52  fchmodat 268 53  fchmodat2 452 452  chown 92 -  fchown 93 55
    lchown 94 -  fchownat 260 54  utime 132 -  utimes 235 -  futimesat 261 -  utimensat 280 88  setxattr 188 5
    lsetxattr 189 6  fsetxattr 190 7  removexattr 197 14  lremovexattr 198 15  fremovexattr 199 16
"""
# glibc falls back when these are not there: clone for clone3 (whose flags lie in memory), openat for openat2
_ABSENT = "clone3 435 435  openat2 437 437"

_LOAD, _EQUAL, _GREATER, _ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CLONE_THREAD = 0x10000
_PRCTL_UNDOING = (1, 4, 35, 36)  # PR_SET_PDEATHSIG, _DUMPABLE, _MM, _CHILD_SUBREAPER

_Instruction = tuple[int, int, int, int]


def _seccomp(syscall: ctypes._NamedFuncPointer) -> bool:
    if platform.machine() not in _ARCHITECTURES or struct.calcsize("P") != 8:
        return False
    column, architecture = _ARCHITECTURES[platform.machine()]
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in _program(column, architecture))
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))
    every_thread = 1  # SECCOMP_FILTER_FLAG_TSYNC: threads that a library has started are confined as well
    number = (317, 277)[column]
    return _call(syscall, number, 1, every_thread, ctypes.create_string_buffer(program, len(program))) == 0


def _program(column: int, architecture: int) -> list[_Instruction]:
    """Loads the system call's number and returns what is to become of it."""
    refuse, absent = (_RETURN, 0, 0, _ERRNO | errno.EPERM), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)
    start = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, architecture), refuse, (_LOAD, 0, 0, _NUMBER)]
    special = _conditions(column)
    numbers, missing = _numbers(_REFUSED, column), _numbers(_ABSENT, column)
    end = [(_RETURN, 0, 0, _ALLOW), refuse, absent]
    tests = [*((_EQUAL, number, 1) for number in numbers), *((_EQUAL, number, 2) for number in missing)]
    tests.append((_GREATER, _NEWEST_KNOWN, 2))
    jumps = []
    for index, (test, number, target) in enumerate(tests):
        distance = len(tests) - index - 1 + len(special) + target  # from the next instruction on
        jumps.append((test, distance, 0, number))
    return [*start, *jumps, *special, *end]


def _conditions(column: int) -> list[_Instruction]:
    """System calls that depend on an argument: each part returns for its own number, the others jump over it."""
    allow, refuse = (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERRNO | errno.EPERM)

    def argument(index: int, high: bool = False) -> _Instruction:
        return (_LOAD, 0, 0, _ARGUMENTS + 8 * index + 4 * high)

    own, threads = (_EQUAL, 1, 0, os.getpid()), (_ANY_BIT, 1, 0, _CLONE_THREAD)
    undoing = [(_EQUAL, len(_PRCTL_UNDOING) - index, 0, option) for index, option in enumerate(_PRCTL_UNDOING)]
    parts = {
        "kill 62 129  tgkill 234 131": [argument(0), own, refuse, allow],
        "clone 56 220": [argument(0), threads, refuse, allow],
        "open 2 -": [argument(1), (_ANY_BIT, 1, 0, _WRITING), allow, refuse],
        "openat 257 56": [argument(2), (_ANY_BIT, 1, 0, _WRITING), allow, refuse],
        "prctl 157 167": [argument(0), *undoing, allow, refuse],
        # reading a limit is fine; root could raise one
        "prlimit64 302 261": [argument(2), (_EQUAL, 0, 2, 0), argument(2, True), (_EQUAL, 1, 0, 0), refuse, allow],
    }
    return [
        instruction
        for names, part in parts.items()
        for number in _numbers(names, column)
        for instruction in [(_EQUAL, 0, len(part), number), *part]
    ]


def _numbers(table: str, column: int) -> list[int]:
    words = table.split()
    return [int(word) for word in words[1 + column :: 3] if word != "-"]
