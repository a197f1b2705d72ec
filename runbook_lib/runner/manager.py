"""What papermill's client needs to talk to a kernel that somebody else has started."""

from typing import TYPE_CHECKING, Any

from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner

if TYPE_CHECKING:
    from runbook_lib.runner.kernel import Kernel


def adopt(kernel: "Kernel") -> Any:
    """Make the manager of a kernel that runs already: it starts none."""
    manager = AsyncKernelManager(connection_file=str(kernel.connection))
    manager.load_connection_file()
    provisioner = LocalProvisioner(kernel_id="runbook", parent=manager)
    provisioner.process = kernel.process
    provisioner.pid = provisioner.pgid = kernel.process.pid
    manager.provisioner = provisioner
    return manager
