"""What papermill's client needs to talk to a kernel that somebody else has started."""

from typing import TYPE_CHECKING, Any, Self

from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner

if TYPE_CHECKING:
    from runbook_lib.runner.kernel import Kernel


class Adopted(AsyncKernelManager):  # type: ignore[misc]
    """The manager of a kernel that runs already: it starts none. A context manager.

    It closes the connections of the clients it gave: papermill's client leaves that to whoever
    started the kernel.
    """

    def __init__(self, kernel: "Kernel") -> None:
        super().__init__(connection_file=str(kernel.connection))
        self.load_connection_file()
        self._clients: list[Any] = []
        provisioner = LocalProvisioner(kernel_id="runbook", parent=self)
        provisioner.process = kernel.process
        provisioner.pid = provisioner.pgid = kernel.process.pid
        self.provisioner = provisioner

    def client(self, **options: Any) -> Any:
        """Give a client, and remember it."""
        self._clients.append(super().client(**options))
        return self._clients[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.stop_channels()
        self.context.destroy(linger=0)
