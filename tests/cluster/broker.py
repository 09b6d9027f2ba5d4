"""Redis of a cluster: the broker of Celery, which keeps each message on disk."""

from brats_ml import files
from tests.cluster.settings import HOST, Cluster


def command(cluster: Cluster) -> tuple[str, ...]:
    """Return how to start the server."""
    return ("redis-server", str(cluster.folder / "redis.conf"))


def create(cluster: Cluster) -> None:
    """Write the configuration, which has the password."""
    data = cluster.folder / "redis"
    data.mkdir(exist_ok=True, mode=0o700)
    lines = {
        "bind": HOST,
        "port": cluster.ports["redis"],
        "requirepass": cluster.secrets["redis"],
        "dir": data,
        "appendonly": "yes",
        # A message is on disk before Redis confirms it.
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
        # A process that renames itself loses the mark by which the cluster finds it.
        "set-proc-title": "no",
    }
    with files.replacing(cluster.folder / "redis.conf", mode=0o600) as file:
        file.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
