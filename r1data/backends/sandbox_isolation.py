"""How an untrusted Python process is walled in here: found by a real run, once per process.

The ladder: bubblewrap, else (only if the caller accepts it) another user id and resource limits,
else BackendError.

* bubblewrap: new namespaces (no network, own processes), nothing of the disk but /usr and the
  interpreter's own prefix, read-only; sized memory file systems at /tmp and /dev/shm, all else
  read-only; a cleared environment, no capabilities, a system-call filter, a new session, death
  with its parent. As root the program gets a real unprivileged user id of its own for every
  launch, since the kernel exempts root from RLIMIT_NPROC and counts it per real id; the mounts are
  root's, so the interpreter may lie in a folder that only root can enter. As an ordinary user a
  user namespace does the same, and new ones are forbidden inside.
* The Python inside is the one that runs us (``sys.executable`` resolved, with ``sys.base_prefix``
  bound read-only where it is not in /usr); if that does not start, /usr/bin/python3. It runs with
  ``-I -S``: no site-packages, no environment, no user folder.
* local: limits alone. **Network and files are not cut.** As root at least the user id differs; as
  an ordinary user the program can reach whatever that user can, its own judge included.
"""

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from r1data.backends.sandbox_seccomp import seccomp_filter
from r1data.core.errors import BackendError

MARK = "R1DATA_SANDBOX"
"""Environment variable of processes on the local rung."""

# Ids that systemd's list of reserved ranges (UIDS-GIDS.md) leaves unused, below the 65536 that
# a rootless container maps.
_FIRST_ID, _IDS = 60600, 500
_SCRATCH_BYTES = 32 << 20
_SHARED_MEMORY_BYTES = 1 << 20
_LOCAL_WARNING = (
    "programs run with limits only: network and files are NOT cut, and a program that attacks its "
    "judge can forge its verdict; install bubblewrap (apt-get install bubblewrap) for a sandbox"
)
_HELLO = "import sys; sys.stdout.write('r1data')"

_ids = itertools.count(os.getpid() * 31)
_known: dict[bool, "Isolation"] = {}
_known_lock = threading.Lock()


@dataclass(frozen=True)
class Isolation:
    """One rung of the ladder, and the interpreter that starts on it."""

    kind: Literal["bubblewrap", "local"]
    python: str
    binds: tuple[str, ...] = ()
    """Folders outside /usr that are bound read-only."""
    proc: bool = True
    """Whether a /proc of its own can be mounted (some containers forbid it)."""
    sized: bool = True
    """Whether this bubblewrap can limit a memory file system; without, nothing is writable."""
    nested: bool = False
    """Whether this bubblewrap can forbid user namespaces inside."""

    @property
    def warning(self) -> str | None:
        """What a person must know before programs run, in one line; None if nothing."""
        return _LOCAL_WARNING if self.kind == "local" else None

    @property
    def same_python(self) -> bool:
        """Whether code objects of this process can be run inside."""
        return self.python == os.path.realpath(sys.executable)

    def command(self, program: Sequence[str], filter_fd: int | None) -> list[str]:
        """Return the command that runs Python with these arguments behind the wall."""
        inner = [self.python, "-I", "-S", "-X", "utf8", *program]
        root = os.getuid() == 0
        if root:
            number = str(_FIRST_ID + next(_ids) % _IDS)
            inner = [_tool("setpriv"), "--reuid", number, "--regid", number, "--clear-groups",
                     "--inh-caps=-all", "--no-new-privs", *inner]  # fmt: skip
        if self.kind == "local":
            return inner
        assert filter_fd is not None
        spaces = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts",
                  "--unshare-cgroup-try"]  # fmt: skip
        if not root:
            spaces += ["--unshare-user", *(["--disable-userns"] if self.nested else [])]
        # setpriv needs these two; they are gone once it has left user id 0.
        capabilities = ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if root else []
        return [
            _tool("bwrap"), *spaces, "--die-with-parent", "--new-session", "--clearenv",
            "--setenv", "PATH", "/usr/bin", "--setenv", "HOME", "/tmp",
            "--setenv", "MALLOC_ARENA_MAX", "1", *self._mounts(),
            "--cap-drop", "ALL", *capabilities, "--seccomp", str(filter_fd), "--", *inner,
        ]  # fmt: skip

    def _mounts(self) -> list[str]:
        out = ["--ro-bind", "/usr", "/usr"]
        for name in ("lib", "lib32", "lib64", "bin"):
            path = Path("/", name)
            if path.is_symlink():
                out += ["--symlink", os.readlink(path), str(path)]
            elif path.is_dir():
                out += ["--ro-bind", str(path), str(path)]
        out += ["--perms", "0755", "--dir", "/etc"]
        out += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
        out += ["--proc", "/proc"] if self.proc else []
        out += ["--dev", "/dev"]
        for place, size in (("/dev/shm", _SHARED_MEMORY_BYTES), ("/tmp", _SCRATCH_BYTES)):
            if self.sized:
                out += ["--perms", "1777", "--size", str(size), "--tmpfs", place]
            else:
                out += ["--dir", place]
        parents = {parent for folder in self.binds for parent in Path(folder).parents}
        for parent in sorted(parents - {Path("/"), Path("/tmp")}):  # else they are root's alone
            out += ["--perms", "0755", "--dir", str(parent)]
        for folder in self.binds:
            out += ["--ro-bind", folder, folder]
        return [*out, "--chdir", "/tmp", "--remount-ro", "/dev", "--remount-ro", "/"]

    def start(
        self, program: Sequence[str], stdin: int, output: int, mark: str = ""
    ) -> subprocess.Popen[bytes]:
        """Start a walled-in Python. It sees nothing of our environment, not even in /proc/1.

        local: its own environment holds ``mark``, by which what it leaves behind can be found.
        """
        environment = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", MARK: mark}
        filter_fd, writing = os.pipe() if self.kind == "bubblewrap" else (None, None)
        try:
            if writing is not None:
                os.write(writing, seccomp_filter())
                os.close(writing)
            return subprocess.Popen(
                self.command(program, filter_fd),
                stdin=stdin,
                stdout=output,
                stderr=output,
                env=environment if self.kind == "local" else {},
                cwd="/",
                pass_fds=() if filter_fd is None else (filter_fd,),
                start_new_session=True,
            )
        except OSError as error:
            raise BackendError(f"the sandbox cannot be started: {error}") from error
        finally:
            if filter_fd is not None:
                os.close(filter_fd)


