"""The kernel's own process: load what notebooks need, then serve. `python -m` starts it."""

import contextlib
import gc
import importlib
import signal
import sys

_USED = (
    "pandas",
    "runbook_lib.runbooks.incidents",
    "runbook_lib.session",
    "runbook_lib.report.exhibit",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "matplotlib.dates",
)


def _end(*_: object) -> None:
    raise SystemExit(0)


def main() -> None:
    """Serve one notebook."""
    gc.disable()
    signal.signal(signal.SIGTERM, _end)
    for name in _USED:
        with contextlib.suppress(ImportError):  # only ahead of time: a cell that needs it says so
            importlib.import_module(name)
    from ipykernel.kernelapp import IPKernelApp

    gc.freeze()
    gc.enable()
    IPKernelApp.launch_instance(
        [*sys.argv[1:], "--HistoryManager.enabled=False", "--IPKernelApp.ignore_cwd=True"]
    )


if __name__ == "__main__":
    main()
