"""A Celery worker that is asked to end takes no more tasks, and after a short time asks those at work to end too.

Celery alone waits for them until something kills the machine, and then a training loses what it did since its last
checkpoint. A training that is asked to end writes one, and its next try goes on from there on another worker.
"""

from contextlib import suppress
from threading import Timer
from typing import Any

import psutil
from airflow.providers.celery.executors.default_celery import DEFAULT_CELERY_CONFIG
from celery.signals import worker_shutting_down

# A task that needs no longer than this still ends by itself.
PATIENCE_S = 10.0
# Airflow's setting `celery.celery_config_options` names it, so that workers import this module.
CONFIG = DEFAULT_CELERY_CONFIG


@worker_shutting_down.connect  # type: ignore[untyped-decorator]  # Celery publishes no types
def end_tasks_soon(**_: Any) -> None:
    """Ask the tasks of this worker to end in a while. Celery calls it on SIGTERM, before it waits for the tasks."""
    timer = Timer(PATIENCE_S, end_tasks)
    timer.daemon = True
    timer.start()


def end_tasks() -> None:
    """Send SIGTERM to each task of this process; Airflow ends its command, and reports that the task may be retried.

    A task is a child of a process of the worker's pool. That one stays, since it reports the state of the task.
    """
    for pool_process in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            for task in pool_process.children():
                task.terminate()
