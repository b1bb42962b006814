"""Starts the agent's first process: limits, confinement, and a wrapper where one is used."""

import ctypes
import os
import resource

from .lifeline import LINUX, Launch, StartFailed
from .processes import SIGKILL

_PR_SET_PDEATHSIG = 1
_PERHAPS_IGNORED = (1, 2, 3, 13, 25)  # HUP, INT, QUIT by shells; PIPE, XFSZ by Python
_OUT_OF_MEMORY_SCORE = b"300"  # the kernel ends agents before Podium and its PostgreSQL
_ENOENT, _EACCES, _ENOMEM = 2, 13, 12


class Agent:
    """The agent's first process, or the wrapper that confines it.

    Raises ``StartFailed`` when it did not come to run; a wrapper's own failure shows only at
    its end, as an exit code of None.
    """

    def __init__(self, launch: Launch, stdin: int) -> None:
        self.wrapped = bool(launch.wrapper)
        self._wrapper_status = -1
        if not os.path.isdir(launch.directory):  # noqa: PTH112
            raise StartFailed("directory", _ENOENT)
        program = _find_program(launch)
        handed_over = [stdin]
        if self.wrapped:
            handed_over += self._wrap(launch)
            program = launch.argv[0]
        self.pid = _spawn(launch, program, stdin)
        for descriptor in handed_over:
            os.close(descriptor)
        self.pidfd = _watched(self.pid)

    def _wrap(self, launch: Launch) -> list[int]:
        """Put the wrapper before the command; the descriptors that it is given.

        Its arguments hold the agent's environment and must not show in a list of processes.
        Its own environment is empty: the agent's could make it load code before it confines.
        """
        settings = [
            part
            for name, value in launch.environment.items()
            for part in (b"--setenv", name, value)
        ]
        content = b"\0".join([*launch.wrapper_arguments, *settings])
        arguments = os.memfd_create("arguments", 0)
        os.pwrite(arguments, content, 0)  # memory takes all of it at once
        self._wrapper_status, status = os.pipe()
        os.set_inheritable(status, True)  # noqa: FBT003
        fills = {
            b"{arguments}": b"%d" % arguments,
            b"{status}": b"%d" % status,
            b"{directory}": launch.directory,
        }
        launch.argv = [fills.get(part, part) for part in launch.wrapper] + launch.argv
        launch.environment = {}
        return [arguments, status]

    def exit_code(self, status: int) -> int | None:
        """The exit status, or minus the signal; None when the wrapper never ran the agent.

        A wrapper tells a signal n as status 128 + n, as a shell does.
        """
        if not self.wrapped:
            return os.waitstatus_to_exitcode(status)
        _, found, rest = os.read(self._wrapper_status, 65536).partition(b'"exit-code":')
        return int(rest.partition(b"}")[0]) if found else None


def _watched(pid: int) -> int:
    """A descriptor that tells of the process's end, or -1 where the kernel has none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1


def _find_program(launch: Launch) -> bytes:
    """Where the command is, looked up on the agent's own PATH as a shell would."""
    name = launch.argv[0]
    folders = launch.environment.get(b"PATH", os.fsencode(os.defpath)).split(b":")
    places = [name] if b"/" in name else [os.path.join(folder, name) for folder in folders]  # noqa: PTH118
    number = _ENOENT
    for place in places:
        full = os.path.join(launch.directory, place)  # noqa: PTH118
        if os.path.isfile(full):  # noqa: PTH113
            if os.access(full, os.X_OK):
                return full
            number = _EACCES
    raise StartFailed("command", number)


def _spawn(launch: Launch, program: bytes, stdin: int) -> int:
    failure, report = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _become(launch, program, stdin, report, parent)
    os.close(report)
    said = os.read(failure, 100)
    os.close(failure)
    if said:
        os.waitpid(child, 0)
        stage, number = said.decode().split()
        raise StartFailed(stage, int(number))
    return child


def _become(launch: Launch, program: bytes, stdin: int, report: int, parent: int) -> None:
    """Turn this forked process into the agent, or report why not. Never returns."""
    stage = "directory"
    try:
        _prepare(stdin, parent)
        os.chdir(launch.directory)
        stage = "confinement"
        if launch.hide:
            from .landlock import restrict

            restrict(launch.hide, launch.allow)
        stage = "limits"
        _set_limits(launch.limits)
        stage = "command"
        os.execve(program, launch.argv, launch.environment)  # noqa: S606 - what this is for
    except OSError as error:
        os.write(report, f"{stage} {error.errno or 0}".encode())
    except MemoryError:
        os.write(report, f"{stage} {_ENOMEM}".encode())
    os._exit(1)


def _prepare(stdin: int, parent: int) -> None:
    os.setpgid(0, 0)
    os.dup2(stdin, 0)
    libc = ctypes.CDLL(None)
    for number in _PERHAPS_IGNORED:
        libc.signal(number, None)
    if LINUX:
        libc.prctl(_PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the kernel was told to watch it
            os._exit(1)
        with open("/proc/self/oom_score_adj", "wb") as file:  # noqa: PTH123
            file.write(_OUT_OF_MEMORY_SCORE)


def _set_limits(limits: dict[str, int]) -> None:
    """Limits of each process; those of the whole tree are watched by the supervisor."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if "soft_open_files" in limits:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits["soft_open_files"], hard))
    if "open_files" in limits:
        _lower(resource.RLIMIT_NOFILE, limits["open_files"], 0)
    if "cpu_seconds" in limits:
        _lower(resource.RLIMIT_CPU, limits["cpu_seconds"], 1)  # SIGXCPU first, then SIGKILL
    if "memory_bytes" in limits:
        # DATA counts what can be written to, so runtimes that reserve address space can start.
        _lower(resource.RLIMIT_DATA if LINUX else resource.RLIMIT_AS, limits["memory_bytes"], 0)


def _lower(kind: int, soft: int, more: int) -> None:
    hard = resource.getrlimit(kind)[1]
    top = hard if hard != resource.RLIM_INFINITY else soft + more
    resource.setrlimit(kind, (min(soft, top), min(soft + more, top)))