def isolation(unsafe_local: bool = False, packages: bool = False) -> Isolation:
    """Return the best rung that works here. Found once per process by running Python on it.

    ``unsafe_local`` accepts limits without a wall where there is no bubblewrap; ``packages`` shows
    the site-packages of the running Python. Raises BackendError, which names both ways out.
    """
    with _known_lock:
        if unsafe_local not in _known:
            _known[unsafe_local] = _find(unsafe_local)
        found = _known[unsafe_local]
    folders = package_folders() if packages else []
    return replace(found, binds=(*found.binds, *(f for f in folders if not _within_usr(f))))


def package_folders() -> list[str]:
    """Return the site-packages folders of the running Python."""
    return [path for path in sys.path if path.endswith("-packages") and os.path.isdir(path)]


def _find(unsafe_local: bool) -> Isolation:
    reason = "bubblewrap is not installed"
    if shutil.which("bwrap"):
        reasons = []
        for rung in _bubblewrap_rungs():
            if not (said := failure(rung)):
                return rung
            reasons.append(said)
        reason = f"bubblewrap does not work here ({'; '.join(dict.fromkeys(reasons))})"
    local = Isolation("local", os.path.realpath(sys.executable))
    if unsafe_local and os.name == "posix":
        for python in (local.python, "/usr/bin/python3"):
            if not (reason := failure(replace(local, python=python))):
                return replace(local, python=python)
    raise BackendError(
        f"no sandbox for untrusted programs: {reason}; install it (apt-get install bubblewrap) and "
        "allow user namespaces, or accept runs whose network and files are not cut: --unsafe-local"
    )


def _bubblewrap_rungs() -> list[Isolation]:
    """Return what may work, best first."""
    text = subprocess.run(
        [_tool("bwrap"), "--help"], capture_output=True, text=True, check=False
    ).stdout
    base = Isolation(
        "bubblewrap",
        "/usr/bin/python3",
        sized="--size" in text,
        nested="--disable-userns" in text,
    )
    pythons = [base] if os.path.exists(base.python) else []
    prefix = os.path.realpath(sys.base_prefix)
    ours = replace(base, python=os.path.realpath(sys.executable))
    if _within_usr(prefix):
        pythons.insert(0, ours)
    elif not Path.home().resolve().is_relative_to(prefix):  # else the home folder would be bound
        pythons.insert(0, replace(ours, binds=(prefix,)))
    return [replace(python, proc=proc) for proc in (True, False) for python in pythons]


def failure(rung: Isolation) -> str:
    """Run Python on a rung. Return "" if that worked, else the last line of what was said."""
    with tempfile.TemporaryFile() as said:
        try:
            process = rung.start(["-c", _HELLO], subprocess.DEVNULL, said.fileno())
        except BackendError as error:
            return str(error)
        try:
            code = process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return "it did not start within 30 s"
        said.seek(0)
        text = said.read().decode(errors="replace").strip()
    if code == 0 and text == "r1data":
        return ""
    return text.splitlines()[-1][:200] if text else f"exit code {code}"


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BackendError(f"{name} is not installed: apt-get install bubblewrap util-linux")
    return found


def _within_usr(path: str) -> bool:
    return Path(path).resolve().is_relative_to("/usr")
